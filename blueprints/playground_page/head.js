/** The page's head: what the server is and how it does, its hints, the key and the theme. */

import { element } from "./element.js";
import { Failure } from "./failure.js";

const KEY = "parley-key";
const THEME = "parley-theme";
const ASK_MS = 10_000;
/** Milliseconds between two looks at a server that is not ready. */
const UNREADY_MS = 1000;

/** The key that is entered: it stays in this tab. */
export class Key {
  constructor() {
    this.input = /** @type {HTMLInputElement} */ (document.getElementById("key"));
    this.input.value = sessionStorage.getItem(KEY) ?? "";
  }

  /** @param {() => void} act called when another key is entered */
  onChange(act) {
    this.input.addEventListener("change", () => {
      if (this.value) sessionStorage.setItem(KEY, this.value);
      else sessionStorage.removeItem(KEY);
      act();
    });
    this.input.form?.addEventListener("submit", (event) => event.preventDefault());
  }

  get value() {
    return this.input.value.trim();
  }
}

/** Have the theme's switch set the scheme, and keep it for this tab. */
export function followTheme() {
  const chosen = /** @type {HTMLSelectElement} */ (document.getElementById("theme"));
  chosen.value = sessionStorage.getItem(THEME) ?? "auto";
  const apply = () => {
    document.documentElement.dataset.theme = chosen.value;
    sessionStorage.setItem(THEME, chosen.value);
  };
  chosen.addEventListener("change", apply);
  apply();
}

/**
 * What the server tells of itself, asked for again while somebody looks. `change` is dispatched at each answer.
 * `value` is the last answer, null before it; `failure` why there is none.
 */
export class Status extends EventTarget {
  /** @param {import("./api.js").Api} api */
  constructor(api) {
    super();
    this.api = api;
    /** @type {any} */
    this.value = null;
    /** @type {Failure | null} */
    this.failure = null;
    this.timer = 0;
    document.addEventListener("visibilitychange", () => this.refresh());
  }

  /** Ask now, and then again and again while the page is seen. */
  async refresh() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    try {
      this.value = await this.api.get(`status?scheme=${location.protocol.slice(0, -1)}`);
      this.failure = null;
    } catch (error) {
      this.failure = error instanceof Failure ? error : Failure.unreachable();
    }
    this.dispatchEvent(new Event("change"));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), this.value?.ready === false ? UNREADY_MS : ASK_MS);
  }
}

/** Show what a status tells. @param {Status} status */
export function showStatus(status) {
  const line = /** @type {HTMLElement} */ (document.getElementById("facts"));
  const hints = /** @type {HTMLElement} */ (document.getElementById("hints"));
  status.addEventListener("change", () => {
    const facts = status.failure ? [fact("bad", status.failure.reason, status.failure.step)] : factsOf(status.value);
    line.replaceChildren(...facts);
    const told = status.failure ? [] : (status.value.hints ?? []);
    const open = hints.querySelector("details")?.open ?? false;
    hints.replaceChildren(...(told.length ? [hintList(told, open)] : []));
  });
}

/**
 * @param {string} kind good, odd, bad or plain
 * @param {string} text
 * @param {string} [title]
 */
function fact(kind, text, title = "") {
  return element("li", { class: `fact ${kind}`, title }, text);
}

/**
 * Return how an upstream does, in words, with the sign's kind: "closed", of a breaker, sounds like the opposite.
 * @param {string} state of its breaker
 * @returns {[kind: string, words: string, title: string]}
 */
export function upstreamOf(state) {
  const title = `Its breaker is ${state.replace("_", " ")}`;
  if (state === "closed") return ["good", "ok", title];
  if (state === "open") return ["bad", "failing, not asked for a while", title];
  return ["odd", "being tried again", title];
}

/** @param {any} status */
function factsOf(status) {
  const upstreams = Object.entries(status.upstreams ?? {}).map(([name, state]) => {
    const [kind, words, title] = upstreamOf(state);
    return fact(kind, `${name === "embedded" ? "embedded model" : name} ${words}`, title);
  });
  const passages = (status.kb?.bases ?? []).reduce(
    (/** @type {number} */ sum, /** @type {any} */ one) => sum + (one.passages ?? 0),
    0,
  );
  const kb = status.kb?.state ?? "empty";
  const kind = { ok: "good", degraded: "odd", loading: "odd" }[/** @type {string} */ (kb)] ?? "plain";
  const voice = status.audio?.voice ?? (status.audio?.mode === "assets" ? "recordings" : status.audio?.mode);
  return [
    fact("plain", status.version),
    ...(status.ready === false ? [fact("bad", `not ready: ${status.reason}`)] : []),
    ...(status.capture ? [fact("bad", `keeps what callers say (CAPTURE=${status.capture})`, "For debugging")] : []),
    fact("plain", status.quotes ? "quoted from the knowledge" : `model ${status.model ?? "none"}`),
    ...upstreams,
    fact(kind, kb === "empty" ? "no knowledge" : `knowledge ${kb}, ${passages} ${passages === 1 ? "passage" : "passages"}`, "State and passages of the knowledge"),
    fact("plain", `voice ${voice ?? "none"}`),
  ];
}

/**
 * @param {{text: string, fix: string}[]} hints
 * @param {boolean} open
 */
function hintList(hints, open) {
  const items = hints.map(({ text, fix }) => element("li", {}, text, ...(fix ? [" ", element("code", {}, fix)] : [])));
  const title = `${hints.length} ${hints.length === 1 ? "hint" : "hints"} on this server`;
  return element("details", { class: "hints", open }, element("summary", {}, title), element("ul", {}, ...items));
}
