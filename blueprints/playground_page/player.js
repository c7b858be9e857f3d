/** Raw PCM, played while it comes: one source for each chunk, started where the last one ends. */

import { Schedule } from "./schedule.js";

const WAV_HEAD = 44;

export class Player {
  /**
   * @param {number} rate samples a second
   * @param {number} serverLeadMs
   */
  constructor(rate, serverLeadMs) {
    this.rate = rate;
    this.schedule = new Schedule(serverLeadMs / 1000);
    this.context = new AudioContext({ sampleRate: rate });
    // Made by a press of Send, or of a key: browsers allow sound then.
    this.context.resume();
    /** @type {Set<AudioBufferSourceNode>} */
    this.sources = new Set();
    /** @type {Uint8Array<ArrayBuffer>[]} */
    this.pieces = [];
    this.isStopped = false;
    this.furthest = 0;
  }

  /**
   * Play a chunk behind those that came before it.
   * @param {Uint8Array<ArrayBuffer>} pcm
   * @returns {Int16Array} its samples
   */
  add(pcm) {
    this.pieces.push(pcm);
    const samples = new Int16Array(pcm.buffer, pcm.byteOffset, pcm.length >> 1);
    if (this.isStopped || !samples.length) return samples;
    const buffer = this.context.createBuffer(1, samples.length, this.rate);
    buffer.copyToChannel(
      Float32Array.from(samples, (sample) => sample / 32768),
      0,
    );
    const source = this.context.createBufferSource();
    source.buffer = buffer;
    source.connect(this.context.destination);
    source.addEventListener("ended", () => this.sources.delete(source));
    this.sources.add(source);
    source.start(this.schedule.add(this.context.currentTime, buffer.duration));
    return samples;
  }

  /** Return the milliseconds of sound that were heard. They never go back. */
  get heardMs() {
    if (!this.isStopped) {
      const latency = this.context.outputLatency || 0;
      this.furthest = Math.max(this.furthest, this.schedule.heard(this.context.currentTime, latency) * 1000);
    }
    return this.furthest;
  }

  get queuedMs() {
    return this.schedule.queued * 1000;
  }

  get isPlaying() {
    return !this.isStopped && this.sources.size > 0;
  }

  /** Fall silent at once, and return the milliseconds that were heard. */
  stop() {
    const heard = this.heardMs;
    this.isStopped = true;
    for (const source of this.sources) source.stop();
    this.sources.clear();
    return heard;
  }

  /** Give the sound's device back; the sound can be saved still. */
  close() {
    this.stop();
    if (this.context.state !== "closed") this.context.close();
  }

  /** Return everything that came as a WAV file. */
  wav() {
    const size = this.pieces.reduce((sum, piece) => sum + piece.length, 0);
    const head = new DataView(new ArrayBuffer(WAV_HEAD));
    const text = (/** @type {number} */ at, /** @type {string} */ word) =>
      [...word].forEach((character, index) => head.setUint8(at + index, character.charCodeAt(0)));
    text(0, "RIFF");
    head.setUint32(4, WAV_HEAD - 8 + size, true);
    text(8, "WAVEfmt ");
    head.setUint32(16, 16, true);
    head.setUint16(20, 1, true);
    head.setUint16(22, 1, true);
    head.setUint32(24, this.rate, true);
    head.setUint32(28, this.rate * 2, true);
    head.setUint16(32, 2, true);
    head.setUint16(34, 16, true);
    text(36, "data");
    head.setUint32(40, size, true);
    return new Blob([head, ...this.pieces], { type: "audio/wav" });
  }
}
