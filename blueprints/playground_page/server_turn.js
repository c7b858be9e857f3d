/**
 * One turn as the server saw it: its outcome in words, whose milliseconds they were, its log line.
 *
 * @typedef {object} ServerTurn
 * @property {number} seq
 * @property {number} at when it ended, in milliseconds since 1970
 * @property {number} worker
 * @property {string} endpoint
 * @property {string} id
 * @property {string | null} platform
 * @property {number | null} turn_id
 * @property {string | null} model
 * @property {string} outcome
 * @property {string | null} code
 * @property {string | null} upstream
 * @property {number} attempts
 * @property {number | null} passages
 * @property {number | null} lookup_ms
 * @property {number | null} asked_ms
 * @property {number | null} first_ms
 * @property {number | null} ttft_ms
 * @property {number} chunks
 * @property {number} ms
 *
 * @typedef {{name: string, from: number, to: number}} Part
 */

import { element } from "./element.js";
import { oursMs } from "./figures.js";

/** @type {Record<string, [string, string, "good" | "bad" | "odd"]>} */
const OUTCOMES = {
  ok: ["✓", "complete", "good"],
  capped: ["▲", "cut at a limit", "odd"],
  empty: ["○", "nothing was said", "odd"],
  client_closed: ["■", "caller left or interrupted", "odd"],
  refused: ["⊘", "refused", "bad"],
  error_before: ["✕", "failed before a word", "bad"],
  error_mid: ["✕", "failed in mid answer", "bad"],
  spoken_fallback: ["↻", "fallback was spoken", "odd"],
  shutdown: ["✕", "server stopped", "bad"],
};

/**
 * Return an outcome's sign, its words, and how it is coloured.
 * @param {string} outcome
 */
export function outcomeOf(outcome) {
  return OUTCOMES[outcome] ?? ["•", outcome, "odd"];
}

/**
 * Return an outcome with its code as elements: told by a sign and words, not by colour alone.
 * @param {ServerTurn} turn
 */
export function outcomeMark(turn) {
  const [sign, words, kind] = outcomeOf(turn.outcome);
  const code = turn.code ? element("code", {}, turn.code) : "";
  return element("span", { class: `outcome ${kind}` }, element("span", { "aria-hidden": "true" }, sign), ` ${words} `, code);
}

/**
 * Return whose milliseconds a turn's were, in their order.
 * @param {ServerTurn} turn
 * @returns {Part[]}
 */
export function partsOf(turn) {
  const asked = Math.min(oursMs(turn), turn.ms);
  const lookup = Math.min(turn.lookup_ms ?? 0, asked);
  const content = turn.asked_ms === null ? asked : Math.max(Math.min(turn.ttft_ms ?? turn.ms, turn.ms), asked);
  const parts = [
    { name: "look-up", from: 0, to: lookup },
    { name: "ours", from: lookup, to: asked },
    { name: "model", from: asked, to: content },
    { name: "answer", from: content, to: turn.ms },
  ];
  return parts.filter((part) => part.to > part.from);
}

/**
 * Return the waterfall of a turn, with a list of the same numbers.
 * @param {ServerTurn} turn
 */
export function waterfall(turn) {
  const parts = partsOf(turn);
  const share = (/** @type {number} */ ms) => `${(100 * ms) / Math.max(turn.ms, 0.1)}%`;
  const bars = parts.map((part) => {
    const bar = element("span", { class: `part part-${part.name}` });
    bar.style.left = share(part.from);
    bar.style.width = share(part.to - part.from);
    return bar;
  });
  const marks = [["first byte", turn.first_ms], ["first content", turn.ttft_ms]].map(([, ms]) => {
    const mark = element("span", { class: "mark" });
    mark.style.left = share(Number(ms ?? 0));
    mark.hidden = ms === null || ms === undefined;
    return mark;
  });
  const told = parts.map((part) => element("li", { class: `part-${part.name}` }, `${part.name} ${ms(part.to - part.from)}`));
  const byte = turn.first_ms === null ? [] : [element("li", { class: "part-mark" }, `first byte at ${ms(turn.first_ms)}`)];
  const content = turn.ttft_ms === null ? [] : [element("li", { class: "part-mark" }, `first content at ${ms(turn.ttft_ms)}`)];
  return element(
    "div",
    { class: "waterfall" },
    element("div", { class: "bars", "aria-hidden": "true" }, ...bars, ...marks),
    element("ul", {}, ...told, ...byte, ...content),
  );
}

/**
 * Return milliseconds for people.
 * @param {number | null | undefined} value
 */
export function ms(value) {
  if (value === null || value === undefined) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(1)} s`;
  return `${value >= 100 ? Math.round(value) : Number(value.toFixed(1))} ms`;
}

/**
 * Return the fields of a turn that the server logged, as JSON.
 * @param {ServerTurn} turn
 */
export function logLine(turn) {
  const { seq: _seq, at: _at, worker: _worker, ...fields } = turn;
  return JSON.stringify({ event: "request_end", ...fields }, null, 2);
}
