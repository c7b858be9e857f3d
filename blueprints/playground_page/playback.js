/** Playback of one recording at a time: a real request to /audio, heard while it comes, with the word of the moment. */

import { element } from "./element.js";
import { Player } from "./player.js";
import { Turn } from "./turn.js";
import { Words } from "./words.js";

/** @typedef {import("./main.js").Page} Page */

const LEAD_MS = 200;

export class Playback {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.said = element("div", { class: "playback", "aria-live": "polite" });
    /** @type {{turn: Turn, player: Player, words: Words, name: string, button: HTMLElement} | null} */
    this.playing = null;
  }

  /**
   * Play a recording, or stop it where it is the one that plays.
   * @param {string} name
   * @param {number} rate samples a second
   * @param {HTMLElement} button
   */
  toggle(name, rate, button) {
    const again = this.playing?.name === name;
    this.stop();
    if (!again) this.play(name, rate, button);
  }

  /**
   * @param {string} name
   * @param {number} rate
   * @param {HTMLElement} button
   */
  async play(name, rate, button) {
    const messages = [{ role: "user", content: `Play ${name}.` }];
    const body = JSON.stringify({ messages, asset: name, stream: true });
    const turn = new Turn(this.page.api, { endpoint: "audio", path: "audio/chat/completions", body, waitingMessages: [] });
    const player = new Player(rate, this.page.status.value?.audio?.lead_ms ?? LEAD_MS);
    const words = new Words();
    const playing = { turn, player, words, name, button };
    this.playing = playing;
    this.said.replaceChildren(words.element);
    label(button, name, true);
    turn.addEventListener("sound", (event) => player.add(/** @type {CustomEvent} */ (event).detail));
    turn.addEventListener("change", () => words.update(turn.text, turn.words));
    requestAnimationFrame(() => this.follow(playing));
    await turn.run();
    if (turn.failure) this.said.replaceChildren(this.page.explain(turn.failure));
  }

  /**
   * Mark the word that is heard, until the sound has ended.
   * @param {NonNullable<Playback["playing"]>} playing
   */
  follow(playing) {
    if (this.playing !== playing) return;
    playing.words.show(playing.player.heardMs);
    if (playing.turn.isRunning || playing.player.isPlaying) requestAnimationFrame(() => this.follow(playing));
    else this.stop();
  }

  stop() {
    if (!this.playing) return;
    const { turn, player, words, name, button } = this.playing;
    this.playing = null;
    turn.interrupt();
    player.close();
    words.end();
    label(button, name, false);
  }
}

/**
 * @param {HTMLElement} button
 * @param {string} name
 * @param {boolean} isPlaying
 */
function label(button, name, isPlaying) {
  button.textContent = isPlaying ? "■ Stop" : "▶ Play";
  button.setAttribute("aria-label", `${isPlaying ? "Stop" : "Play"} ${name}`);
}
