/** What a platform sent and was answered, word for word, where the server keeps it (CAPTURE); and sending it again. */

import { button, element } from "./element.js";
import { Failure } from "./failure.js";

/**
 * @typedef {import("./main.js").Page} Page
 * @typedef {{endpoint: string, path: string, text: string}} Again a request to be sent again
 * @typedef {{id: string, endpoint: string, path: string, body: string, body_bytes: number, body_cut: boolean,
 *   answer: string, answer_bytes: number, answer_cut: boolean}} Capture
 */

/** Most questions until one reaches the worker that keeps the request. */
const MOST_ASKED = 12;
/** Digits of a number that JavaScript would change. */
const LONG_NUMBER = /\d{16}/;

/**
 * Return what was sent in a turn, or a sentence that it is not kept.
 * @param {Page} page
 * @param {import("./server_turn.js").ServerTurn} turn
 */
export async function capturedTurn(page, turn) {
  const { capture, workers } = page.status.value;
  for (let left = workers > 1 ? MOST_ASKED : 1; left; left--) {
    try {
      return shown(page, await page.api.get(`capture?id=${encodeURIComponent(turn.id)}`));
    } catch (error) {
      if (!(error instanceof Failure && error.status === 404)) return page.explain(error);
    }
  }
  const kept = `the last ${capture} requests of each worker whose body was read`;
  return element("p", { class: "aside" }, `What was sent in this turn is not kept: CAPTURE keeps ${kept}.`);
}

/**
 * @param {Page} page
 * @param {Capture} capture
 */
function shown(page, capture) {
  const again = button("Send again in Try", () => sendAgain(page, capture), { disabled: capture.body_cut });
  const title = `POST ${capture.path}`;
  return element(
    "div",
    { class: "captured" },
    element("p", {}, "What was sent: ", element("code", {}, title), " ", again),
    text("Request", readable(capture.body), capture.body_bytes, capture.body_cut),
    text("Answer", capture.answer, capture.answer_bytes, capture.answer_cut),
  );
}

/**
 * @param {string} name
 * @param {string} content
 * @param {number} bytes
 * @param {boolean} isCut
 */
function text(name, content, bytes, isCut) {
  const title = `${name}, ${bytes} bytes${isCut ? ", cut: this is its beginning" : ""}`;
  const code = { class: "code", role: "region", tabindex: "0", "aria-label": `${name} as it was sent` };
  return element("details", {}, element("summary", {}, title), element("pre", code, content));
}

/**
 * Return JSON in lines, and any other text as it is.
 * @param {string} content
 */
function readable(content) {
  if (LONG_NUMBER.test(content)) return content;
  try {
    return JSON.stringify(JSON.parse(content), null, 2);
  } catch {
    return content;
  }
}

/**
 * @param {Page} page
 * @param {Capture} capture
 */
function sendAgain(page, capture) {
  page.again = { endpoint: capture.endpoint, path: capture.path.slice(1), text: readable(capture.body) };
  page.go("try");
}

/**
 * Fill the request editor of Try with the request that is to be sent again.
 * @param {import("./try.js").TryView} view
 */
export async function editAgain(view) {
  const { again } = view.page;
  view.page.again = null;
  if (!again) return;
  // A radio button that is chosen already says nothing; another one closes the editor.
  document.getElementById(`endpoint-${again.endpoint}`)?.click();
  if (!view.editor) await view.toggleEditor();
  if (!view.editor) return;
  // Also where no request could be composed.
  view.editorBox.replaceChildren(view.editor.element);
  view.editor.write(again.path, again.text);
  view.editor.area.focus();
}
