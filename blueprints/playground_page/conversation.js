/**
 * What a platform remembers of a call, and sends with the next request. Pure, but for the list that it keeps.
 *
 * @typedef {{role: "system" | "user" | "assistant", content: string, original?: string}} Message
 * `original` is the whole of an answer of which `content` was heard before the caller interrupted.
 * @typedef {import("./turn.js").Word} Word
 */

/** Milliseconds that a platform's voice takes for a word: 150 words a minute. */
const WORD_MS = 400;

export class Conversation {
  constructor() {
    /** @type {Message[]} */
    this.messages = [];
  }

  /**
   * Return what a request bears: the system's words, what was said, and what comes now.
   * @param {string} system
   * @param {Message | null} next
   * @returns {Message[]}
   */
  request(system, next) {
    const first = system ? [/** @type {Message} */ ({ role: "system", content: system })] : [];
    return [...first, ...this.messages, ...(next ? [next] : [])];
  }

  /**
   * Remember a turn.
   * @param {Message} next what was asked or broadcast
   * @param {string} whole everything that was answered
   * @param {string | null} heard of it, if the caller interrupted; else null
   */
  remember(next, whole, heard) {
    if (next.role === "user") this.messages.push(next);
    const content = (heard ?? whole).trim();
    // Who heard nothing of an answer remembers none.
    if (!content) return;
    this.messages.push({ role: "assistant", content, ...(heard === null ? {} : { original: whole.trim() }) });
  }

  /** Return the last thing that the caller said, "" if there is none. */
  get lastQuestion() {
    return this.messages.findLast((message) => message.role === "user")?.content ?? "";
  }

  clear() {
    this.messages = [];
  }
}

/**
 * Return the part of a transcript whose words end by then.
 * @param {string} transcript
 * @param {Word[]} words
 * @param {number} heardMs
 */
export function heardText(transcript, words, heardMs) {
  let end = 0;
  for (const word of words) {
    if (word.end_ts > heardMs) break;
    const at = transcript.indexOf(word.text, end);
    if (at >= 0) end = at + word.text.length;
  }
  return transcript.slice(0, end);
}

/**
 * Return the part of a text that a platform's voice has said after so many milliseconds: an estimate.
 * @param {string} text
 * @param {number} spokenMs
 */
export function spokenText(text, spokenMs) {
  const words = text.match(/\s*\S+/g) ?? [];
  return words.slice(0, Math.max(1, Math.floor(spokenMs / WORD_MS))).join("");
}
