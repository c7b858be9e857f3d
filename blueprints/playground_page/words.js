/** The transcript of a sound, with the word that is heard now. */

import { element } from "./element.js";

/** @typedef {import("./turn.js").Word} Word */

export class Words {
  constructor() {
    this.element = element("p", { class: "words" });
    /** @type {Word[]} */
    this.words = [];
    /** @type {HTMLElement[]} */
    this.spans = [];
    this.current = -1;
    this.transcript = "";
    this.used = 0;
    this.rest = document.createTextNode("");
    this.element.append(this.rest);
  }

  /**
   * Show a transcript that may have grown, and the words whose times are known.
   * @param {string} transcript
   * @param {Word[]} words
   */
  update(transcript, words) {
    for (const word of words.slice(this.words.length)) {
      const at = transcript.indexOf(word.text, this.used);
      if (at < 0) continue;
      const span = element("span", { class: "word" }, word.text);
      this.rest.before(transcript.slice(this.used, at), span);
      this.used = at + word.text.length;
      this.words.push(word);
      this.spans.push(span);
    }
    if (this.transcript !== transcript || this.rest.data.length !== transcript.length - this.used) {
      this.transcript = transcript;
      this.rest.data = transcript.slice(this.used);
    }
  }

  /**
   * Mark what was heard by now.
   * @param {number} heardMs
   */
  show(heardMs) {
    let at = this.current;
    while (at + 1 < this.words.length && Number(this.words[at + 1]?.start_ts) <= heardMs) at += 1;
    if (at === this.current) return;
    for (let index = Math.max(this.current, 0); index < at; index += 1) this.spans[index]?.classList.add("heard");
    this.spans[this.current]?.classList.remove("now");
    this.spans[at]?.classList.add("now");
    this.current = at;
  }

  /** Mark no word as being heard now. */
  end() {
    this.spans[this.current]?.classList.remove("now");
    this.spans[this.current]?.classList.add("heard");
  }
}
