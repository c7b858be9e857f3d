/**
 * A turn's figures: what the browser measured, joined with the server's row of the same turn. Values and tables.
 *
 * @typedef {import("./turn.js").Turn} Turn
 * @typedef {{name: string, text: string, note: string, key: boolean}} Figure
 * @typedef {{name: string, from: number, to: number}} Part
 * @typedef {{first_ms: number | null, lookup_ms: number | null, asked_ms: number | null, ttft_ms: number | null, ms: number,
 *   upstream: string | null, attempts: number, outcome: string}} Row the server's
 */

import { element } from "./element.js";

/** Where a rate is worth telling. */
const LEAST_RATE_MS = 100;

/**
 * Return milliseconds for people.
 * @param {number | null | undefined} value
 */
export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return `${value >= 100 ? Math.round(value) : value.toFixed(1)} ms`;
}

/**
 * Return how long a turn was the server's own, as the server saw it: where no model was asked (a quotation, a recording, a
 * refusal), until the first thing that was heard.
 * @param {{asked_ms: number | null, ttft_ms: number | null, first_ms: number | null, ms: number}} row
 */
export function oursMs(row) {
  return row.asked_ms ?? row.ttft_ms ?? row.first_ms ?? row.ms;
}

/**
 * Return the figures of a turn, as far as they are known now.
 * @param {Turn} turn
 * @param {Row | null} row
 * @returns {Figure[]}
 */
export function figuresOf(turn, row) {
  const marks = turn.marks;
  const hasSound = turn.request.endpoint === "audio";
  /** @type {[string, string, string, boolean?][]} */
  const rows = [
    ["First byte", ms(marks.byte), marks.waiting === undefined ? "" : "with the waiting message"],
    ["Waiting message", ms(marks.waiting), "while the answer is made"],
    ["First content", ms(marks.content), "typical 250–1000 ms", true],
    ["First sentence", ms(marks.sentence), "when a voice can begin", true],
    ["First sound", ms(marks.sound), "of the server's own voice", true],
    ["Rate", rateOf(turn), turn.tokens === null ? "chunks: no usage is told" : "tokens, by the usage"],
    ["Total", ms(marks.end), `${turn.chunks} ${turn.chunks === 1 ? "chunk" : "chunks"} of words`],
    ["Ours", ms(row && oursMs(row)), oursNote(row)],
    ["Model", ms(modelMs(row)), row ? modelNote(row) : "until its first word"],
    ["Network", ms(networkMs(turn, row)), "and proxies, both ways"],
  ];
  return rows
    .filter(
      ([name]) =>
        (name !== "First sound" || hasSound) && (name !== "Waiting message" || turn.request.endpoint !== "chat"),
    )
    .map(([name, text, note, key]) => ({ name, text, note, key: key ?? false }));
}

/** @param {Row | null} row */
function modelMs(row) {
  if (!row || row.ttft_ms === null || row.asked_ms === null) return null;
  return Math.max(row.ttft_ms - row.asked_ms, 0);
}

/** @param {Row | null} row */
function oursNote(row) {
  if (row?.lookup_ms) return `look-up ${ms(row.lookup_ms)}`;
  return row?.asked_ms === null ? "until the first content" : "before the model is asked";
}

/** @param {Row} row */
function modelNote(row) {
  if (row.asked_ms === null) return "no model was asked";
  return `${row.upstream}, ${row.attempts} ${row.attempts === 1 ? "attempt" : "attempts"}`;
}

/**
 * Return what the way took, of both ends' view of the first byte.
 * @param {Turn} turn
 * @param {Row | null} row
 */
function networkMs(turn, row) {
  if (!row || row.first_ms === null || turn.marks.byte === undefined) return null;
  return Math.max(turn.marks.byte - row.first_ms, 0);
}

/** @param {Turn} turn */
function rateOf(turn) {
  const { content, last } = turn.marks;
  if (content === undefined || last === undefined || last - content < LEAST_RATE_MS) return "–";
  const seconds = (last - content) / 1000;
  return turn.tokens === null
    ? `${Math.round((turn.chunks - 1) / seconds)} chunks/s`
    : `${Math.round(turn.tokens / seconds)} tokens/s`;
}

/**
 * Return the table of figures, with those of the turn before.
 * @param {Figure[]} figures
 * @param {Map<string, string>} before
 */
export function figureTable(figures, before) {
  const head = ["", "This turn", "Before", ""].map((name) =>
    name ? element("th", { scope: "col" }, name) : element("td"),
  );
  const rows = figures.map(({ name, text, note, key }) =>
    element(
      "tr",
      { class: key ? "key" : "" },
      element("th", { scope: "row" }, name),
      element("td", { class: "value" }, text),
      element("td", { class: "value before" }, before.get(name) ?? "–"),
      element("td", { class: "note" }, note),
    ),
  );
  return element(
    "table",
    { class: "figures", id: "figures" },
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows),
  );
}

/**
 * Return whose milliseconds a turn's were, in their order.
 * @param {Turn} turn
 * @param {Row | null} row
 * @returns {Part[]}
 */
export function partsOf(turn, row) {
  const end = turn.elapsed;
  const content = Math.min(turn.marks.content ?? turn.marks.sound ?? end, end);
  const network = Math.min(networkMs(turn, row) ?? 0, content);
  const lookup = Math.min(network + (row?.lookup_ms ?? 0), content);
  // Where no model was asked, all is ours.
  const asked = Math.min(network + (row?.asked_ms ?? Infinity), content);
  const parts = [
    { name: "network", from: 0, to: network },
    { name: "look-up", from: network, to: lookup },
    { name: row ? "ours" : "until the first content", from: lookup, to: asked },
    { name: "model", from: asked, to: content },
    { name: "answer", from: content, to: end },
  ];
  return parts.filter((part) => part.to - part.from > 0.05);
}

/**
 * Return the waterfall of a turn with a marker of its first content, and the same as a list.
 * @param {Turn} turn
 * @param {Row | null} row
 */
export function waterfall(turn, row) {
  const total = Math.max(turn.elapsed, 1);
  const parts = partsOf(turn, row);
  const bars = parts.map((part) => {
    const bar = element("span", { class: `part part-${part.name.replaceAll(" ", "-")}` });
    bar.style.left = `${(100 * part.from) / total}%`;
    bar.style.width = `${(100 * (part.to - part.from)) / total}%`;
    return bar;
  });
  /** @type {[string, number | undefined][]} */
  const marks = [
    ["waiting message", turn.marks.waiting],
    ["first content", turn.marks.content],
    ["first sound", turn.marks.sound],
  ];
  const known = marks.flatMap(([name, at]) => (at === undefined ? [] : [{ name, at }]));
  const lines = known.map(({ name, at }) => {
    const line = element("span", { class: `mark mark-${name.replaceAll(" ", "-")}` });
    line.style.left = `${(100 * at) / total}%`;
    return line;
  });
  const told = parts.map(({ name, from, to }) =>
    element("li", { class: `part-${name.replaceAll(" ", "-")}` }, `${name} ${ms(to - from)}`),
  );
  const tolds = known.map(({ name, at }) => element("li", { class: "part-mark" }, `${name} at ${ms(at)}`));
  return element(
    "div",
    { class: "waterfall" },
    element("div", { class: "bars", "aria-hidden": "true" }, ...bars, ...lines),
    element("ul", { "aria-label": "Whose milliseconds" }, ...told, ...tolds),
  );
}
