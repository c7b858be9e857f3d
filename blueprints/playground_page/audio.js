/** The sound of a turn: player, waveform, words, and what is told of them. */

import { button, element } from "./element.js";
import { Player } from "./player.js";
import { Waveform } from "./waveform.js";
import { Words } from "./words.js";

/** @typedef {import("./turn.js").Turn} Turn */

export class Sound {
  /**
   * Play the turn's sound as it comes.
   * @param {Turn} turn
   * @param {{sample_rate: number, lead_ms: number}} audio what the server tells of its sound
   * @param {import("./main.js").Page} page
   * @param {() => void} ended called when everything was heard
   */
  constructor(turn, audio, page, ended) {
    this.turn = turn;
    this.ended = ended;
    this.player = new Player(audio.sample_rate, audio.lead_ms);
    this.waveform = new Waveform(audio.sample_rate);
    this.words = new Words();
    this.told = element("p", { class: "aside", id: "sound-figures" });
    this.save = button("Download WAV", () => page.download(this.player.wav(), "answer.wav"), { class: "small" });
    this.element = element(
      "section",
      { class: "block sound" },
      element("div", { class: "block-head" }, element("h3", {}, "Sound"), this.save),
      this.told,
      this.waveform.element,
      this.words.element,
    );
    this.wasPlaying = false;
    turn.addEventListener("sound", (event) => {
      this.waveform.add(this.player.add(/** @type {CustomEvent} */ (event).detail));
      this.wasPlaying = true;
    });
    this.isClosed = false;
    this.frame = requestAnimationFrame(() => this.draw());
  }

  get isPlaying() {
    return this.player.isPlaying;
  }

  /** Fall silent at once, and return the milliseconds that were heard. */
  stop() {
    const heard = this.player.stop();
    this.element.dataset.heard = String(Math.round(heard));
    return heard;
  }

  /** Draw the present moment, and go on while there is something to hear. */
  draw() {
    const heard = this.player.heardMs;
    const { schedule, rate } = this.player;
    this.words.update(this.turn.said, this.turn.words);
    this.words.show(heard);
    this.waveform.draw(heard, schedule.pauses);
    this.element.dataset.heard = String(Math.round(heard));
    const silences = schedule.pauses.filter((pause) => !pause.isGap);
    const silence = silences.reduce((sum, pause) => sum + pause.seconds, 0);
    const lead =
      schedule.startedAt < 0
        ? ""
        : `, ahead ${Math.round(schedule.leastAhead * 1000)}–${Math.round(schedule.mostAhead * 1000)} ms`;
    const gaps = element(
      "span",
      { class: schedule.gaps ? "bad" : "" },
      `${schedule.gaps} ${schedule.gaps === 1 ? "gap" : "gaps"}`,
    );
    const pauses = silence ? `, ${silence.toFixed(1)} s of silence by the server` : "";
    this.told.replaceChildren(
      `${rate / 1000} kHz, heard ${(heard / 1000).toFixed(1)} of ${(this.player.queuedMs / 1000).toFixed(1)} s${lead}, `,
      gaps,
      pauses,
    );
    this.waveform.canvas.setAttribute(
      "aria-label",
      `Waveform: ${(heard / 1000).toFixed(1)} of ${(this.player.queuedMs / 1000).toFixed(1)} seconds heard`,
    );
    if (this.isClosed) return;
    if (this.turn.isRunning || this.player.isPlaying) {
      this.frame = requestAnimationFrame(() => this.draw());
    } else {
      this.isClosed = true;
      if (!this.player.isStopped) this.words.end();
      this.ended();
      this.player.close();
    }
  }

  /** Give everything back: another turn begins. */
  close() {
    this.isClosed = true;
    cancelAnimationFrame(this.frame);
    this.player.close();
  }
}
