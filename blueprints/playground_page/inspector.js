/** What happened in a turn: figures, waterfall, sound, passages, events. */

import { button, element } from "./element.js";
import { Events } from "./events.js";
import { figuresOf, figureTable, ms, waterfall } from "./figures.js";

/**
 * @typedef {import("./turn.js").Turn} Turn
 * @typedef {import("./figures.js").Row} Row
 */

/** Times that the server's row is looked for, and milliseconds between them: it is written when the turn has ended there. */
const ROW_TRIES = 6;
const ROW_WAIT_MS = 250;
const TICK_MS = 100;

export class Inspector {
  /** @param {import("./main.js").Page} page */
  constructor(page) {
    this.page = page;
    /** @type {Turn | null} */
    this.turn = null;
    /** @type {Row | null} */
    this.row = null;
    /** @type {Map<string, string>} */
    this.before = new Map();
    /** @type {{question: string, before: string, kb: string, filters: any}} */
    this.asked = { question: "", before: "", kb: "", filters: {} };
    this.empty = element(
      "div",
      { class: "empty inspector-empty" },
      element(
        "p",
        {},
        "Here stands what happened, and when: first byte, first content, first sentence; whose milliseconds they were; what was heard; each event as it came.",
      ),
      element("p", {}, "Ask something, or press one of the examples."),
    );
    this.figures = element("div", { class: "figures-box" });
    this.bars = element("div", { class: "waterfall-box" });
    this.sound = element("div");
    this.passages = element("div");
    this.events = new Events(page);
    this.content = element(
      "div",
      { class: "inspector-content", hidden: true },
      element("h2", { class: "unseen" }, "This turn"),
      this.figures,
      this.bars,
      this.sound,
      this.passages,
      this.events.element,
    );
    this.element = element("div", { class: "card inspector" }, this.empty, this.content);
    this.frame = 0;
    this.drawnCitations = /** @type {any} */ (undefined);
  }

  /**
   * Show a turn that begins.
   * @param {Turn} turn
   * @param {{question: string, before: string, kb: string, filters: any}} asked
   */
  watch(turn, asked) {
    if (this.turn) this.before = new Map(figuresOf(this.turn, this.row).map(({ name, text }) => [name, text]));
    this.turn = turn;
    this.row = null;
    this.asked = asked;
    this.drawnCitations = undefined;
    this.sound.replaceChildren();
    this.reservePassages(turn.request.endpoint === "rag");
    this.empty.hidden = true;
    this.content.hidden = false;
    turn.addEventListener("change", () => this.soon());
    // The clock goes on where nothing comes.
    const clock = setInterval(
      () => (turn.isRunning && turn === this.turn ? this.soon() : clearInterval(clock)),
      TICK_MS,
    );
    this.soon();
  }

  /** Forget all turns. */
  clear() {
    this.turn = null;
    this.before = new Map();
    this.empty.hidden = false;
    this.content.hidden = true;
  }

  // perf: one drawing a frame, however many events come (100 a second and more).
  soon() {
    this.frame ||= requestAnimationFrame(() => {
      this.frame = 0;
      this.draw();
    });
  }

  draw() {
    const turn = this.turn;
    if (!turn) return;
    this.figures.replaceChildren(figureTable(figuresOf(turn, this.row), this.before));
    this.bars.replaceChildren(waterfall(turn, this.row));
    this.events.update(turn.events);
    this.drawPassages(turn);
  }

  /**
   * Keep room for the passages that are looked up, so that the events do not move when they come.
   * @param {boolean} isWanted
   */
  reservePassages(isWanted) {
    const head = element("div", { class: "block-head" }, element("h3", {}, "Passages"));
    const block = element("section", { class: "block" }, head, element("p", { class: "empty" }, "Being looked up …"));
    this.passages.classList.toggle("passages-box", isWanted);
    this.passages.replaceChildren(...(isWanted ? [block] : []));
  }

  /** @param {Turn} turn */
  drawPassages(turn) {
    const { endpoint } = turn.request;
    const looksUp = endpoint === "rag" || (endpoint === "audio" && turn.citations !== null);
    if (!looksUp || (turn.isRunning && !turn.citations) || this.drawnCitations === turn.citations) return;
    this.drawnCitations = turn.citations;
    if (turn.state === "refused" || turn.state === "unreachable") return this.reservePassages(false);
    const hits = turn.citations ?? [];
    const list = hits.map((hit) =>
      element(
        "li",
        { class: "passage" },
        element("b", {}, Number(hit.score).toFixed(2)),
        " ",
        element("strong", {}, hit.title || hit.id),
        " ",
        element("span", { class: "aside" }, hit.file ?? ""),
      ),
    );
    const none = element(
      "p",
      { class: "empty" },
      turn.notes.includes("rag degraded")
        ? "The search failed or took too long: the model answered without passages."
        : "No passage was sent: nothing was found, or it is small talk. “Why?” tells which.",
    );
    const why = element("div", { class: "why" });
    this.passages.replaceChildren(
      element(
        "section",
        { class: "block" },
        element(
          "div",
          { class: "block-head" },
          element("h3", {}, "Passages"),
          button("Why?", (pressed) => this.explain(why, pressed), {
            class: "small",
            title: "Search once more, and show scores, shared words and what went upstream",
          }),
        ),
        hits.length ? element("ol", { class: "passages", id: "passages" }, ...list) : none,
        why,
      ),
    );
  }

  /**
   * Have the search explained, as the view Knowledge does.
   * @param {HTMLElement} box
   * @param {HTMLButtonElement} pressed
   */
  async explain(box, pressed) {
    pressed.disabled = true;
    try {
      const found = await this.page.api.post("search", this.asked);
      const { SearchTester } = await import("./search.js");
      const tester = new SearchTester(this.page);
      tester.show(found);
      box.replaceChildren(tester.result);
    } catch (error) {
      box.replaceChildren(this.page.explain(error));
    }
    pressed.disabled = false;
  }

  /**
   * Join the server's row of the turn with what was measured here.
   * @param {Turn} turn
   */
  async join(turn) {
    for (let tries = 0; tries < ROW_TRIES && turn.requestId; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, tries ? ROW_WAIT_MS : ROW_WAIT_MS / 5));
      const told = await this.page.api.get("turns?limit=50").catch(() => ({ turns: [] }));
      const row = told.turns.find((/** @type {any} */ one) => one.id === turn.requestId);
      if (this.turn !== turn) return;
      if (row) {
        this.row = row;
        this.soon();
        return;
      }
    }
  }

  /** Return a sentence on the turn, for screen readers. */
  get sentence() {
    const content = this.turn?.marks.content;
    return content === undefined ? "" : `first content after ${ms(content)}`;
  }
}
