/**
 * A chart with what a screen reader needs of it: a sentence, and a table of the same numbers.
 *
 * Nothing here knows what is drawn. uPlot is loaded by a script of its own, before the modules.
 */

import { element } from "./element.js";

/**
 * @typedef {object} Series
 * @property {string} label
 * @property {string} unit
 * @property {1 | 2 | 3 | 4 | 5} colour a class `series-N` of the style sheet
 * @property {number[]} [dash] lengths of strokes and gaps, so that lines differ by more than their colour
 *
 * @typedef {object} Shape
 * @property {string} title
 * @property {string} axis heading of the first column
 * @property {boolean} [time] the first column holds seconds since 1970
 * @property {boolean} [stacked] bars, one upon the other
 * @property {Series[]} series
 */

const HEIGHT = 180;
/** Least seconds that an axis of times spans, up to the newest. */
const LEAST_SPAN = 60;
/** Steps of an axis of whole numbers. */
const WHOLE = [1, 2, 5].flatMap((digit) => [1, 10, 100, 1000, 10_000].map((power) => digit * power)).sort((one, other) => one - other);
/** Most rows of a table; the newest are kept. */
const MOST_ROWS = 60;

export class Chart {
  /** @param {Shape} shape */
  constructor(shape) {
    this.shape = shape;
    /** @type {any} */
    this.plot = null;
    /** @type {Array<Array<number | null>>} */
    this.columns = [];
    this.canvas = element("div", { class: "chart-canvas", role: "img", "aria-label": shape.title });
    this.sentence = element("p", { class: "chart-sentence" });
    this.body = element("tbody");
    this.probes = shape.series.map((one) => element("span", { class: `swatch series-${one.colour}`, "aria-hidden": "true" }));
    this.ink = element("span", { class: "chart-ink", "aria-hidden": "true" });
    const legend = shape.series.map((one, number) => element("li", {}, this.probes[number] ?? "", one.label));
    const heads = [shape.axis, ...shape.series.map((one) => `${one.label}${one.unit && `, ${one.unit}`}`)];
    const table = element(
      "table",
      {},
      element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
      this.body,
    );
    const region = { class: "scroll", role: "region", tabindex: "0", "aria-label": `${shape.title}: numbers` };
    this.figure = element(
      "figure",
      { class: "chart" },
      element("figcaption", {}, element("h3", {}, shape.title), element("ul", { class: "legend" }, ...legend)),
      this.canvas,
      this.ink,
      this.sentence,
      element("details", {}, element("summary", {}, "Numbers"), element("div", region, table)),
    );
    // A fixed width would overflow small screens.
    new ResizeObserver(() => this.fit()).observe(this.canvas);
  }

  /**
   * Draw columns of numbers, the first of them the horizontal axis, and tell them in a sentence.
   * @param {Array<Array<number | null>>} columns
   * @param {string} sentence
   */
  draw(columns, sentence) {
    this.columns = columns;
    this.sentence.textContent = sentence;
    this.canvas.setAttribute("aria-label", `${this.shape.title}. ${sentence}`);
    this.canvas.classList.toggle("without", !columns[0]?.length);
    this.tabulate();
    if (this.plot) this.plot.setData(this.drawn());
    else this.fit();
  }

  /** Draw once more, in the colours of now. */
  redraw() {
    this.plot?.redraw(false, true);
  }

  fit() {
    const width = Math.floor(this.canvas.clientWidth);
    if (!width || !this.columns[0]?.length) return;
    if (this.plot) this.plot.setSize({ width, height: HEIGHT });
    else this.plot = this.plotOf(width);
  }

  /** Return the columns as they are drawn: of a stack the sums, the largest first. */
  drawn() {
    const [axis = [], ...rest] = this.columns;
    if (!this.shape.stacked) return this.columns;
    const sums = rest.map((_, last) => axis.map((_, row) => sumOf(rest.slice(0, last + 1), row)));
    return [axis, ...sums.reverse()];
  }

  /** @param {number} width */
  plotOf(width) {
    const uPlot = /** @type {any} */ (window).uPlot;
    const { time = false, stacked = false, series } = this.shape;
    const bars = stacked && uPlot.paths.bars({ size: [0.7, 40] });
    const drawn = series.map((one, number) => {
      // A canvas does not know light-dark(): an element that bears the colour is asked for it at each drawing.
      const colour = () => colourOf(this.probes[number]);
      const line = { stroke: colour, width: 2, dash: one.dash, points: { show: isSparse, fill: colour, size: 5 } };
      return stacked ? { stroke: colour, fill: colour, width: 0, paths: bars, points: { show: false } } : line;
    });
    const ink = () => colourOf(this.ink);
    const axis = { stroke: ink, grid: { stroke: ink, width: 0.15 }, ticks: { stroke: ink, width: 0.3 } };
    const options = {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time, range: rangeOf(time, stacked) }, y: { range: fromZero } },
      axes: [
        { ...axis, ...(time ? { values: stacked ? minutes : clocks, space: 90 } : { incrs: WHOLE }) },
        { ...axis, size: 56, ...(series.some((one) => one.unit) ? {} : { incrs: WHOLE }) },
      ],
      series: [{}, ...(stacked ? drawn.reverse() : drawn)],
    };
    return new uPlot(options, this.drawn(), this.canvas);
  }

  tabulate() {
    const [axis = [], ...rest] = this.columns;
    const rows = axis.map((value, row) => {
      const cells = rest.map((column) => element("td", {}, shown(column[row] ?? null)));
      return element("tr", {}, element("th", { scope: "row" }, this.named(value ?? 0)), ...cells);
    });
    this.body.replaceChildren(...rows.reverse().slice(0, MOST_ROWS));
  }

  /** @param {number} value */
  named(value) {
    return this.shape.time ? new Date(value * 1000).toLocaleTimeString() : String(value);
  }
}

/**
 * @param {Array<Array<number | null>>} columns
 * @param {number} row
 */
function sumOf(columns, row) {
  return columns.reduce((sum, column) => sum + (column[row] ?? 0), 0);
}

/**
 * Return the horizontal range: bars need room at both ends, times a span, a single point any width at all.
 * @param {boolean} time
 * @param {boolean} bars
 */
export function rangeOf(time, bars) {
  return (/** @type {{data: number[][]}} */ { data: [axis = []] }) => {
    // Not as uPlot tells them: of a single time it makes a day.
    const [least = 0, most = least] = [axis[0], axis.at(-1)];
    if (time && !bars) return [Math.min(least, most - LEAST_SPAN), most];
    const room = bars ? 30 : least === most ? 0.5 : 0;
    return [least - room, most + room];
  };
}

/**
 * Return whether a line would be hard to see, having few points.
 * @param {any} plot
 * @param {number} series
 */
function isSparse(plot, series) {
  return plot.data[series].filter((/** @type {number | null} */ value) => value !== null).length < 3;
}

/**
 * @param {unknown} _plot
 * @param {number[]} values
 */
function minutes(_plot, values) {
  return values.map((value) => new Date(value * 1000).toLocaleTimeString([], { hour: "numeric", minute: "2-digit" }));
}

/**
 * Return times of day as the browser's user writes them.
 * @param {unknown} _plot
 * @param {number[]} values
 */
function clocks(_plot, values) {
  return values.map((value) => new Date(value * 1000).toLocaleTimeString());
}

/**
 * @param {unknown} _plot
 * @param {unknown} _least
 * @param {number} most
 */
function fromZero(_plot, _least, most) {
  return [0, Math.max(most, 1) * 1.1];
}

/** @param {Element | undefined} probe */
function colourOf(probe) {
  return probe ? getComputedStyle(probe).color : "gray";
}

/** @param {number | null} value */
function shown(value) {
  if (value === null) return "–";
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}
