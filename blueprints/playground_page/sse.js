/**
 * Server-sent events, read as they come.
 *
 * @typedef {{at: number, kind: "data" | "comment", text: string}} StreamEvent
 * `at` is in milliseconds since the request was sent. A comment's text is what stands behind its colon.
 */

/** Cuts a stream's text, in whatever pieces it comes, into events. */
export class Parser {
  constructor() {
    this.rest = "";
    /** @type {string[]} */
    this.data = [];
  }

  /**
   * Return the events that this piece completes.
   * @param {string} piece
   * @returns {{kind: "data" | "comment", text: string}[]}
   */
  push(piece) {
    const text = this.rest + piece;
    // A line break at the very end may be half of \r\n.
    const whole = text.endsWith("\r") ? text.slice(0, -1) : text;
    const lines = whole.split(/\r\n|\n|\r/);
    this.rest = String(lines.pop()) + text.slice(whole.length);
    return lines.flatMap((line) => this.line(line));
  }

  /**
   * @param {string} line
   * @returns {{kind: "data" | "comment", text: string}[]}
   */
  line(line) {
    if (line.startsWith(":")) return [{ kind: "comment", text: line.slice(1).trim() }];
    if (line.startsWith("data:")) this.data.push(line.slice("data:".length).replace(/^ /, ""));
    if (line !== "" || !this.data.length) return [];
    const text = this.data.join("\n");
    this.data = [];
    return [{ kind: "data", text }];
  }
}

/**
 * Yield the batches of events of a response's body, one batch for each piece that the network brings.
 * @param {ReadableStream<Uint8Array>} body
 * @param {number} sent `performance.now()` of the request
 * @returns {AsyncGenerator<{at: number, events: StreamEvent[]}>}
 */
export async function* readEvents(body, sent) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  const parser = new Parser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const at = performance.now() - sent;
      yield { at, events: parser.push(decoder.decode(value, { stream: true })).map((event) => ({ at, ...event })) };
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
