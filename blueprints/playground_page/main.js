/**
 * The page: head, tabs, and what every view gets.
 *
 * A view is a module of the tab's name, loaded when the tab is first chosen. It exports
 *
 *     mount(panel: HTMLElement, page: Page) -> {show(), hide()}
 *
 * `mount` fills its panel (`#panel-NAME`) once; `show` is called whenever the view comes to be seen, `hide` when another
 * one is chosen. A view asks the server for nothing while it is hidden. Text gets onto the page by `element()` alone.
 *
 * @typedef {object} Page
 * @property {Api} api `get`, `post` (JSON below playground/api/), `metrics` and `ask`, which bear the key and throw a Failure
 * @property {Hash} hash `read()` gives view, endpoint and preset, `write({endpoint})` replaces parts
 * @property {Key} key `value` is the key that is entered, "" for none
 * @property {Status} status `value` is the answer of playground/api/status or null; it dispatches `change`
 * @property {(error: unknown, again?: () => void) => HTMLElement} explain a failure as an element with cause and next step
 * @property {(text: string, pressed?: HTMLElement) => void} copy copies a text; the pressed button tells that it was
 * @property {(blob: Blob, name: string) => void} download has the browser save a file
 * @property {(text: string) => void} announce tells screen readers, politely
 * @property {(name: string) => void} go shows another view
 * @property {import("./captures.js").Again | null} again a request that Try is to send again
 */

import { Api } from "./api.js";
import { failureCard } from "./failure.js";
import { followTheme, Key, showStatus, Status } from "./head.js";
import { Hash, NAMES, Tabs } from "./view.js";

/** Milliseconds that the first view waits for the head, which would push it down later. */
const HEAD_MS = 400;

const key = new Key();
const hash = new Hash();
const api = new Api(() => key.value);
const status = new Status(api);
const announcer = /** @type {HTMLElement} */ (document.getElementById("announcer"));

const tabs = new Tabs(hash, async (name, panel) => {
  try {
    return (await import(`./${name}.js`)).mount(panel, page);
  } catch (error) {
    panel.replaceChildren(failureCard(error));
    throw error;
  }
});

/** @type {Page} */
const page = {
  api,
  hash,
  key,
  status,
  explain: failureCard,
  copy: async (text, pressed) => (await import("./clipboard.js")).copy(text, pressed),
  download: async (blob, name) => (await import("./clipboard.js")).download(blob, name),
  announce: (text) => {
    announcer.textContent = text;
  },
  go: (name) => tabs.choose(name),
  again: null,
};

followTheme();
showStatus(status);
key.onChange(() => status.refresh());
const isTold = new Promise((resolve) => status.addEventListener("change", resolve, { once: true }));
const isLate = new Promise((resolve) => setTimeout(resolve, HEAD_MS));
status.refresh();
// Loaded meanwhile; the tabs tell of a failure.
import(`./${hash.read().view}.js`).catch(() => null);
Promise.race([isTold, isLate]).then(() => tabs.show(hash.read().view));

addEventListener("keydown", (event) => {
  const name = NAMES[Number(event.code.replace("Digit", "")) - 1];
  if (event.altKey && !event.ctrlKey && event.code.startsWith("Digit") && name) {
    event.preventDefault();
    tabs.choose(name);
    tabs.tab(name).focus();
  }
});
