/** The view Knowledge: the bases and their state, the search tester, the passages. */

import { element } from "./element.js";
import { Passages } from "./passages.js";
import { SearchTester } from "./search.js";

/** @typedef {import("./main.js").Page} Page */

/** Milliseconds until a look at knowledge that was being loaded. */
const AGAIN_MS = 1000;

/**
 * @param {HTMLElement} panel
 * @param {Page} page
 */
export function mount(panel, page) {
  const tester = new SearchTester(page);
  const passages = new Passages(page);
  const notice = element("div", { class: "notice" });
  const body = element("tbody");
  const heads = ["Base", "Passages", "State"].map((name) => element("th", { scope: "col" }, name));
  const bases = element("table", { class: "bases" }, element("caption", {}, "Knowledge bases"), element("thead", {}, element("tr", {}, ...heads)), body);
  const part = element("section", { class: "card panel-part" }, bases);
  panel.replaceChildren(element("h2", {}, "Knowledge"), notice, part, tester.section, passages.section);

  async function show() {
    try {
      const { kb } = await page.api.get("status");
      notice.replaceChildren();
      body.replaceChildren(...kb.bases.map(rowOf));
      tester.offer(kb.bases.map((/** @type {any} */ base) => base.name));
      const isEmpty = kb.bases.every((/** @type {any} */ base) => !base.passages && !base.faults);
      part.hidden = tester.section.hidden = isEmpty;
      if (isEmpty) notice.replaceChildren(emptyNotice(kb.state));
      if (kb.state === "loading") setTimeout(() => panel.hidden || show(), AGAIN_MS);
    } catch (error) {
      notice.replaceChildren(page.explain(error));
      part.hidden = tester.section.hidden = true;
    }
  }

  /** @param {{name: string, passages: number, state: string}} base */
  function rowOf(base) {
    const name = base.name || "(default)";
    const open = element("button", { type: "button", class: "link", "aria-label": `Open the passages of ${name}` }, name);
    open.addEventListener("click", () => passages.open(base.name));
    const kind = base.state === "ok" ? "good" : "bad";
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, open),
      element("td", {}, String(base.passages)),
      element("td", { class: kind }, base.state),
    );
  }

  page.key.onChange(() => panel.hidden || show());
  return { show, hide() {} };
}

/** @param {string} state */
function emptyNotice(state) {
  if (state === "loading") return element("p", { class: "empty" }, "The knowledge is being loaded …");
  const text = `There is no knowledge. Put *.json files into the folder that KB_DIR names, or convert documents: `;
  return element("p", { class: "empty" }, text, element("code", {}, "flask kb import FILES"));
}
