/** The raw events of a turn, as they came: filtered, copied, saved. */

import { button, element } from "./element.js";

/** @typedef {import("./sse.js").StreamEvent} StreamEvent */

/** Rows on the page; all events can be copied and saved. */
const MOST_ROWS = 300;
const MOST_CHARACTERS = 600;
const ENVELOPE = /^\{"id":"[^"]*","object":"chat\.completion\.chunk","created":\d+,"model":"[^"]*",/;
const SOUND = /("data":\s*")([A-Za-z0-9+/=]{60,})"/g;

export class Events {
  /** @param {import("./main.js").Page} page */
  constructor(page) {
    /** @type {StreamEvent[]} */
    this.events = [];
    this.shown = 0;
    /** The envelope of the last row: it is shown where it changes. */
    this.envelope = "";
    this.filter = element("input", {
      type: "search",
      placeholder: "Filter",
      "aria-label": "Filter the events",
      id: "event-filter",
    });
    this.filter.addEventListener("input", () => this.again());
    this.list = element("ol", { class: "events", tabindex: "0", role: "group", "aria-label": "Events" });
    this.count = element("span", { class: "count" });
    this.element = element(
      "section",
      { class: "block" },
      element(
        "div",
        { class: "block-head" },
        element("h3", {}, "Events"),
        this.count,
        this.filter,
        button("Copy", (pressed) => page.copy(this.raw(), pressed), { class: "small" }),
        button("Save .sse", () => page.download(new Blob([this.raw()], { type: "text/event-stream" }), "answer.sse"), {
          class: "small",
        }),
      ),
      this.list,
    );
  }

  /** Return the events as they stood in the stream. */
  raw() {
    return this.events
      .map(
        ({ kind, text }) => (kind === "comment" ? `: ${text}` : `data: ${text.replaceAll("\n", "\ndata: ")}`) + "\n\n",
      )
      .join("");
  }

  /**
   * Show the events of a turn, which may have become more.
   * @param {StreamEvent[]} events
   */
  update(events) {
    if (events !== this.events) {
      this.events = events;
      this.again();
    } else if (events.length > this.shown) {
      this.append();
    }
  }

  again() {
    this.list.replaceChildren();
    this.envelope = "";
    // Of many events the last are shown.
    this.shown = 0;
    this.append();
  }

  append() {
    const wanted = this.filter.value.toLowerCase();
    const fresh = this.events
      .slice(this.shown)
      .filter(({ kind, text }) => `${kind} ${text}`.toLowerCase().includes(wanted));
    const follows = this.list.scrollTop + this.list.clientHeight >= this.list.scrollHeight - 8;
    this.list.append(...fresh.slice(-MOST_ROWS).map((event) => this.row(event)));
    while (this.list.childElementCount > MOST_ROWS) this.list.firstElementChild?.remove();
    this.shown = this.events.length;
    this.count.textContent =
      this.shown > MOST_ROWS ? `${this.shown}, the last ${MOST_ROWS} are shown` : String(this.shown);
    if (follows) this.list.scrollTop = this.list.scrollHeight;
  }

  /** @param {StreamEvent} event */
  row({ at, kind, text }) {
    const [envelope = ""] = ENVELOPE.exec(text) ?? [];
    const isKnown = envelope !== "" && envelope === this.envelope;
    this.envelope = envelope || this.envelope;
    const told = isKnown ? `{… ${text.slice(envelope.length)}` : text;
    const short = told.replaceAll(SOUND, (_, before, sound) => `${before}… ${sound.length} characters of sound"`);
    const shown = short.length > MOST_CHARACTERS ? `${short.slice(0, MOST_CHARACTERS)} …` : short;
    const code = element("code", {}, kind === "comment" ? `: ${shown}` : shown);
    return element("li", { class: `event ${kind}` }, element("span", { class: "at" }, `+${at.toFixed(1)}`), " ", code);
  }
}
