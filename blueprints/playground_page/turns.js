/** The view Turns: what the server did for every caller, its milliseconds and its log line. */

import { element } from "./element.js";
import { oursMs } from "./figures.js";
import { Poll } from "./poll.js";
import { logLine, ms, outcomeMark, outcomeOf, waterfall } from "./server_turn.js";

/** @typedef {import("./main.js").Page} Page */

/** @typedef {import("./server_turn.js").ServerTurn} ServerTurn */

const POLL_MS = 2000;
const MOST_TURNS = 200;
/** @type {Array<[string, (turn: ServerTurn) => string]>} */
const COLUMNS = [
  ["Endpoint", (turn) => turn.endpoint],
  ["Platform", (turn) => turn.platform ?? "–"],
  ["Turn", (turn) => String(turn.turn_id ?? "–")],
  ["First byte", (turn) => ms(turn.first_ms)],
  ["Ours", (turn) => ms(oursMs(turn))],
  ["First content", (turn) => ms(turn.ttft_ms)],
  ["Total", (turn) => ms(turn.ms)],
  ["Chunks", (turn) => String(turn.chunks)],
  ["Attempts", (turn) => String(turn.attempts)],
  ["Upstream", (turn) => turn.upstream ?? "–"],
];
/** @type {Record<string, (turn: ServerTurn) => number>} */
const ORDERS = {
  "newest first": (turn) => turn.at,
  "slowest first content": (turn) => turn.ttft_ms ?? turn.ms,
  "longest first": (turn) => turn.ms,
};

/**
 * @param {HTMLElement} panel
 * @param {Page} page
 */
export function mount(panel, page) {
  const view = new TurnsView(panel, page);
  page.key.onChange(() => view.poll.wake());
  return { show: () => view.poll.show(), hide: () => view.poll.hide() };
}

class TurnsView {
  /**
   * @param {HTMLElement} panel
   * @param {Page} page
   */
  constructor(panel, page) {
    this.page = page;
    /** @type {Map<number, ServerTurn>} */
    this.turns = new Map();
    /** @type {Map<number, {row: HTMLElement, details: HTMLElement}>} */
    this.rows = new Map();
    this.after = 0;
    this.poll = new Poll(() => this.ask(), POLL_MS);
    this.wanted = element("input", { type: "search", id: "turns-wanted", placeholder: "id, platform, code …" });
    this.order = element("select", { id: "turns-order" }, ...Object.keys(ORDERS).map((name) => element("option", {}, name)));
    this.pause = element("button", { type: "button", "aria-pressed": "false" }, "Pause");
    this.count = element("p", { class: "count", role: "status" });
    this.notice = element("div", { class: "notice" });
    this.body = element("tbody", { role: "rowgroup" });
    const heads = ["Time", "Outcome", ...COLUMNS.map(([name]) => name)];
    const head = element("tr", { role: "row" }, ...heads.map((name) => element("th", { role: "columnheader", scope: "col" }, name)));
    this.table = element(
      "table",
      { class: "turns", role: "table", "aria-label": "Turns" },
      element("thead", { role: "rowgroup" }, head),
      this.body,
    );
    this.wanted.addEventListener("input", () => this.draw());
    this.order.addEventListener("change", () => this.draw());
    this.pause.addEventListener("click", () => this.toggle());
    const controls = element(
      "div",
      { class: "controls" },
      element("label", { for: "turns-wanted" }, "Filter"),
      this.wanted,
      element("label", { for: "turns-order" }, "Order"),
      this.order,
      this.pause,
      this.count,
    );
    panel.replaceChildren(element("h2", {}, "Turns"), controls, this.notice, this.table);
    this.table.hidden = true;
  }

  toggle() {
    const paused = this.pause.getAttribute("aria-pressed") !== "true";
    this.pause.setAttribute("aria-pressed", String(paused));
    this.poll.pause(paused);
    this.draw();
  }

  async ask() {
    try {
      const told = await this.page.api.get(`turns?after=${this.after}&limit=${MOST_TURNS}`);
      // A server that was started anew counts from nothing.
      if (told.seq < this.after) this.turns.clear();
      this.after = told.seq;
      for (const turn of told.turns) this.turns.set(turn.seq, turn);
      this.notice.replaceChildren();
    } catch (error) {
      this.notice.replaceChildren(this.page.explain(error));
    }
    this.draw();
  }

  /** Return the turns that are shown, in their order. */
  chosen() {
    const words = this.wanted.value.toLowerCase().split(/\s+/).filter(Boolean);
    const by = ORDERS[this.order.value] ?? ((turn) => turn.at);
    const newest = [...this.turns.values()].sort((one, other) => other.at - one.at || other.seq - one.seq);
    for (const turn of newest.splice(MOST_TURNS)) this.turns.delete(turn.seq);
    const found = newest.filter((turn) => words.every((word) => searched(turn).includes(word)));
    return found.sort((one, other) => by(other) - by(one));
  }

  draw() {
    const chosen = this.chosen();
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const rows = chosen.flatMap((turn) => {
      const { row, details } = this.rowsOf(turn);
      return details.hidden ? [row] : [row, details];
    });
    if (rows.length !== this.body.children.length || rows.some((row, number) => row !== this.body.children[number])) {
      this.body.replaceChildren(...rows);
      if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    }
    for (const seq of this.rows.keys()) if (!this.turns.has(seq)) this.rows.delete(seq);
    this.table.hidden = !chosen.length;
    const paused = this.poll.isPaused ? ", paused" : "";
    this.count.textContent = `${chosen.length} of ${this.turns.size} turns${paused}`;
    if (this.notice.childElementCount) return;
    const empty = "No turn yet. Point a platform at this URL (Connect), or ask in Try.";
    const none = "No turn bears these words.";
    const text = this.turns.size ? (chosen.length ? "" : none) : empty;
    this.notice.replaceChildren(...(text ? [element("p", { class: "empty" }, text)] : []));
  }

  /**
   * Return a turn's row and the one behind it, which is closed at first.
   * @param {ServerTurn} turn
   */
  rowsOf(turn) {
    const known = this.rows.get(turn.seq);
    if (known) return known;
    const time = new Date(turn.at).toLocaleTimeString();
    const opener = element("button", { type: "button", class: "opener", "aria-expanded": "false" }, time);
    const cells = COLUMNS.map(([name, value]) => element("td", { role: "cell", "data-label": name }, value(turn)));
    const row = element(
      "tr",
      { role: "row", class: "turn" },
      element("th", { role: "rowheader", scope: "row" }, opener),
      element("td", { role: "cell", "data-label": "Outcome" }, outcomeMark(turn)),
      ...cells,
    );
    const details = element("tr", { role: "row", class: "details" });
    details.hidden = true;
    opener.addEventListener("click", () => {
      details.hidden = !details.hidden;
      opener.setAttribute("aria-expanded", String(!details.hidden));
      if (!details.childElementCount) details.append(this.detailsOf(turn));
      this.draw();
    });
    const made = { row, details };
    this.rows.set(turn.seq, made);
    return made;
  }

  /** @param {ServerTurn} turn */
  detailsOf(turn) {
    const cell = element("td", { role: "cell", colspan: String(COLUMNS.length + 2) });
    const copy = element("button", { type: "button" }, "Copy the id");
    copy.addEventListener("click", () => this.page.copy(turn.id, copy));
    const line = { class: "code", role: "region", tabindex: "0", "aria-label": `Log line of turn ${turn.id}` };
    cell.append(
      waterfall(turn),
      element("p", {}, "Id ", element("code", {}, turn.id), " ", copy),
      element("pre", line, logLine(turn)),
    );
    if (this.page.status.value?.capture) {
      import("./captures.js").then(async ({ capturedTurn }) => cell.append(await capturedTurn(this.page, turn)));
    }
    return cell;
  }
}

/**
 * Return the text in which a filter looks.
 * @param {ServerTurn} turn
 */
function searched(turn) {
  const words = [outcomeOf(turn.outcome)[1], ...Object.values(turn)];
  return words.filter((value) => typeof value === "string" || typeof value === "number").join(" ").toLowerCase();
}
