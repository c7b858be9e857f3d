/** The conversation as it is read: the caller's words, the answers, and what state each of them is in. */

import { element } from "./element.js";
import { failureCard } from "./failure.js";
import { ms } from "./figures.js";

/** @typedef {import("./turn.js").Turn} Turn */

const TICK_MS = 100;
const READY_MS = 500;
/** @type {Record<import("./turn.js").State, [string, string, string]>} Sign, words, kind. */
const STATES = {
  sending: ["…", "Sending", "quiet"],
  waiting: ["…", "The server has answered, no word yet", "quiet"],
  filled: ["…", "Waiting message heard, the answer is being made", "quiet"],
  speaking: ["▸", "Speaking", "quiet"],
  complete: ["✓", "Complete", "good"],
  interrupted: ["■", "Interrupted", "odd"],
  failed: ["✕", "Failed in mid answer, the words stay", "bad"],
  incomplete: ["▲", "Ended without DONE: incomplete", "bad"],
  refused: ["⊘", "Refused", "bad"],
  unreachable: ["✕", "Unreachable", "bad"],
};

export class Transcript {
  constructor() {
    this.empty = element(
      "p",
      { class: "empty" },
      "No words yet. What you ask is sent as the platform above would send it.",
    );
    this.element = element(
      "div",
      { class: "log", id: "log", role: "log", "aria-live": "off", "aria-label": "Conversation", tabindex: "0" },
      this.empty,
    );
  }

  /**
   * Show words that are sent, and an answer that is yet to come.
   * @param {string} who
   * @param {string} words
   */
  add(who, words) {
    this.empty.remove();
    const answer = new Answer();
    this.element.append(entry("user", who, element("p", { class: "text", dir: "auto" }, words)), answer.element);
    this.follow(true);
    return answer;
  }

  /** @param {boolean} [always] keep the end in sight though the reader is elsewhere */
  follow(always) {
    const { scrollTop, clientHeight, scrollHeight } = this.element;
    if (always || scrollHeight - scrollTop - clientHeight < 120) this.element.scrollTop = scrollHeight;
  }

  clear() {
    this.element.replaceChildren(this.empty);
  }
}

/**
 * @param {string} kind
 * @param {string} who
 * @param {...HTMLElement} content
 */
function entry(kind, who, ...content) {
  return element(
    "div",
    { class: `entry ${kind}` },
    element("span", { class: "who" }, who),
    element("div", { class: "said" }, ...content),
  );
}

/** One answer, from the moment that it is asked for. */
export class Answer {
  constructor() {
    this.waiting = element("span", { class: "waiting", title: "The waiting message" });
    this.heard = document.createTextNode("");
    this.unheard = element("s", { class: "unheard" });
    this.text = element("p", { class: "text", dir: "auto" }, this.waiting, this.heard, this.unheard);
    this.state = element("p", { class: "state quiet" }, "… Composing the request");
    this.failure = element("div");
    this.element = entry("agent", "Agent", this.text, this.state, this.failure);
    this.timer = 0;
  }

  /**
   * Follow a turn to its end.
   * @param {Turn} turn
   * @param {() => void} changed called when there is more to read
   */
  watch(turn, changed) {
    let frame = 0;
    const soon = () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        this.draw(turn);
        changed();
      });
    };
    turn.addEventListener("change", soon);
    this.timer = setInterval(() => (turn.isRunning ? this.drawState(turn) : clearInterval(this.timer)), TICK_MS);
    this.draw(turn);
  }

  /** @param {Turn} turn */
  draw(turn) {
    this.waiting.textContent = turn.waitingText;
    if (!this.unheard.textContent && this.heard.data !== turn.text) this.heard.data = turn.text;
    this.text.hidden = !turn.said;
    this.drawState(turn);
  }

  /** @param {Turn} turn */
  drawState(turn) {
    const [sign, words, kind] = STATES[turn.state];
    this.element.dataset.state = turn.state;
    this.state.className = `state ${kind}`;
    const parts = [`${sign} ${words}`];
    if (turn.isRunning) parts.push(`${(turn.elapsed / 1000).toFixed(1)} s`, ...silence(turn));
    else if (turn.state === "interrupted") parts[0] += ` at ${ms(turn.elapsed)}`;
    if (turn.marks.content !== undefined) parts.push(`first content ${ms(turn.marks.content)}`);
    if (turn.finish && turn.finish !== "stop" && turn.finish !== "error") parts.push(`finish: ${turn.finish}`);
    this.state.textContent = [...parts, ...turn.notes].join(" · ");
  }

  /**
   * Show what the caller heard of the answer, and what not.
   * @param {Turn} turn
   * @param {string} heard
   */
  cutAt(turn, heard) {
    const length = Math.max(heard.length - turn.waitingText.length, 0);
    this.waiting.textContent = turn.waitingText;
    this.heard.data = turn.text.slice(0, length);
    this.unheard.textContent = turn.text.slice(length);
    this.element.dataset.state = "interrupted";
  }

  /**
   * Show why there is no answer, or no whole one.
   * @param {unknown} failure
   * @param {() => void} again
   * @param {import("./head.js").Status} status
   */
  fail(failure, again, status) {
    if (/** @type {any} */ (failure).code === "warming_up") this.watchReady(status);
    this.failure.append(failureCard(failure, again));
  }

  /** @param {string} state what became of a request that was never sent, or of a turn */
  refuse(state) {
    clearInterval(this.timer);
    const [sign, words, kind] = STATES[/** @type {import("./turn.js").State} */ (state)];
    this.element.dataset.state = state;
    this.state.className = `state ${kind}`;
    this.state.textContent = `${sign} ${words}`;
    this.text.hidden = true;
  }

  /**
   * Count the seconds until the server is ready.
   * @param {import("./head.js").Status} status
   */
  watchReady(status) {
    const since = performance.now();
    const clock = element("p", { class: "clock", role: "timer" });
    this.failure.append(clock);
    const timer = setInterval(() => {
      const isReady = status.value?.ready && !status.failure;
      const seconds = ((performance.now() - since) / 1000).toFixed(0);
      clock.textContent = isReady ? `Ready after ${seconds} s: ask again.` : `Not ready yet, ${seconds} s …`;
      if (isReady || !clock.isConnected) clearInterval(timer);
    }, READY_MS);
    status.refresh();
  }
}

/**
 * Return a sign of life of a server that says nothing: a slow model is told from a dead one.
 * @param {Turn} turn
 */
function silence(turn) {
  const last = turn.events.at(-1);
  if (last?.kind !== "comment" || !/^(keep-alive|working)/.test(last.text)) return [];
  const spoke = turn.events.findLast((event) => event.kind === "data")?.at ?? turn.marks.status ?? 0;
  return [`server alive, ${((turn.elapsed - spoke) / 1000).toFixed(1)} s of silence`];
}
