/** The request in other forms: a command, programs, a platform's settings. Never with a key: `$PARLEY_KEY` stands for it. */

/** @type {Record<string, string>} */
const PLATFORMS = { Python: "openai-python", "openai-node": "openai-node", "Agora join": "agora" };

/**
 * Return this very request as a command of curl.
 * @param {URL} url
 * @param {string} body
 * @param {boolean} hasKey
 */
export function curl(url, body, hasKey) {
  const quoted = (/** @type {string} */ text) => `'${text.replaceAll("'", "'\\''")}'`;
  const key = hasKey ? ` \\\n  -H "authorization: Bearer $PARLEY_KEY"` : "";
  return `curl -sN ${quoted(url.href)} \\\n  -H 'content-type: application/json'${key} \\\n  -d ${quoted(body)}`;
}

/**
 * Return what is entered elsewhere to ask this endpoint. Throws a Failure.
 * @param {import("./main.js").Page} page
 * @param {string} kind
 * @param {string} endpoint
 * @param {string} kb
 */
export async function snippet(page, kind, endpoint, kb) {
  const query = new URLSearchParams({
    endpoint,
    url: page.api.root.href.replace(/\/$/, ""),
    kb: endpoint === "chat" ? "" : kb,
  });
  const told = await page.api.get(`presets?${query}`);
  return told.platforms[PLATFORMS[kind] ?? ""].snippet;
}
