/** Work that is repeated while somebody looks: the view is shown, and the browser's tab visible. */

export class Poll {
  /**
   * @param {() => Promise<unknown>} work must not throw
   * @param {number} ms from one end of the work to its next beginning
   */
  constructor(work, ms) {
    this.work = work;
    this.ms = ms;
    this.isShown = false;
    this.isPaused = false;
    this.isWorking = false;
    /** @type {number | undefined} */
    this.timer = undefined;
    document.addEventListener("visibilitychange", () => this.wake());
  }

  show() {
    this.isShown = true;
    this.wake();
  }

  hide() {
    this.isShown = false;
    clearTimeout(this.timer);
  }

  /** @param {boolean} paused */
  pause(paused) {
    this.isPaused = paused;
    this.wake();
  }

  /** Work now, if somebody looks. */
  async wake() {
    clearTimeout(this.timer);
    if (!this.isShown || this.isPaused || this.isWorking || document.hidden) return;
    this.isWorking = true;
    await this.work();
    this.isWorking = false;
    // The view may have been left meanwhile.
    if (this.isShown && !this.isPaused && !document.hidden) this.timer = setTimeout(() => this.wake(), this.ms);
  }
}
