/**
 * The search tester: what a question finds in the knowledge, why, and what the model would be told.
 *
 * @typedef {object} Hit
 * @property {string} id
 * @property {string} title
 * @property {string} file
 * @property {number} score
 * @property {Record<string, number>} parts
 * @property {string[]} words
 * @property {boolean} sent
 * @property {string} text
 */

import { element } from "./element.js";

/** @typedef {import("./main.js").Page} Page */

export class SearchTester {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.question = element("input", { id: "search-question", autocomplete: "off" });
    this.before = element("input", { id: "search-before", autocomplete: "off" });
    this.agent = element("input", { id: "search-agent", autocomplete: "off" });
    this.kb = element("select", { id: "search-kb" });
    this.filters = element("input", { id: "search-filters", autocomplete: "off", placeholder: '{"language": "en"}', spellcheck: "false" });
    this.result = element("div", { class: "result", "aria-live": "polite" });
    const form = element(
      "form",
      { class: "fields" },
      ...field("Question", this.question),
      ...field("What the caller said before", this.before),
      ...field("What the agent said then", this.agent),
      ...field("Knowledge base", this.kb),
      ...field("Filters, as JSON", this.filters),
      element("button", { type: "submit", class: "primary" }, "Search"),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.search();
    });
    this.section = element("section", { class: "card panel-part" }, element("h3", {}, "What does a question find?"), form, this.result);
  }

  /**
   * Offer these bases; the one that was chosen stays.
   * @param {string[]} names
   */
  offer(names) {
    const chosen = this.kb.value;
    const options = names.map((name) => element("option", { value: name }, name || "(default)"));
    this.kb.replaceChildren(...options);
    if (names.includes(chosen)) this.kb.value = chosen;
  }

  async search() {
    const question = this.question.value.trim();
    let filters = {};
    try {
      filters = JSON.parse(this.filters.value || "{}");
    } catch (error) {
      this.tell(element("p", { class: "bad" }, `The filters are no JSON: ${/** @type {Error} */ (error).message}`));
      return;
    }
    if (!question) {
      this.tell(element("p", { class: "empty" }, "Write a question first."));
      this.question.focus();
      return;
    }
    this.result.setAttribute("aria-busy", "true");
    try {
      const said = { before: this.before.value.trim(), agent: this.agent.value.trim() };
      this.show(await this.page.api.post("search", { question, ...said, kb: this.kb.value, filters }));
    } catch (error) {
      this.tell(this.page.explain(error));
    }
    this.result.removeAttribute("aria-busy");
  }

  /** @param {any} found what `flask kb search --json` prints */
  show(found) {
    /** @type {Hit[]} */
    const hits = found.hits;
    const sent = hits.filter((hit) => hit.sent).length;
    const count = `${hits.length} ${hits.length === 1 ? "passage" : "passages"} found, ${sent} of them sent.`;
    const told = hits.length ? [element("p", { class: "good" }, count)] : this.nothing(found);
    const list = element("ol", { class: "hits" }, ...hits.map((hit) => hitOf(hit)));
    this.tell(...told, facts(found), list, upstream(found.sent));
  }

  /** @param {any} found */
  nothing(found) {
    if (found.looked_up === null) {
      return [element("p", { class: "empty" }, "Small talk: the model answers without a search.")];
    }
    const [nearest] = found.nearest ?? [];
    const reached = found.measure === "coverage" ? found.coverage : found.confidence;
    const cosine = found.best_cosine === null ? "" : `, with a cosine of ${found.best_cosine}`;
    const text = nearest
      ? `Nothing was found: the best passage reaches ${found.measure} ${reached}${cosine}; ${found.floor} is needed.`
      : `Nothing was found: ${found.refusal}.`;
    const best = nearest ? [element("ol", { class: "hits greyed", "aria-label": "The best passage" }, hitOf(nearest))] : [];
    return [element("p", { class: "empty" }, text), ...best];
  }

  /** @param {...HTMLElement} elements */
  tell(...elements) {
    this.result.replaceChildren(...elements);
  }
}

/**
 * @param {string} label
 * @param {HTMLElement} control
 */
function field(label, control) {
  return [element("label", { for: control.id }, label), control];
}

/** @param {Hit} hit */
function hitOf(hit) {
  const parts = Object.entries(hit.parts).map(([name, value]) => `${name} ${value.toFixed(2)}`);
  const words = hit.words.length ? `shares ${hit.words.map((word) => `“${word}”`).join(", ")}` : "shares no whole word";
  return element(
    "li",
    { class: hit.sent ? "hit sent" : "hit" },
    element("p", {}, element("b", {}, hit.score.toFixed(2)), " ", element("strong", {}, hit.title || hit.id), " ",
      element("span", { class: "aside" }, hit.file), " ", element("span", { class: "badge" }, hit.sent ? "sent" : "not sent")),
    element("p", { class: "text" }, hit.text),
    element("p", { class: "aside" }, [...parts, words].join(" · ")),
  );
}

/**
 * Return what is known of a search besides its hits.
 * @param {any} found
 */
function facts(found) {
  const by = found.encoder ? `words and ${found.encoder}` : "words alone";
  const rows = [
    ["Gate", found.gate],
    ["Looked up", found.looked_up],
    ["With what was said before", found.before],
    ["Searched by", by],
    ["Language", found.language],
    [found.measure ?? "Measure", found.confidence === null ? null : `${found.confidence}, at least ${found.threshold} is needed`],
  ];
  const known = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element("dl", { class: "facts" }, ...known.map(([name, value]) =>
    element("div", {}, element("dt", {}, String(name)), element("dd", {}, String(value)))));
}

/** @param {string} text */
function upstream(text) {
  const label = { class: "code", role: "region", tabindex: "0", "aria-label": "What goes upstream" };
  return element("details", {}, element("summary", {}, "What goes upstream"), element("pre", label, text));
}
