/** Elements made of tags, attributes and text: the one way in which anything gets onto the page, never as markup. */

/**
 * Return a new element. An attribute that is false is left out, one that is true is empty; strings become text nodes.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children);
  return made;
}

/**
 * Return a button that does something.
 * @param {string} label
 * @param {(button: HTMLButtonElement) => void} act
 * @param {Record<string, string | number | boolean>} [attributes]
 */
export function button(label, act, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, label);
  made.addEventListener("click", () => act(made));
  return made;
}

/**
 * Return a label and its control, which gets the id that the label names.
 * @param {string} label
 * @param {HTMLElement} control
 * @param {string} id
 */
export function field(label, control, id) {
  control.id = id;
  return element("div", { class: "field" }, element("label", { for: id }, label), control);
}

/**
 * Give a select these options; what was chosen stays.
 * @param {HTMLSelectElement} select
 * @param {string[][]} options
 */
export function fill(select, options) {
  const chosen = select.value;
  if ([...select.options].map((one) => one.value).join("\n") === options.map(([value]) => value).join("\n")) return;
  select.replaceChildren(...options.map(([value = "", text = ""]) => element("option", { value }, text)));
  if (options.some(([value]) => value === chosen)) select.value = chosen;
}
