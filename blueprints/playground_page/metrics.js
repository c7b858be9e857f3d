/**
 * The server's metrics in Prometheus' text format, read into numbers. Pure.
 *
 * @typedef {{name: string, labels: Record<string, string>, value: number}} Sample
 * @typedef {{count: number, sum: number, buckets: Array<[number, number]>}} Histogram
 * @typedef {object} Reading
 * @property {number} at milliseconds since 1970
 * @property {number} open turns that are running
 * @property {Record<string, number>} outcomes requests since the start, by outcome
 * @property {Record<string, boolean>} breakers upstreams, and whether their breaker is open
 * @property {Histogram} lag delay of the event loop in seconds
 * @property {number} passages passages in the knowledge
 * @property {Record<string, number>} lookups searches since the start, by result
 */

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/**
 * Return all samples of an exposition.
 * @param {string} text
 * @returns {Sample[]}
 */
export function samplesOf(text) {
  const samples = [];
  for (const line of text.split("\n")) {
    const found = line.startsWith("#") ? null : LINE.exec(line);
    if (!found) continue;
    /** @type {Record<string, string>} */
    const labels = {};
    for (const [, name = "", value = ""] of (found[2] ?? "").matchAll(LABEL)) labels[name] = unescaped(value);
    samples.push({ name: found[1] ?? "", labels, value: numberOf(found[3] ?? "") });
  }
  return samples;
}

/**
 * Return what the views show of an exposition.
 * @param {string} text
 * @param {number} at when it was read
 * @returns {Reading}
 */
export function readingOf(text, at) {
  const samples = samplesOf(text);
  const breakers = Object.entries(sums(samples, "parley_breaker_open", "upstream"));
  return {
    at,
    open: total(samples, "parley_open_streams"),
    outcomes: sums(samples, "parley_requests_total", "outcome"),
    breakers: Object.fromEntries(breakers.map(([name, open]) => [name, open > 0])),
    lag: histogram(samples, "parley_loop_lag_seconds"),
    passages: total(samples, "parley_kb_passages"),
    lookups: sums(samples, "parley_rag_lookups_total", "result"),
  };
}

/**
 * Return a metric's values by one label, added up over all others.
 * @param {Sample[]} samples
 * @param {string} name
 * @param {string} label
 */
export function sums(samples, name, label) {
  /** @type {Record<string, number>} */
  const found = {};
  for (const one of samples) {
    if (one.name !== name) continue;
    const key = one.labels[label] ?? "";
    found[key] = (found[key] ?? 0) + one.value;
  }
  return found;
}

/**
 * Return a metric's values, added up.
 * @param {Sample[]} samples
 * @param {string} name
 */
function total(samples, name) {
  return samples.reduce((sum, one) => (one.name === name ? sum + one.value : sum), 0);
}

/**
 * Return a histogram, added up over all labels but the bound.
 * @param {Sample[]} samples
 * @param {string} name
 * @returns {Histogram}
 */
function histogram(samples, name) {
  /** @type {Array<[number, number]>} */
  const buckets = Object.entries(sums(samples, `${name}_bucket`, "le")).map(([le, count]) => [numberOf(le), count]);
  buckets.sort((one, other) => one[0] - other[0]);
  return { count: total(samples, `${name}_count`), sum: total(samples, `${name}_sum`), buckets };
}

/**
 * Return the smallest bound in seconds that a share of the observations does not exceed: Infinity beyond the largest,
 * null without observations.
 * @param {Histogram} histogram
 * @param {number} share
 */
export function boundOf(histogram, share) {
  if (!histogram.count) return null;
  const found = histogram.buckets.find(([, count]) => count >= share * histogram.count);
  return found ? found[0] : Infinity;
}

/**
 * Return the mean of the observations between two readings in seconds, null where there were none.
 * @param {Histogram} before
 * @param {Histogram} now
 */
export function meanBetween(before, now) {
  const count = now.count - before.count;
  // A server that was started anew counts from nothing.
  return count > 0 ? (now.sum - before.sum) / count : null;
}

/**
 * Return the value at a share of a list of numbers by the nearest rank, null of none.
 * @param {number[]} values
 * @param {number} share
 */
export function percentile(values, share) {
  const sorted = [...values].sort((one, other) => one - other);
  return sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)] ?? null;
}

/** @param {string} text */
function numberOf(text) {
  return text === "+Inf" ? Infinity : Number(text);
}

/**
 * Return a label's value without its escapes.
 * @param {string} text
 */
function unescaped(text) {
  return text.replace(/\\(.)/g, (_, letter) => (letter === "n" ? "\n" : letter));
}
