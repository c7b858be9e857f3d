/** Copies and downloads, also over plain http, where browsers have no `navigator.clipboard`. */

import { element } from "./element.js";

const TOLD_MS = 1500;

/**
 * Copy a text; the button tells that it was.
 * @param {string} text
 * @param {HTMLElement} [pressed]
 */
export async function copy(text, pressed) {
  const done = navigator.clipboard
    ? await navigator.clipboard.writeText(text).then(
        () => true,
        () => copyBySelection(text),
      )
    : copyBySelection(text);
  if (!pressed || pressed.dataset.label) return;
  pressed.dataset.label = pressed.textContent ?? "";
  pressed.textContent = done ? "Copied" : "Not copied: select it by hand";
  setTimeout(() => {
    pressed.textContent = pressed.dataset.label ?? "";
    delete pressed.dataset.label;
  }, TOLD_MS);
}

/** @param {string} text */
function copyBySelection(text) {
  const focused = document.activeElement;
  const area = element("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus();
  return done;
}

/**
 * Have the browser save bytes as a file.
 * @param {Blob} blob
 * @param {string} name
 */
export function download(blob, name) {
  const url = URL.createObjectURL(blob);
  const link = element("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
