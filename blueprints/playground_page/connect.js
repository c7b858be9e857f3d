/** The view Connect: what to enter at a voice platform, or to write in a program, so that it asks this server. */

import { element } from "./element.js";

/** @typedef {import("./main.js").Page} Page */

const ENDPOINTS = /** @type {const} */ (["chat", "rag", "audio"]);
const WAIT_MS = 300;

/**
 * @param {HTMLElement} panel
 * @param {Page} page
 */
export function mount(panel, page) {
  const view = new ConnectView(panel, page);
  page.key.onChange(() => panel.hidden || view.ask());
  return { show: () => view.ask(), hide() {} };
}

class ConnectView {
  /**
   * @param {HTMLElement} panel
   * @param {Page} page
   */
  constructor(panel, page) {
    this.page = page;
    /** @type {any} */
    this.told = {};
    /** @type {number | undefined} */
    this.timer = undefined;
    this.platform = element("select", { id: "connect-platform" });
    this.endpoint = element("select", { id: "connect-endpoint" }, ...ENDPOINTS.map((name) => element("option", {}, name)));
    this.url = element("input", { id: "connect-url", type: "text", inputmode: "url", spellcheck: "false", autocomplete: "off" });
    // The address under which this page was reached, without the page's own route.
    this.url.value = new URL(".", location.href).href.replace(/\/$/, "");
    this.notice = element("div", { class: "notice" });
    this.result = element("div", { class: "result card", "aria-live": "polite" });
    this.result.hidden = true;
    this.endpoint.value = "rag";
    const fields = element(
      "div",
      { class: "fields" },
      element("label", { for: "connect-platform" }, "Platform"),
      this.platform,
      element("label", { for: "connect-endpoint" }, "Endpoint"),
      this.endpoint,
      element("label", { for: "connect-url" }, "Public address of this server"),
      this.url,
    );
    this.platform.addEventListener("change", () => this.draw());
    this.endpoint.addEventListener("change", () => this.ask());
    this.url.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.ask(), WAIT_MS);
    });
    panel.replaceChildren(element("h2", {}, "Connect"), fields, this.notice, this.result);
  }

  async ask() {
    const query = new URLSearchParams({ url: this.url.value, endpoint: this.endpoint.value });
    try {
      this.told = await this.page.api.get(`presets?${query}`);
      this.notice.replaceChildren();
      this.draw();
    } catch (error) {
      this.notice.replaceChildren(this.page.explain(error));
      this.result.hidden = true;
    }
  }

  draw() {
    const chosen = this.platform.value;
    const platforms = Object.entries(this.told.platforms ?? {});
    this.platform.replaceChildren(...platforms.map(([name, told]) =>
      element("option", { value: name }, /** @type {any} */ (told).title)));
    if (platforms.some(([name]) => name === chosen)) this.platform.value = chosen;
    const told = this.told.platforms?.[this.platform.value];
    this.result.hidden = !told;
    if (!told) return;
    const warnings = told.warnings.map((/** @type {string} */ text) => element("li", {}, text));
    const notes = told.notes.map((/** @type {string} */ text) => element("li", {}, ...codes(text)));
    this.result.replaceChildren(
      ...(warnings.length ? [element("ul", { class: "warnings", "aria-label": "Warnings" }, ...warnings)] : []),
      element("h3", {}, told.url_form === "full" ? "Full URL to enter" : "Base URL to enter"),
      this.copied("url", told.url, "Copy the URL"),
      element("h3", {}, "What to enter"),
      element("p", { class: "aside" }, told.where),
      this.copied("snippet", told.snippet, "Copy"),
      element("ul", { class: "notes" }, ...notes),
      element("h3", {}, "Test the way"),
      this.copied("doctor", `flask doctor --url ${told.url} --platform ${this.platform.value}`, "Copy the command"),
    );
  }

  /**
   * Return a text with the button that copies it.
   * @param {string} name
   * @param {string} text
   * @param {string} label
   */
  copied(name, text, label) {
    const button = element("button", { type: "button", class: "copy" }, label);
    button.addEventListener("click", () => this.page.copy(text, button));
    const attributes = { class: "code", role: "region", tabindex: "0", "aria-label": name, "data-copied": name };
    return element("div", { class: "copied" }, element("pre", attributes, text), button);
  }
}

/**
 * Return a text whose parts between backquotes are elements of code.
 * @param {string} text
 */
function codes(text) {
  return text.split("`").map((part, number) => (number % 2 ? element("code", {}, part) : part));
}
