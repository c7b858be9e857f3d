/** The view Live: how the server does now, drawn from its metrics and the last turns. */

import { Chart } from "./chart.js";
import { element } from "./element.js";
import { oursMs } from "./figures.js";
import { upstreamOf } from "./head.js";
import { boundOf, meanBetween, percentile, readingOf } from "./metrics.js";
import { Poll } from "./poll.js";
import { ms, outcomeOf } from "./server_turn.js";

/** @typedef {import("./main.js").Page} Page */

/** @typedef {import("./server_turn.js").ServerTurn} ServerTurn */
/** @typedef {import("./metrics.js").Reading} Reading */

const POLL_MS = 5000;
/** Readings that are kept: ten minutes of them. */
const MOST_READINGS = 120;
const TURNS = 200;
/** Turns behind each point of the curves. */
const WINDOW = 20;
const MINUTE = 60_000;
const MINUTES = 15;
/** Kinds of outcomes in the bars, the lowest first. */
const KINDS = /** @type {const} */ (["good", "odd", "bad"]);

/**
 * @param {HTMLElement} panel
 * @param {Page} page
 */
export function mount(panel, page) {
  const view = new LiveView(panel, page);
  page.key.onChange(() => view.poll.wake());
  return { show: () => view.poll.show(), hide: () => view.poll.hide() };
}

class LiveView {
  /**
   * @param {HTMLElement} panel
   * @param {Page} page
   */
  constructor(panel, page) {
    this.page = page;
    /** @type {Reading[]} */
    this.readings = [];
    /** @type {ServerTurn[]} */
    this.turns = [];
    this.poll = new Poll(() => this.ask(), POLL_MS);
    this.notice = element("div", { class: "notice" });
    this.tiles = element("dl", { class: "tiles" });
    this.latency = new Chart({
      title: "First content",
      axis: "turn",
      series: [
        { label: "p95", unit: "ms", colour: 2, dash: [8, 4] },
        { label: "p50", unit: "ms", colour: 1 },
        { label: "ours, p50", unit: "ms", colour: 3, dash: [2, 3] },
      ],
    });
    this.outcomes = new Chart({
      title: "Turns a minute",
      axis: "minute",
      time: true,
      stacked: true,
      series: [
        { label: "complete", unit: "", colour: 3 },
        { label: "interrupted, or not quite", unit: "", colour: 4 },
        { label: "refused or failed", unit: "", colour: 5 },
      ],
    });
    this.open = new Chart({
      title: "Open streams",
      axis: "time",
      time: true,
      series: [{ label: "open streams", unit: "", colour: 1 }],
    });
    this.lag = new Chart({
      title: "Delay of the event loop",
      axis: "time",
      time: true,
      series: [{ label: "mean delay", unit: "ms", colour: 1 }],
    });
    this.totals = element("tbody");
    this.breakers = element("tbody");
    this.charts = [this.latency, this.outcomes, this.open, this.lag];
    this.picture = element(
      "div",
      { class: "live" },
      this.tiles,
      element("div", { class: "charts" }, ...this.charts.map((chart) => chart.figure)),
      element("div", { class: "tables" }, table("Requests since the start", ["Outcome", "Requests"], this.totals),
        table("Upstreams", ["Upstream", "State"], this.breakers)),
    );
    this.picture.hidden = true;
    panel.replaceChildren(element("h2", {}, "Live"), this.notice, this.picture);
    const redraw = () => this.charts.forEach((chart) => chart.redraw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
    new MutationObserver(redraw).observe(document.documentElement, { attributes: true });
  }

  async ask() {
    try {
      const [text, told] = await Promise.all([this.page.api.metrics(), this.page.api.get(`turns?limit=${TURNS}`)]);
      this.turns = told.turns;
      this.readings.push(readingOf(text, Date.now()));
      this.readings.splice(0, this.readings.length - MOST_READINGS);
      this.notice.replaceChildren();
      this.picture.classList.remove("stale");
      this.picture.hidden = false;
      this.draw();
    } catch (error) {
      const last = this.readings.at(-1);
      const since = last ? [element("p", {}, `The picture is of ${new Date(last.at).toLocaleTimeString()}.`)] : [];
      this.notice.replaceChildren(this.page.explain(error), ...since);
      this.picture.classList.add("stale");
    }
  }

  draw() {
    const now = /** @type {Reading} */ (this.readings.at(-1));
    this.drawTiles(now);
    this.drawLatency();
    this.drawOutcomes(now);
    this.drawReadings(now);
    const totals = Object.entries(now.outcomes).sort((one, other) => other[1] - one[1]);
    this.totals.replaceChildren(...rowsOf(totals.map(([name, count]) => [outcomeOf(name)[1], String(count)])));
    const breakers = Object.entries(now.breakers).map(([name, open]) => {
      const [kind, words, title] = upstreamOf(open ? "open" : "closed");
      return [name, element("span", { class: kind, title }, words)];
    });
    this.breakers.replaceChildren(...rowsOf(breakers));
  }

  /** @param {Reading} now */
  drawTiles(now) {
    const all = Object.values(now.outcomes).reduce((sum, count) => sum + count, 0);
    const lag = boundOf(now.lag, 0.99);
    const searches = Object.values(now.lookups).reduce((sum, count) => sum + count, 0);
    const tiles = [
      ["Open streams", "open", String(now.open)],
      ["Requests", "requests", String(all)],
      ["Loop delay, p99", "lag", lag === null ? "–" : lag === Infinity ? "> 1 s" : `≤ ${ms(lag * 1000)}`],
      ["Passages", "passages", String(now.passages)],
      ["Searches", "searches", String(searches)],
    ];
    const shown = tiles.map(([name, key, value]) =>
      element("div", { class: "tile" }, element("dt", {}, name ?? ""), element("dd", { "data-key": key ?? "" }, value ?? "")),
    );
    this.tiles.replaceChildren(...shown);
  }

  drawLatency() {
    const heard = this.turns.filter((turn) => turn.ttft_ms !== null).sort((one, other) => one.at - other.at);
    const windows = heard.map((_, last) => heard.slice(Math.max(last - WINDOW + 1, 0), last + 1));
    const content = windows.map((turns) => turns.map((turn) => turn.ttft_ms ?? 0));
    const ours = windows.map((turns) => percentile(turns.map(oursMs), 0.5));
    const high = content.map((values) => percentile(values, 0.95));
    const half = content.map((values) => percentile(values, 0.5));
    const sentence = heard.length
      ? `Of the last ${content.at(-1)?.length} answers half began within ${ms(half.at(-1))}, 95 of 100 within ` +
        `${ms(high.at(-1))}; ${ms(ours.at(-1))} of it was ours.`
      : "No turn has had an answer yet.";
    this.latency.draw([heard.map((_, number) => number + 1), high, half, ours], sentence);
  }

  /** @param {Reading} now */
  drawOutcomes(now) {
    const last = Math.floor(now.at / MINUTE);
    const minutes = Array.from({ length: MINUTES }, (_, back) => last - MINUTES + 1 + back);
    // Of a minute that lies behind the oldest turn that is kept, nothing is known.
    const oldest = this.turns.length < TURNS ? 0 : Math.min(...this.turns.map((turn) => turn.at));
    const known = minutes.filter((minute) => minute * MINUTE >= oldest);
    const counts = KINDS.map((kind) => known.map((minute) => this.turns.filter((turn) =>
      Math.floor(turn.at / MINUTE) === minute && outcomeOf(turn.outcome)[2] === kind).length));
    const [good, odd, bad] = counts.map((column) => column.reduce((sum, count) => sum + count, 0));
    const sentence = `In the last ${known.length} minutes: ${good} complete, ${odd} interrupted or not quite, ${bad} refused or failed.`;
    this.outcomes.draw([known.map((minute) => minute * 60), ...counts], sentence);
  }

  /** @param {Reading} now */
  drawReadings(now) {
    const times = this.readings.map((reading) => reading.at / 1000);
    const most = Math.max(...this.readings.map((reading) => reading.open));
    const lags = this.readings.map((reading, number) => {
      const before = this.readings[number - 1];
      const mean = before && meanBetween(before.lag, reading.lag);
      return mean === null || mean === undefined ? null : mean * 1000;
    });
    this.open.draw([times, this.readings.map((reading) => reading.open)], `${now.open} now, at most ${most} since this view was opened.`);
    const lag = lags.at(-1);
    const told = lag === null || lag === undefined ? "It is known from the second reading on." : `${lag.toFixed(2)} ms in the mean since the last reading.`;
    this.lag.draw([times, lags], told);
  }
}

/**
 * @param {string} title
 * @param {string[]} heads
 * @param {Element} body
 */
function table(title, heads, body) {
  const row = element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)));
  return element("table", {}, element("caption", {}, title), element("thead", {}, row), body);
}

/** @param {(string | HTMLElement)[][]} rows */
function rowsOf(rows) {
  return rows.map(([name = "", ...cells]) =>
    element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((cell) => element("td", {}, cell))),
  );
}
