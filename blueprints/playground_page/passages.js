/** The passages of a knowledge file, a hundred a page, and the faults of its base. */

import { element } from "./element.js";

/** @typedef {import("./main.js").Page} Page */

/**
 * @typedef {{id: string, title: string, text: string, file: string, metadata: Record<string, unknown>}} Passage
 * @typedef {{file: string, line: number | null, where: string, message: string, lost: string}} Fault
 *
 * @typedef {object} Told
 * @property {Array<{name: string, passages: number}>} files
 * @property {number} total
 * @property {number} elsewhere
 * @property {number} from
 * @property {number | null} next
 * @property {Passage[]} passages
 * @property {Fault[]} faults
 */

const PAGE = 100;

export class Passages {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.kb = "";
    this.from = 0;
    this.file = element("select", { id: "passages-file" });
    this.list = element("ol", { class: "passages" });
    this.faults = element("div", { class: "faults" });
    this.where = element("p", { class: "count", role: "status" });
    this.back = element("button", { type: "button" }, "Previous 100");
    this.next = element("button", { type: "button" }, "Next 100");
    this.title = element("h3", {}, "Passages");
    this.back.addEventListener("click", () => this.turn(-PAGE));
    this.next.addEventListener("click", () => this.turn(PAGE));
    this.file.addEventListener("change", () => this.turn(-this.from));
    this.section = element("section", { class: "card panel-part" },
      this.title,
      this.faults,
      element("div", { class: "controls" }, element("label", { for: "passages-file" }, "File"), this.file, this.back, this.next, this.where),
      this.list,
    );
    this.section.hidden = true;
  }

  /**
   * Show a base from its first passage on.
   * @param {string} kb
   */
  open(kb) {
    this.kb = kb;
    this.file.replaceChildren(element("option", { value: "" }, "all files"));
    this.section.hidden = false;
    return this.turn(-this.from);
  }

  /** @param {number} by */
  async turn(by) {
    this.from = Math.max(this.from + by, 0);
    const query = new URLSearchParams({ kb: this.kb, file: this.file.value, from: String(this.from) });
    try {
      this.show(await this.page.api.get(`passages?${query}`));
    } catch (error) {
      this.list.replaceChildren(this.page.explain(error));
    }
  }

  /** @param {Told} told */
  show(told) {
    this.title.textContent = `Passages of ${this.kb || "the base without a name"}`;
    const chosen = this.file.value;
    const options = told.files.map(({ name, passages }) => element("option", { value: name }, `${name} (${passages})`));
    this.file.replaceChildren(element("option", { value: "" }, "all files"), ...options);
    this.file.value = chosen;
    const faults = told.faults.map((fault) => element("li", {}, faultOf(fault)));
    const warning = element("p", { class: "bad" }, "Faults in the files of this base:");
    this.faults.replaceChildren(...(faults.length ? [warning, element("ul", {}, ...faults)] : []));
    this.list.start = told.from + 1;
    this.list.replaceChildren(...told.passages.map(passageOf));
    const last = told.from + told.passages.length;
    this.where.textContent = told.total
      ? `${told.from + 1} to ${last} of ${told.total}`
      : told.elsewhere
        ? `${told.elsewhere} passages, which are searched in the database and not shown here.`
        : "No passage.";
    this.back.disabled = told.from === 0;
    this.next.disabled = told.next === null;
  }
}

/** @param {Passage} passage */
function passageOf(passage) {
  const metadata = Object.entries(passage.metadata).map(([key, value]) => `${key}: ${JSON.stringify(value)}`);
  return element(
    "li",
    {},
    element("p", {}, element("strong", {}, passage.title || passage.id), " ",
      element("span", { class: "aside" }, passage.file)),
    element("p", { class: "text" }, passage.text),
    ...(metadata.length ? [element("p", { class: "aside" }, metadata.join(" · "))] : []),
  );
}

/**
 * Return a fault as a sentence, with its file and line.
 * @param {Fault} fault
 */
function faultOf(fault) {
  const line = fault.line === null ? "" : `, line ${fault.line}`;
  const lost = fault.lost === "nothing" ? "" : ` (this ${fault.lost} is left out)`;
  return element("span", {}, element("code", {}, `${fault.file}${line}`), ` ${fault.where} ${fault.message}${lost}`);
}
