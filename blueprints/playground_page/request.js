/** The request of a turn: what the chosen platform would send, and the fields of Parley's own. */

/**
 * @typedef {import("./conversation.js").Message} Message
 * @typedef {{path: string, body: any, text: string, filters?: any}} Composed `text` is the body as it is sent
 */

/**
 * Return the request as the chosen platform sends it. Throws a Failure.
 * @param {import("./main.js").Page} page
 * @param {import("./composer.js").Composer} composer
 * @param {import("./conversation.js").Conversation} conversation
 * @param {Message} next what is said now
 * @returns {Promise<Composed>}
 */
export async function compose(page, composer, conversation, next) {
  const { platform, system, endpoint, wantedPlatform } = composer;
  const fields = composer.fields();
  const messages = conversation.request(system.value.trim(), next);
  const model = page.status.value?.model ?? "default";
  const asked = { platform: platform.value || wantedPlatform, model, messages };
  const told = await page.api.post("request", asked);
  const body = { ...told.request, ...fields };
  const query = told.query ? `?${told.query.replace(/^\?/, "")}` : "";
  const path = `${endpoint === "chat" ? "" : `${endpoint}/`}chat/completions${query}`;
  return { path, body, text: JSON.stringify(body), filters: fields.filters };
}

/**
 * Return the texts by which a waiting message is told from an answer.
 * @param {any} status what the server tells of itself
 * @param {string} endpoint
 * @returns {string[]}
 */
export function waitingMessages(status, endpoint) {
  if (endpoint === "chat" || !status) return [];
  const bases = (status.kb?.bases ?? []).map((/** @type {any} */ base) => base.waiting_messages);
  return [status.waiting_messages, ...bases].flatMap((messages) => messages ?? []).map((message) => message.trim());
}

/**
 * Return the text of a message.
 * @param {unknown} content a text, or parts
 */
export function textOf(content) {
  return typeof content === "string" ? content : JSON.stringify(content ?? "");
}
