/** A failure as a value: what happened, why, and what to do next. No failure is shown without these. */

import { button, element } from "./element.js";

/** @type {Record<string, [string, string]>} Cause and next step by the error's code. */
const BY_CODE = {
  invalid_api_key: ["This server wants one of its API_KEYS.", "Enter the key in the field at the top of the page."],
  api_keys_not_set: [
    "This server shows its data only to its own machine, as no API_KEYS are set.",
    "Set API_KEYS on the server, and enter one of them here.",
  ],
  forbidden_origin: [
    "The server takes this page for a foreign one: it sees http where your browser sees https, or another name.",
    "Behind a proxy set TRUSTED_PROXIES, and open the page under the server's own address.",
  ],
  rate_limited: ["This key's RATE_LIMIT or MAX_STREAMS_PER_KEY is reached.", "Wait, or raise the limit on the server."],
  server_overloaded: ["MAX_STREAMS requests are running.", "Wait until a stream has ended, or raise MAX_STREAMS."],
  server_shutting_down: ["The server was stopped or restarted.", "Ask again in a few seconds."],
  warming_up: ["The embedded model is still being loaded.", "Wait: this page says when it is ready."],
  not_configured: [
    "No model is configured.",
    "Set LLM_API_KEY (and LLM_BASE_URL for another API than OpenAI's) and restart the server.",
  ],
  unknown_knowledge_base: ["There is no knowledge base of this name.", "Choose one that the view Knowledge lists."],
  not_found: ["There is no such route or recording.", "See what there is: the view Recordings, or GET /."],
  invalid_value: ["A field of the request has a wrong type or value.", "Mend the field in the request."],
  missing_field: ["A field of the request is missing.", "Add the field to the request."],
  invalid_json: ["The request is not strict JSON.", "Mend it in the editor."],
  request_too_large: ["The request is larger than MAX_BODY.", "Begin a new conversation, or raise MAX_BODY."],
  language_not_spoken: [
    "The embedded voice does not speak the answer's language.",
    "Set TTS_BASE_URL to an API's voice.",
  ],
  internal_error: ["A bug in Parley.", "The server's log has the traceback under the request's id."],
  upstream_auth_failed: [
    "The model's API refused the server's key.",
    "Set a valid LLM_API_KEY; flask doctor tries it.",
  ],
  upstream_unreachable: [
    "The model's API can't be reached, or closed the connection.",
    "Look at LLM_BASE_URL and the network; flask doctor tries it.",
  ],
  upstream_timeout: ["The model's API did not answer in time.", "See TTFT_TIMEOUT, or add LLM_FALLBACKS."],
  upstream_tls_error: [
    "The model's API has a certificate that is not trusted.",
    "flask doctor names what is wrong with it.",
  ],
  upstream_redirect: ["The model's API redirects.", "Set LLM_BASE_URL to the address that it redirects to."],
  upstream_disconnected: [
    "The connection to the model's API broke in mid answer.",
    "Ask again; FALLBACK_TEXT is spoken in such cases where it is set.",
  ],
  upstream_stalled: ["The model's API fell silent in mid answer for IDLE_TIMEOUT.", "Ask again, or add LLM_FALLBACKS."],
  upstream_incomplete: [
    "The model's answer ended without a sign of its end.",
    "Ask again; if it stays, the API is at fault.",
  ],
  upstream_empty_response: ["The model answered without a word.", "Ask again, or try another model."],
  upstream_bad_response: [
    "What answers at LLM_BASE_URL is no chat completions API.",
    "The base URL ends before /chat/completions; flask doctor tries it.",
  ],
  upstream_error: ["The model's API failed.", "Ask again; LLM_FALLBACKS names another one to ask then."],
};
/** @type {Record<number, [string, string]>} The same by the status, where the code is unknown. */
const BY_STATUS = {
  400: ["The server refused the request.", "Mend the request: its message says where."],
  401: ["A key was refused.", "Enter one of API_KEYS at the top, or see the message."],
  403: ["It is forbidden.", "See the message; the server's log has the request's id."],
  404: ["It does not exist.", "Look at the address, the model and the names in the request."],
  413: [
    "The request is too large, for the server or for a proxy in front of it.",
    "Begin a new conversation, or raise the limit.",
  ],
  429: ["Too many requests at once.", "Wait, then ask again."],
  500: ["The server failed.", "Its log has more under the request's id."],
  502: ["The server, or a proxy in front of it, got no answer from behind.", "flask doctor --url tells which one."],
  503: ["The server can't answer now.", "Ask again in a few seconds; /ready gives the reason."],
  504: ["The server, or a proxy in front of it, waited too long.", "flask doctor --url tells which one."],
};

export class Failure extends Error {
  /**
   * @param {{status?: number, code: string, message: string, cause: string, step: string, param?: string | null,
   *   retryAfter?: number | null, requestId?: string | null}} told
   */
  constructor(told) {
    super(told.message);
    this.status = told.status ?? 0;
    this.code = told.code;
    /** Why, in a sentence. */
    this.reason = told.cause;
    /** What to do next, in a sentence. */
    this.step = told.step;
    this.param = told.param ?? null;
    /** Seconds to wait, where the server told them. */
    this.retryAfter = told.retryAfter ?? null;
    this.requestId = told.requestId ?? null;
  }

  /** Return the failure that no answer came: no connection, or it broke. */
  static unreachable() {
    const step = "Look whether it runs (make run) and whether this address is still its own; then ask again.";
    return new Failure({
      code: "unreachable",
      message: "No answer came.",
      cause: "The server can't be reached.",
      step,
    });
  }

  /**
   * Return the failure of an error object, which came as a response or inside a stream.
   * @param {any} error
   * @param {number} status 0 inside a stream
   * @param {Headers} [headers]
   */
  static ofError(error, status, headers) {
    const code = String(error?.code ?? (status ? `http_${status}` : "error"));
    const known = BY_CODE[code] ?? BY_STATUS[status] ?? ["The answer failed.", "Ask again; the server's log has more."];
    const after = Number(headers?.get("retry-after") ?? Number.NaN);
    return new Failure({
      status,
      code,
      message: String(error?.message ?? "The answer bears no message."),
      cause: known[0],
      step: known[1],
      param: error?.param ?? null,
      retryAfter: Number.isFinite(after) ? after : null,
      requestId: headers?.get("x-request-id") ?? null,
    });
  }

  /**
   * Return the failure that a refused request's response tells; one that is no JSON of ours comes from a proxy.
   * @param {Response} response
   */
  static async ofResponse(response) {
    const text = await response.text().catch(() => "");
    try {
      return Failure.ofError(JSON.parse(text).error, response.status, response.headers);
    } catch {
      const message = `Status ${response.status} with a body that is none of Parley's: a proxy on the way answered.`;
      return Failure.ofError({ message }, response.status, response.headers);
    }
  }
}

/**
 * Return a failure as an element: cause, next step, then the server's own words and the code.
 * @param {unknown} error
 * @param {() => void} [again] what a button "Ask again" does
 */
export function failureCard(error, again) {
  const failure =
    error instanceof Failure
      ? error
      : new Failure({
          code: "page_error",
          message: String(error),
          cause: "This page met what it did not expect.",
          step: "Reload the page.",
        });
  const code = failure.status ? `${failure.status} ${failure.code}` : failure.code;
  const wait = failure.retryAfter === null ? "" : ` ${failure.retryAfter} s to wait.`;
  return element(
    "div",
    { class: "failure", role: "group", "aria-label": "Failure" },
    element("p", { class: "failure-cause" }, element("strong", {}, failure.reason), wait),
    element("p", {}, failure.step),
    element(
      "p",
      { class: "aside" },
      element("code", {}, code),
      ` ${failure.message}`,
      failure.requestId ? ` (request ${failure.requestId})` : "",
    ),
    ...(again ? [button("Ask again", again, { class: "small" })] : []),
  );
}
