/**
 * When each chunk of sound is played, and what has been heard by then: arithmetic alone, in seconds of one clock.
 *
 * A chunk that comes when the sound has run out makes a gap where it is late by up to the server's lead (the way was too
 * slow), and a silence after that (the server paused, as it does behind a waiting message).
 */

/** Seconds between the first chunk and its sound, and after every pause. */
export const LEAD = 0.05;

export class Schedule {
  /** @param {number} serverLead seconds that the server is ahead of the listener */
  constructor(serverLead) {
    this.serverLead = serverLead;
    this.startedAt = -1;
    /** Where the last chunk ends, by the clock. */
    this.end = 0;
    /** Seconds of sound so far. */
    this.queued = 0;
    /** Seconds without sound since the start. */
    this.paused = 0;
    this.gaps = 0;
    /** @type {{at: number, seconds: number, isGap: boolean}[]} `at` in seconds of sound */
    this.pauses = [];
    this.mostAhead = 0;
    this.leastAhead = Number.POSITIVE_INFINITY;
  }

  /**
   * Return when a chunk is to start that comes now.
   * @param {number} now
   * @param {number} seconds its length
   */
  add(now, seconds) {
    if (this.startedAt < 0) {
      this.startedAt = now + LEAD;
      this.end = this.startedAt;
    } else if (now > this.end) {
      this.pause(now);
    }
    const start = this.end;
    this.end += seconds;
    this.queued += seconds;
    const ahead = this.end - Math.max(now, this.startedAt);
    this.mostAhead = Math.max(this.mostAhead, ahead);
    this.leastAhead = Math.min(this.leastAhead, ahead);
    return start;
  }

  /** @param {number} now */
  pause(now) {
    const isGap = now - this.end <= this.serverLead;
    const start = now + (isGap ? 0 : LEAD);
    const seconds = start - this.end;
    this.pauses.push({ at: this.queued, seconds, isGap });
    this.gaps += isGap ? 1 : 0;
    this.paused += seconds;
    this.end = start;
  }

  /**
   * Return the seconds of sound that have left the loudspeaker.
   * @param {number} now
   * @param {number} latency from the clock to the ear
   */
  heard(now, latency) {
    if (this.startedAt < 0) return 0;
    return Math.min(Math.max(now - latency - this.startedAt - this.paused, 0), this.queued);
  }
}
