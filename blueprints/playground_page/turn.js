/**
 * One turn: a request, its stream, and when each thing came. No DOM.
 *
 *     sending -> waiting -> filled -> speaking -> complete
 *        |          |          |          |-----> interrupted   by the caller
 *        |          |          |          |-----> failed        an error frame: the words stay
 *        |          |          |          '-----> incomplete    ended without DONE
 *        |-> refused       an HTTP status
 *        '-> unreachable   no answer
 *
 * `filled` is a waiting message heard, and nothing else yet. Each of waiting, filled and speaking may be left out.
 * Dispatches `change`, and `sound` with the PCM of a chunk as its detail.
 *
 * @typedef {import("./sse.js").StreamEvent} StreamEvent
 * @typedef {{text: string, start_ts: number, end_ts: number}} Word
 * @typedef {"sending" | "waiting" | "filled" | "speaking" | "complete" | "interrupted" | "failed" | "incomplete" | "refused" | "unreachable"} State
 * @typedef {"status" | "byte" | "waiting" | "content" | "sentence" | "last" | "sound" | "end"} Mark
 */

import { Failure } from "./failure.js";
import { readEvents } from "./sse.js";

const SENTENCE = /[.!?…。！？]["'”’)\]]*\s*$/;
const RUNNING = new Set(["sending", "waiting", "filled", "speaking"]);

export class Turn extends EventTarget {
  /**
   * @param {import("./api.js").Api} api
   * @param {{endpoint: string, path: string, body: string, waitingMessages: string[]}} request
   */
  constructor(api, request) {
    super();
    this.api = api;
    this.request = request;
    /** @type {State} */
    this.state = "sending";
    /** @type {Partial<Record<Mark, number>>} Milliseconds since the request was sent. */
    this.marks = {};
    this.waitingText = "";
    this.text = "";
    /** @type {Word[]} */
    this.words = [];
    /** @type {StreamEvent[]} */
    this.events = [];
    /** @type {any[] | null} The passages that the server told; null where it told none. */
    this.citations = null;
    /** @type {Failure | null} */
    this.failure = null;
    /** @type {string[]} What else the server told of the answer. */
    this.notes = [];
    this.chunks = 0;
    this.soundBytes = 0;
    /** @type {number | null} Tokens, where the answer tells its usage. */
    this.tokens = null;
    this.requestId = "";
    this.finish = "";
    this.hasEnded = false;
    this.abort = new AbortController();
    this.sent = 0;
  }

  get isRunning() {
    return RUNNING.has(this.state);
  }

  /** Return everything that was said, the waiting message too. */
  get said() {
    return this.waitingText + this.text;
  }

  get elapsed() {
    return this.marks.end ?? performance.now() - this.sent;
  }

  /** Send the request and read its answer to the end. Never throws. */
  async run() {
    const headers = { "content-type": "application/json" };
    this.sent = performance.now();
    try {
      const init = { method: "POST", headers, body: this.request.body, signal: this.abort.signal };
      const response = await this.api.ask(this.request.path, init);
      this.mark("status");
      this.requestId = response.headers.get("x-request-id") ?? "";
      this.become("waiting");
      if (response.headers.get("content-type")?.includes("json")) this.takeWhole(await response.json());
      else if (response.body) await this.read(response.body);
    } catch (error) {
      this.stop(error);
    }
    if (this.isRunning) this.become(this.hasEnded ? "complete" : "incomplete");
    if (this.state === "incomplete") this.failure ??= cut();
    this.mark("end");
    this.changed();
  }

  /** End the turn as a caller does who speaks: the stream is closed at once. */
  interrupt() {
    if (!this.isRunning) return;
    this.become("interrupted");
    this.abort.abort();
  }

  /** @param {unknown} error */
  stop(error) {
    if (!this.isRunning) return;
    const failure = error instanceof Failure ? error : null;
    this.failure = failure;
    if (this.marks.status !== undefined) this.state = "incomplete";
    else this.state = failure?.status ? "refused" : "unreachable";
    if (this.state === "unreachable") this.failure ??= Failure.unreachable();
    this.requestId ||= failure?.requestId ?? "";
  }

  /** @param {ReadableStream<Uint8Array>} body */
  async read(body) {
    for await (const { at, events } of readEvents(body, this.sent)) {
      this.mark("byte", at);
      for (const event of events) {
        this.events.push(event);
        if (event.kind === "comment") this.takeComment(event.text);
        else this.takeData(event.text, at);
      }
      this.changed();
      // What comes behind an error or DONE is no part of the answer.
      if (!this.isRunning || this.hasEnded) return;
    }
  }

  /** @param {string} text */
  takeComment(text) {
    if (text.startsWith("citations ")) this.citations = JSON.parse(text.slice("citations ".length));
    else if (text !== "keep-alive") this.notes.push(text);
  }

  /**
   * @param {string} text
   * @param {number} at
   */
  takeData(text, at) {
    if (text === "[DONE]") {
      this.hasEnded = true;
      return;
    }
    const chunk = JSON.parse(text);
    if (chunk.error) {
      this.failure = Failure.ofError(chunk.error, 0);
      this.failure.requestId = this.requestId || null;
      this.become("failed");
      return;
    }
    this.tokens = chunk.usage?.completion_tokens ?? this.tokens;
    const choice = chunk.choices?.[0];
    if (!choice) return;
    this.finish = choice.finish_reason ?? this.finish;
    this.citations = choice.citations ?? chunk.citations ?? this.citations;
    const { content, audio, tool_calls: calls } = choice.delta ?? {};
    if (calls?.[0]?.function?.name) this.notes.push(`calls the tool ${calls[0].function.name}`);
    if (content) this.take(content, at);
    if (audio) this.takeAudio(audio, at);
  }

  /**
   * @param {{transcript?: string, words?: Word[], data?: string}} audio
   * @param {number} at
   */
  takeAudio(audio, at) {
    if (audio.transcript) this.take(audio.transcript, at);
    if (audio.words) this.words.push(...audio.words);
    if (!audio.data) return;
    const pcm = Uint8Array.from(atob(audio.data), (character) => character.charCodeAt(0));
    this.soundBytes += pcm.length;
    this.mark("sound", at);
    this.dispatchEvent(new CustomEvent("sound", { detail: pcm }));
  }

  /**
   * Take words. The waiting message is told by its text, as it may be missing.
   * @param {string} text
   * @param {number} at
   */
  take(text, at) {
    this.chunks += 1;
    const all = this.text + text;
    if (!this.waitingText && this.request.waitingMessages.includes(all.trim())) {
      this.waitingText = /\s$/.test(all) ? all : `${all} `;
      this.text = "";
      this.marks.waiting = this.marks.content ?? at;
      delete this.marks.content;
      delete this.marks.sentence;
      this.chunks = 0;
      this.become("filled");
      return;
    }
    this.text = all;
    this.mark("content", at);
    if (SENTENCE.test(all)) this.mark("sentence", at);
    this.marks.last = at;
    if (this.isRunning) this.become("speaking");
  }

  /** @param {any} completion an answer in one piece, which the request asked for */
  takeWhole(completion) {
    const at = performance.now() - this.sent;
    this.mark("byte", at);
    const { content, audio } = completion.choices?.[0]?.message ?? {};
    this.tokens = completion.usage?.completion_tokens ?? null;
    this.take(content ?? audio?.transcript ?? "", at);
    this.notes.push('one JSON object: "stream" is false');
    this.hasEnded = true;
  }

  /**
   * Remember when something came first.
   * @param {Mark} name
   * @param {number} [at]
   */
  mark(name, at = performance.now() - this.sent) {
    this.marks[name] ??= at;
  }

  /** @param {State} state */
  become(state) {
    this.state = state;
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function cut() {
  const cause = "The stream ended without DONE: the answer is incomplete.";
  const step =
    "The server or a proxy on the way was cut off: ask again; flask doctor --url --long tells how long the way holds.";
  return new Failure({ code: "incomplete", message: "The words so far stay.", cause, step });
}
