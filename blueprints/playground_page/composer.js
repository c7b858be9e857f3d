/** What is asked, and how: endpoint, platform, fields of Parley's own, words. */

import { button, element, field } from "./element.js";
import { Failure } from "./failure.js";

const ENDPOINTS = [
  ["chat", "Chat", "The model alone"],
  ["rag", "Knowledge", "A waiting message, then an answer from the knowledge"],
  ["audio", "Audio", "The server's own voice"],
];
const GENERAL = ["Hello!", "Count to ten, slowly.", "Tell me a story of three sentences."];
const MOST_SAMPLES = 4;
/** Titles longer than this are no good examples. */
const MOST_TITLE = 40;

export class Composer extends EventTarget {
  /**
   * Dispatches `send`, `broadcast`, `interrupt`, `new`, `edit`, `speak`, `endpoint` and `sample` with a text as its detail.
   * @param {import("./main.js").Page} page
   */
  constructor(page) {
    super();
    this.page = page;
    const { endpoint, preset } = page.hash.read();
    this.endpoint = ENDPOINTS.some(([name]) => name === endpoint) ? endpoint : "chat";
    this.wantedPlatform = preset || "agora";
    /** Whether the platforms were refused; they are asked for again when the server answers. */
    this.isKeyless = false;
    this.platform = element("select", {});
    this.platform.addEventListener("change", () => {
      this.wantedPlatform = this.platform.value;
      page.hash.write({ endpoint: this.endpoint, preset: this.platform.value });
    });
    this.kb = element("select", {});
    this.waiting = element("select", {}, ...[["", "as the server has it"], ["always", "always"], ["off", "off"], ["400", "after 400 ms"], ["1500", "after 1.5 s"]]
      .map(([value, text]) => element("option", { value: String(value) }, String(text))));
    this.filters = element("input", { type: "text", placeholder: '{"language": "en"}', spellcheck: "false", autocomplete: "off" });
    this.citations = element("input", { type: "checkbox" });
    this.asset = element("select", {});
    this.grounded = element("input", { type: "checkbox" });
    this.system = element("textarea", { rows: 2, placeholder: "none", spellcheck: "false" });
    this.words = element("textarea", { id: "words", rows: 2, placeholder: "Your words", "aria-label": "Your words", "aria-keyshortcuts": "/" });
    this.edit = button("Edit request", () => this.tell("edit"), { id: "edit", class: "toggle small", "aria-expanded": "false" });
    this.stop = button("Interrupt", () => this.tell("interrupt"), { id: "interrupt", disabled: true, "aria-keyshortcuts": "Escape" });
    this.speak = button("Speak", () => this.tell("speak"), { id: "speak", hidden: !("SpeechRecognition" in globalThis || "webkitSpeechRecognition" in globalThis) });
    this.say = button("Say exactly this", () => this.tell("broadcast"), { id: "broadcast", title: "A broadcast: no model is asked" });
    this.hint = element("p", { class: "aside", hidden: true });
    this.samples = element("p", { class: "samples" });
    this.sampled = "";
    this.radios = element("fieldset", { class: "endpoints" }, element("legend", { class: "unseen" }, "Endpoint"), ...ENDPOINTS.map((one) => this.radio(one)));
    this.head = element("div", { class: "try-head" }, this.radios, this.inline("as", this.platform, "platform"));
    this.options = element("details", { class: "options" }, element("summary", {}, "Fields and instructions"), element("div", { class: "option-grid" },
      this.only("rag audio", field("Knowledge base", this.kb, "kb")), this.only("rag audio", field("Waiting message", this.waiting, "waiting")),
      this.only("rag audio", field("Filters, as JSON", this.filters, "filters")), this.only("rag", this.inline("include_citations", this.citations, "include-citations")),
      this.only("audio", this.inline("from the knowledge (rag)", this.grounded, "grounded")), field("System prompt", this.system, "system")));
    this.audioLine = this.only("audio", element("div", { class: "audio-line" }, this.inline("What is heard", this.asset, "asset"), this.hint));
    const send = element("button", { type: "submit", class: "primary", id: "send", "aria-keyshortcuts": "Enter" }, "Send");
    this.form = element("form", { class: "ask" }, this.words, element("div", { class: "ask-buttons" }, send, this.stop, this.speak, this.only("audio", this.say),
      button("New", () => this.tell("new"), { id: "new", title: "Forget this conversation" }), element("span", { class: "aside keys" }, "Enter sends, Esc interrupts")), this.samples);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.tell("send");
    });
    this.words.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.tell("send");
    });
    page.status.addEventListener("change", () => this.offer());
    this.offer();
    this.choose(this.endpoint);
  }

  /** @param {string[]} endpoint */
  radio([name = "", label = "", title = ""]) {
    const input = element("input", { type: "radio", name: "endpoint", value: name, id: `endpoint-${name}`, checked: name === this.endpoint });
    input.addEventListener("change", () => {
      this.page.hash.write({ endpoint: name });
      this.choose(name);
    });
    return element("label", { title }, input, element("span", {}, label));
  }

  /**
   * @param {string} label
   * @param {HTMLElement} control
   * @param {string} id
   */
  inline(label, control, id) {
    const made = field(label, control, id);
    made.classList.add("inline");
    return made;
  }

  /**
   * Show an element with these endpoints alone.
   * @template {HTMLElement} E
   * @param {string} endpoints
   * @param {E} shown
   * @returns {E}
   */
  only(endpoints, shown) {
    shown.dataset.only = endpoints;
    return shown;
  }

  /** @param {string} name */
  async choose(name) {
    this.endpoint = name;
    for (const part of [this.options, this.form, this.audioLine]) {
      const all = /** @type {HTMLElement[]} */ ([part, ...part.querySelectorAll("[data-only]")]);
      for (const one of all) if (one.dataset.only) one.hidden = !one.dataset.only.split(" ").includes(name);
    }
    this.tell("endpoint");
    this.offerSamples();
    await this.offerPlatforms();
  }

  /** Offer the platforms that can ask this endpoint; the chosen one stays if it can. */
  async offerPlatforms() {
    const endpoint = this.endpoint;
    const told = await this.page.api.get(`presets?endpoint=${endpoint}`).catch(() => null);
    this.isKeyless = told === null;
    if (!told || endpoint !== this.endpoint) return;
    const platforms = Object.values(told.platforms).filter((one) => one.endpoints.includes(endpoint));
    this.platform.replaceChildren(...platforms.map((one) => element("option", { value: one.platform }, one.title)));
    if (platforms.some((one) => one.platform === this.wantedPlatform)) this.platform.value = this.wantedPlatform;
  }

  /** Offer what the server has. */
  offer() {
    const status = this.page.status.value;
    if (!status) return;
    // With a key that was entered just now.
    if (this.isKeyless) this.offerPlatforms();
    const bases = (status.kb?.bases ?? []).map((/** @type {any} */ one) => one.name);
    fill(this.kb, bases.map((/** @type {string} */ name) => [name, name || "(default)"]));
    const mode = status.audio?.mode;
    const answers = { speech: [["", "spoken answer"]], relay: [["", "the upstream's sound"]] }[/** @type {string} */ (mode)] ?? [];
    fill(this.asset, [...answers, ...(status.recordings ?? []).map((/** @type {string} */ name) => [name, `recording ${name}`])]);
    this.hint.hidden = mode !== "assets";
    this.hint.textContent = "Recordings are played, whatever is asked. Start with AUDIO_MODE=speech to hear answers.";
    this.offerSamples();
  }

  async offerSamples() {
    const kind = this.endpoint === "rag" ? `rag ${this.kb.value}` : "general";
    if (this.sampled === kind || (kind !== "general" && !this.page.status.value)) return;
    this.sampled = kind;
    let texts = GENERAL;
    if (kind !== "general") {
      const told = await this.page.api.get(`passages?kb=${encodeURIComponent(this.kb.value)}`).catch(() => ({ passages: [] }));
      const titles = told.passages.map((/** @type {any} */ one) => one.title).filter((/** @type {string} */ title) => title && title.length <= MOST_TITLE);
      const step = Math.max(1, Math.floor(titles.length / MOST_SAMPLES));
      texts = titles.filter((/** @type {string} */ _, /** @type {number} */ index) => index % step === 0).slice(0, MOST_SAMPLES);
    }
    if (this.sampled !== kind) return;
    const buttons = texts.map((text) => button(text, () => this.tell("sample", text), { class: "link" }));
    this.samples.replaceChildren(...(buttons.length ? ["Try: ", ...buttons.flatMap((one, index) => (index ? [" · ", one] : [one]))] : []));
  }

  /** Return the filters. Throws a Failure where they are no JSON. */
  parsedFilters() {
    try {
      return JSON.parse(this.filters.value);
    } catch (error) {
      const step = 'Write them as JSON, as in {"language": "en"}.';
      throw new Failure({ code: "filters", message: /** @type {Error} */ (error).message, cause: "The filters are no JSON.", step });
    }
  }

  /** Return the fields of Parley's own that are chosen. Throws a Failure. */
  fields() {
    /** @type {Record<string, unknown>} */
    const fields = {};
    const isGrounded = this.endpoint === "rag" || (this.endpoint === "audio" && this.grounded.checked);
    if (isGrounded) {
      if (this.kb.value) fields.kb = this.kb.value;
      if (this.waiting.value) fields.waiting = /^\d/.test(this.waiting.value) ? Number(this.waiting.value) : this.waiting.value;
      if (this.filters.value.trim()) fields.filters = this.parsedFilters();
    }
    if (this.endpoint === "rag" && this.citations.checked) fields.include_citations = true;
    if (this.endpoint === "audio" && this.grounded.checked) fields.rag = true;
    if (this.endpoint === "audio" && this.asset.value) fields.asset = this.asset.value;
    return fields;
  }

  /**
   * @param {string} name
   * @param {string} [detail]
   */
  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }
}

/**
 * Give a select these options; what was chosen stays.
 * @param {HTMLSelectElement} select
 * @param {string[][]} options
 */
function fill(select, options) {
  const chosen = select.value;
  if ([...select.options].map((one) => one.value).join("\n") === options.map(([value]) => value).join("\n")) return;
  select.replaceChildren(...options.map(([value = "", text = ""]) => element("option", { value }, text)));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}
