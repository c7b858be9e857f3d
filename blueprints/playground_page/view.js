/** The views as tabs, and the URL's hash, which holds view, endpoint and preset: never words, never a key. */

/** @typedef {{show(): void, hide(): void}} View */

export const NAMES = ["try", "turns", "live", "knowledge", "recordings", "connect"];

/** `#view/endpoint/preset` as three values. */
export class Hash {
  /** Return what the URL holds now; unknown parts are empty. */
  read() {
    const [view, endpoint, preset] = location.hash.slice(1).split("/");
    const plain = (/** @type {string | undefined} */ part) =>
      /^[a-z0-9-]{1,40}$/.test(part ?? "") ? String(part) : "";
    return {
      view: NAMES.includes(view ?? "") ? String(view) : "try",
      endpoint: plain(endpoint),
      preset: plain(preset),
    };
  }

  /**
   * Replace parts of it; another view is a step of the browser's history.
   * @param {{view?: string, endpoint?: string, preset?: string}} parts
   */
  write(parts) {
    const before = this.read();
    const { view, endpoint, preset } = { ...before, ...parts };
    const hash = `#${[view, endpoint, preset].join("/").replace(/\/+$/, "")}`;
    if (hash === location.hash) return;
    if (view === before.view) history.replaceState(null, "", hash);
    else history.pushState(null, "", hash);
  }
}

/** The tabs by ARIA's pattern: arrows, Home and End move, one tab is in the order of the Tab key. */
export class Tabs {
  /**
   * @param {Hash} hash
   * @param {(name: string, panel: HTMLElement) => Promise<View>} load
   */
  constructor(hash, load) {
    this.hash = hash;
    this.load = load;
    /** @type {Map<string, Promise<View>>} */
    this.views = new Map();
    this.shown = "";
    const list = /** @type {HTMLElement} */ (document.querySelector("[role=tablist]"));
    list.addEventListener("click", (event) => {
      const tab = /** @type {HTMLElement} */ (event.target).closest("[role=tab]");
      if (tab) this.choose(tab.id.slice("tab-".length));
    });
    list.addEventListener("keydown", (event) => this.move(event));
    addEventListener("popstate", () => this.show(this.hash.read().view));
    addEventListener("hashchange", () => this.show(this.hash.read().view));
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    const at = NAMES.indexOf(this.shown);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: NAMES.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const name = String(NAMES[(to + NAMES.length) % NAMES.length]);
    this.choose(name);
    this.tab(name).focus();
  }

  /** @param {string} name */
  choose(name) {
    this.hash.write({ view: name });
    this.show(name);
  }

  /** @param {string} name */
  async show(name) {
    if (name === this.shown) return;
    const before = this.shown;
    this.shown = name;
    for (const one of NAMES) {
      const chosen = one === name;
      this.tab(one).setAttribute("aria-selected", String(chosen));
      this.tab(one).tabIndex = chosen ? 0 : -1;
      this.panel(one).hidden = !chosen;
    }
    if (before) (await this.views.get(before))?.hide();
    const loading = this.views.get(name) ?? this.load(name, this.panel(name));
    this.views.set(name, loading);
    const view = await loading;
    // Meanwhile another one may have been chosen.
    if (this.shown === name) view.show();
  }

  /** @param {string} name */
  tab(name) {
    return /** @type {HTMLElement} */ (document.getElementById(`tab-${name}`));
  }

  /** @param {string} name */
  panel(name) {
    return /** @type {HTMLElement} */ (document.getElementById(`panel-${name}`));
  }
}
