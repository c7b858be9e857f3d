/** The view Recordings: what the folder holds, and how each recording sounds through /audio. */

import { element } from "./element.js";
import { Playback } from "./playback.js";

/** @typedef {import("./main.js").Page} Page */

/**
 * @typedef {object} Recording
 * @property {string} name
 * @property {number | null} seconds
 * @property {string | null} transcript
 * @property {"measured" | "estimated" | "none"} words
 * @property {number} word_count
 * @property {boolean} simulated
 * @property {boolean} complete
 * @property {string[]} problems
 * @property {string | null} mend
 */

/**
 * @param {HTMLElement} panel
 * @param {Page} page
 */
export function mount(panel, page) {
  const playback = new Playback(page);
  const notice = element("div", { class: "notice" });
  const list = element("ul", { class: "recordings" });
  panel.replaceChildren(element("h2", {}, "Recordings"), notice, playback.said, list);

  async function show() {
    try {
      const told = await page.api.get("recordings");
      const faults = told.problems.map((/** @type {string} */ text) => element("p", { class: "bad" }, text));
      notice.replaceChildren(...faults, ...(told.recordings.length ? [] : [emptyNotice()]));
      list.replaceChildren(...told.recordings.map((/** @type {Recording} */ one) => cardOf(one, told.sample_rate, page, playback)));
    } catch (error) {
      notice.replaceChildren(page.explain(error));
      list.replaceChildren();
    }
  }

  page.key.onChange(() => panel.hidden || show());
  return { show, hide: () => playback.stop() };
}

/**
 * @param {Recording} recording
 * @param {number} rate samples a second
 * @param {Page} page
 * @param {Playback} playback
 */
function cardOf(recording, rate, page, playback) {
  const play = element("button", { type: "button", class: "play", "aria-label": `Play ${recording.name}` }, "▶ Play");
  play.addEventListener("click", () => playback.toggle(recording.name, rate, play));
  const facts = [
    recording.seconds === null ? "no sound" : `${recording.seconds} s`,
    recording.words === "none" ? "no timed words" : `${recording.word_count} words, ${recording.words}`,
    ...(recording.simulated ? ["tones in place of the sound"] : []),
  ];
  const problems = recording.problems.map((text) => element("li", { class: "bad" }, text));
  return element(
    "li",
    { class: "recording" },
    element("div", { class: "controls" }, element("h3", {}, recording.name), element("span", { class: "aside" }, facts.join(" · ")), play),
    element("p", { class: "text" }, recording.transcript ?? "There is no transcript."),
    ...(problems.length ? [element("ul", { class: "problems" }, ...problems)] : []),
    ...(recording.mend ? [mendLine(recording.mend, page)] : []),
  );
}

/**
 * Return the command that mends a recording, to be copied.
 * @param {string} command
 * @param {Page} page
 */
function mendLine(command, page) {
  const copy = element("button", { type: "button" }, "Copy");
  copy.addEventListener("click", () => page.copy(command, copy));
  return element("p", { class: "mend" }, "To mend it: ", element("code", {}, command), " ", copy);
}

function emptyNotice() {
  const command = 'flask audio make hello --text "Hello! How can I help?"';
  return element("p", { class: "empty" }, "audio_assets holds no recording: ", element("code", {}, command));
}
