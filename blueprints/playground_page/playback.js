/** Playback of one recording at a time, through a real request to /audio. */
import { element } from "./element.js";

/** @typedef {import("./main.js").Page} Page */

export class Playback {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.said = element("p", { class: "said", role: "status" });
  }

  /**
   * @param {string} _name
   * @param {HTMLElement} _button
   */
  toggle(_name, _button) {}

  stop() {}
}
