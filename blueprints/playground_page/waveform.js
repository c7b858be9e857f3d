/** The waveform of a running stream: what was heard is coloured, pauses are marked. */

import { element } from "./element.js";

/** Samples of one bar, at 16 kHz: 20 ms. */
const BAR_SECONDS = 0.02;
const HEIGHT = 64;

export class Waveform {
  /** @param {number} rate samples a second */
  constructor(rate) {
    this.perBar = Math.round(rate * BAR_SECONDS);
    /** @type {number[]} The peak of each bar, from 0 to 1. */
    this.peaks = [];
    this.inBar = 0;
    this.canvas = element("canvas", { role: "img", class: "waveform", "aria-label": "Waveform of the answer" });
    // A canvas does not know light-dark(): colours are read from elements that have them.
    this.probe = element("span", { class: "unseen wave-ink", "aria-hidden": "true" });
    this.heardProbe = element("span", { class: "unseen wave-heard", "aria-hidden": "true" });
    this.gapProbe = element("span", { class: "unseen wave-gap", "aria-hidden": "true" });
    this.element = element("div", { class: "waveform-box" }, this.canvas, this.probe, this.heardProbe, this.gapProbe);
  }

  /** @param {Int16Array} samples */
  add(samples) {
    for (const sample of samples) {
      if (this.inBar === 0) this.peaks.push(0);
      const last = this.peaks.length - 1;
      this.peaks[last] = Math.max(Number(this.peaks[last]), Math.abs(sample) / 32768);
      this.inBar = (this.inBar + 1) % this.perBar;
    }
  }

  /**
   * @param {number} heardMs
   * @param {{at: number, isGap: boolean}[]} pauses
   */
  draw(heardMs, pauses) {
    const context = this.canvas.getContext("2d");
    const width = this.element.clientWidth;
    if (!context || !width) return;
    const ratio = devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
    if (this.canvas.height !== HEIGHT * ratio) this.canvas.height = HEIGHT * ratio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, HEIGHT);
    const [ink, heard, gap, quiet] = [this.probe, this.heardProbe, this.gapProbe, this.element].map(
      (one) => getComputedStyle(one).color,
    );
    const step = Math.min(width / Math.max(this.peaks.length, 1), 4);
    const bars = heardMs / 1000 / BAR_SECONDS;
    this.peaks.forEach((peak, index) => {
      const height = Math.max(peak ** 0.6 * HEIGHT, 1.5);
      context.fillStyle = String(index < bars ? heard : ink);
      context.fillRect(index * step, (HEIGHT - height) / 2, Math.max(step - 1, 0.5), height);
    });
    for (const pause of pauses) {
      context.fillStyle = String(pause.isGap ? gap : quiet);
      context.fillRect((pause.at / BAR_SECONDS) * step - 1, 0, 2, HEIGHT);
    }
  }
}
