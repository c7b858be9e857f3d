/** The view Try. */
import { element } from "./element.js";

/**
 * @param {HTMLElement} panel
 * @param {import("./main.js").Page} page
 */
export function mount(panel, page) {
  panel.replaceChildren(element("p", { class: "empty" }, `Nothing yet ${page.key.value ? "" : ""}`));
  return { show() {}, hide() {} };
}
