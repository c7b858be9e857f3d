/** The view Try: a conversation with this server, as a platform would have it, and what happened in each turn. */

import { Composer } from "./composer.js";
import { Conversation, heardText, spokenText } from "./conversation.js";
import { button, element } from "./element.js";
import { Inspector } from "./inspector.js";
import { compose, textOf, waitingMessages } from "./request.js";
import { Transcript } from "./transcript.js";
import { Turn } from "./turn.js";

/**
 * @typedef {import("./main.js").Page} Page
 * @typedef {import("./conversation.js").Message} Message
 * @typedef {import("./transcript.js").Answer} Answer
 */

const KINDS = ["curl", "Python", "openai-node", "Agora join"];

/**
 * @param {HTMLElement} panel
 * @param {Page} page
 */
export function mount(panel, page) {
  const view = new TryView(panel, page);
  return { show: () => view.show(), hide: () => view.hide() };
}

export class TryView {
  /**
   * @param {HTMLElement} panel
   * @param {Page} page
   */
  constructor(panel, page) {
    this.page = page;
    this.conversation = new Conversation();
    this.composer = new Composer(page);
    this.transcript = new Transcript();
    this.inspector = new Inspector(page);
    /** @type {Turn | null} */
    this.turn = null;
    /** @type {import("./audio.js").Sound | null} */
    this.sound = null;
    /** @type {((heard: string | null) => void) | null} What is still to be done when the turn is over. */
    this.settle = null;
    /** @type {import("./editor.js").Editor | null} */
    this.editor = null;
    this.editorBox = element("div");
    this.notice = element("p", { class: "notice-line", role: "status" });
    this.isShown = false;
    const copies = KINDS.map((kind) => button(kind, (pressed) => this.copyAs(kind, pressed), { class: "small" }));
    const left = element(
      "div",
      { class: "card talk" },
      element("h2", { class: "unseen" }, "Conversation"),
      this.composer.head,
      this.composer.audioLine,
      this.composer.options,
      this.transcript.element,
      this.editorBox,
      this.notice,
      this.composer.form,
      element(
        "div",
        { class: "copies" },
        this.composer.edit,
        element("span", { class: "aside" }, "Copy as"),
        ...copies,
      ),
    );
    panel.replaceChildren(element("div", { class: "try" }, left, this.inspector.element));
    this.listen();
  }

  listen() {
    const on = (/** @type {string} */ name, /** @type {(detail: string) => void} */ act) =>
      this.composer.addEventListener(name, (event) => act(/** @type {CustomEvent} */ (event).detail));
    on("send", () => this.sendWords("user"));
    on("broadcast", () => this.sendWords("assistant"));
    on("sample", (text) => this.send({ role: "user", content: text }));
    on("interrupt", () => this.interrupt());
    on("new", () => this.begin());
    on("edit", () => this.toggleEditor());
    on("speak", () => this.speak());
    on("endpoint", () => this.editor && this.toggleEditor());
    addEventListener("keydown", (event) => {
      if (!this.isShown) return;
      const isWriting = /** @type {HTMLElement} */ (event.target).closest?.("input, textarea, select");
      if (event.key === "Escape") this.interrupt();
      if (event.key === "/" && !isWriting) {
        event.preventDefault();
        this.composer.words.focus();
      }
    });
  }

  show() {
    this.isShown = true;
    if (this.page.again) import("./captures.js").then(({ editAgain }) => editAgain(this));
  }

  hide() {
    this.isShown = false;
    // Nobody wants to hear a view that is not seen.
    if (this.sound?.isPlaying) this.interrupt();
  }

  /** @param {"user" | "assistant"} role */
  async sendWords(role) {
    const edited = this.editor?.check();
    const words = this.composer.words.value.trim();
    if (this.editor && !edited) return this.editor.area.focus();
    if (!words && !edited) return this.composer.words.focus();
    const last = edited?.body.messages?.at?.(-1) ?? {};
    const next = edited
      ? { role: last.role === "assistant" ? last.role : "user", content: textOf(last.content) }
      : { role, content: words };
    this.composer.words.value = "";
    await this.send(next, edited?.text);
  }

  /**
   * Interrupt what is being said, and have one more turn.
   * @param {Message} next
   * @param {string} [edited] the body as it was written
   */
  async send(next, edited) {
    this.interrupt();
    const { endpoint } = this.composer;
    const answer = this.transcript.add(next.role === "assistant" ? "Broadcast" : "You", next.content);
    this.answer = answer;
    const path = this.editor?.path.textContent?.slice(1) ?? "";
    if (this.editor) this.toggleEditor();
    const again = () => this.send(next, edited);
    let composed;
    try {
      composed = edited === undefined ? await this.compose(next) : { path, text: edited };
    } catch (failure) {
      answer.refuse(/** @type {any} */ (failure).code === "unreachable" ? "unreachable" : "refused");
      answer.fail(failure, again, this.page.status);
      this.transcript.follow(true);
      return;
    }
    // Somebody was quicker: another turn has begun, or a new conversation.
    if (this.answer !== answer) return;
    const turn = new Turn(this.page.api, {
      endpoint,
      path: composed.path,
      body: composed.text,
      waitingMessages: waitingMessages(this.page.status.value, endpoint),
    });
    const before = this.conversation.lastQuestion;
    this.turn = turn;
    this.inspector.watch(turn, {
      question: next.content,
      before,
      kb: this.composer.kb.value,
      filters: composed.filters ?? {},
    });
    await this.prepareSound(turn);
    answer.watch(turn, () => this.transcript.follow());
    this.settle = (heard) => this.finish(turn, next, answer, heard, again);
    this.composer.stop.disabled = false;
    await turn.run();
    if (turn === this.turn && !this.sound?.isPlaying && turn.state !== "interrupted") this.settle?.(null);
  }

  /** @param {Turn} turn */
  async prepareSound(turn) {
    this.sound?.close();
    this.sound = null;
    const { audio } = this.page.status.value ?? {};
    if (turn.request.endpoint !== "audio" || !audio) return;
    const { Sound } = await import("./audio.js");
    this.sound = new Sound(turn, audio, this.page, () => turn === this.turn && !turn.isRunning && this.settle?.(null));
    this.inspector.sound.replaceChildren(this.sound.element);
  }

  /** @param {Message} next */
  compose(next) {
    return compose(this.page, this.composer, this.conversation, next);
  }

  /** Do as a caller does who speaks while the agent does. */
  interrupt() {
    const { turn, sound } = this;
    if (!turn || !this.settle || !(turn.isRunning || sound?.isPlaying)) return;
    const { waiting, content } = turn.marks;
    const heardMs = sound ? sound.stop() : turn.elapsed - (waiting ?? content ?? turn.elapsed);
    turn.interrupt();
    turn.state = "interrupted";
    const heard =
      sound && turn.words.length
        ? heardText(turn.said, turn.words, heardMs)
        : turn.said && spokenText(turn.said, heardMs);
    this.settle(heard);
  }

  /**
   * Remember a turn that is over, and tell how it ended.
   * @param {Turn} turn
   * @param {Message} next
   * @param {Answer} answer
   * @param {string | null} heard what the caller heard if he interrupted
   * @param {() => void} again
   */
  finish(turn, next, answer, heard, again) {
    this.settle = null;
    this.composer.stop.disabled = true;
    answer.draw(turn);
    if (heard !== null) answer.cutAt(turn, heard);
    const wasAnswered = turn.state !== "refused" && turn.state !== "unreachable";
    if (wasAnswered) this.conversation.remember(next, turn.said, heard);
    if (turn.failure && heard === null) answer.fail(turn.failure, again, this.page.status);
    if (turn.failure) this.page.status.refresh();
    this.transcript.follow(true);
    this.inspector.soon();
    if (wasAnswered) this.inspector.join(turn);
    const told = [turn.state, turn.failure?.reason, this.inspector.sentence];
    this.page.announce(told.filter(Boolean).join(", "));
  }

  /** Begin a new conversation. */
  begin() {
    this.interrupt();
    this.answer = undefined;
    this.turn = null;
    this.sound?.close();
    this.sound = null;
    this.conversation.clear();
    this.transcript.clear();
    this.inspector.clear();
    this.composer.words.focus();
  }

  async toggleEditor() {
    const { edit, words } = this.composer;
    if (this.editor) {
      this.editor = null;
      this.editorBox.replaceChildren();
    } else {
      const { Editor } = await import("./editor.js");
      this.editor = new Editor(
        () => this.fillEditor(),
        () => this.sendWords("user"),
      );
      this.editorBox.replaceChildren(this.editor.element);
      await this.fillEditor();
    }
    edit.setAttribute("aria-expanded", String(this.editor !== null));
    (this.editor?.area ?? words).focus();
  }

  async fillEditor() {
    const editor = this.editor;
    try {
      const content = this.composer.words.value.trim() || "Hello!";
      const { path, body } = await this.compose({ role: "user", content });
      editor?.show(path, body);
    } catch (failure) {
      this.editorBox.replaceChildren(this.page.explain(failure));
    }
  }

  /**
   * @param {string} kind
   * @param {HTMLElement} pressed
   */
  async copyAs(kind, pressed) {
    const { endpoint, kb, words } = this.composer;
    try {
      const { curl, snippet } = await import("./snippets.js");
      if (kind === "curl") {
        const { path, text } = await this.compose({
          role: "user",
          content: words.value.trim() || this.conversation.lastQuestion || "Hello!",
        });
        this.page.copy(curl(new URL(path, this.page.api.root), text, this.page.status.value?.auth === "on"), pressed);
      } else {
        this.page.copy(await snippet(this.page, kind, endpoint, kb.value), pressed);
      }
      this.notice.replaceChildren();
    } catch (failure) {
      this.notice.replaceChildren(this.page.explain(failure));
    }
  }

  async speak() {
    const { listen } = await import("./microphone.js");
    listen(
      (words, isFinal) => {
        this.composer.words.value = words;
        if (isFinal) this.sendWords("user");
      },
      (notice) => {
        this.notice.textContent = notice;
      },
    );
  }
}
