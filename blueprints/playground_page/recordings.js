/** The view Recordings: what the folder holds, and how each recording sounds through /audio. */

import { element } from "./element.js";

/**
 * @typedef {object} Recording
 * @property {string} name
 * @property {number | null} seconds
 * @property {string | null} transcript
 * @property {string | null} words how the words are timed
 * @property {string[]} problems
 * @property {string[]} advice
 * @property {string | null} mend
 */

/**
 * @param {HTMLElement} panel
 * @param {any} page
 */
export function mount(panel, page) {
  const notice = element("div", { class: "notice" });
  const list = element("ul", { class: "recordings" });
  panel.replaceChildren(element("h2", {}, "Recordings"), notice, list);

  return {
    async show() {
      try {
        const { recordings } = await page.api.get("recordings");
        notice.replaceChildren(...(recordings.length ? [] : [emptyNotice()]));
        list.replaceChildren(...recordings.map((/** @type {Recording} */ one) => cardOf(one, page)));
      } catch (error) {
        notice.replaceChildren(page.explain(error));
      }
    },
    hide() {},
  };
}

/**
 * @param {Recording} recording
 * @param {any} page
 */
function cardOf(recording, page) {
  return element("li", { class: "recording" }, element("h3", {}, recording.name));
}

function emptyNotice() {
  const command = 'flask audio make hello --text "Hello! How can I help?"';
  return element("p", { class: "empty" }, "audio_assets holds no recording: ", element("code", {}, command));
}
