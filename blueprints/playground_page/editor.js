/** The next request as JSON, to be changed before it is sent. */

import { button, element } from "./element.js";

export class Editor {
  /**
   * @param {() => void} compose has the request composed anew
   * @param {() => void} send
   */
  constructor(compose, send) {
    this.area = element("textarea", {
      class: "code",
      id: "request",
      rows: 14,
      spellcheck: "false",
      autocomplete: "off",
      "aria-label": "Request as JSON",
      "aria-describedby": "request-error",
    });
    this.error = element("p", { class: "bad", id: "request-error", role: "alert" });
    this.path = element("code", {});
    this.element = element(
      "div",
      { class: "editor" },
      element("p", { class: "aside" }, "POST ", this.path, " — sent as it stands here. Ctrl+Enter sends."),
      this.area,
      this.error,
      element("div", { class: "ask-buttons" }, button("Compose again", compose, { class: "small", id: "compose" })),
    );
    this.area.addEventListener("input", () => this.check());
    this.area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) send();
    });
  }

  /**
   * @param {string} path
   * @param {any} body
   */
  show(path, body) {
    this.write(path, JSON.stringify(body, null, 2));
  }

  /**
   * @param {string} path
   * @param {string} text
   */
  write(path, text) {
    this.path.textContent = `/${path}`;
    this.area.value = text;
    this.check();
  }

  /** Return the request, or null if it is no JSON: then the error and its line are told. */
  check() {
    const text = this.area.value;
    try {
      const body = JSON.parse(text);
      this.area.removeAttribute("aria-invalid");
      this.error.textContent = "";
      return { text, body };
    } catch (error) {
      const message = /** @type {Error} */ (error).message;
      const line = lineOf(message, text);
      this.area.setAttribute("aria-invalid", "true");
      this.error.textContent = `${line ? `Line ${line}: ` : ""}${message.replace(/\s*(in JSON )?at (position|line) .*$/, "")}`;
      return null;
    }
  }
}

/**
 * Return the line that a parser's message means; browsers word it in their own ways.
 * @param {string} message
 * @param {string} text
 */
export function lineOf(message, text) {
  const line = /line (\d+)/.exec(message);
  if (line) return Number(line[1]);
  const position = /position (\d+)/.exec(message);
  if (position) return text.slice(0, Number(position[1])).split("\n").length;
  return /end of/i.test(message) ? text.split("\n").length : 0;
}
