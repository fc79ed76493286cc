import { invariant } from '@kafscale/core';

/** How many values come between two looks at the whole window. */
const refreshEvery = 16;

/** The last so many durations, and what nearly all of them stayed below. Bounded, without a clock. */
export class LatencyWindow {
  readonly #values: Float64Array;
  readonly #countMin: number;
  #count = 0;
  #p99: number | undefined;

  /** Below `countMin` values nothing is known. */
  constructor(countMax: number, countMin: number) {
    invariant(countMin > 0 && countMin <= countMax, 'a window can fill up to its minimum');
    this.#values = new Float64Array(countMax);
    this.#countMin = countMin;
  }

  add(durationMs: number): void {
    this.#values[this.#count % this.#values.length] = durationMs;
    this.#count++;
    if (this.#count < this.#countMin) return;
    if (this.#p99 === undefined || this.#count % refreshEvery === 0) this.#p99 = this.#compute();
  }

  /** Milliseconds that 99 % of the window did not exceed; undefined while it is too small. */
  get p99(): number | undefined {
    return this.#p99;
  }

  #compute(): number {
    const count = Math.min(this.#count, this.#values.length);
    const sorted = this.#values.slice(0, count).sort();
    const value = sorted[Math.ceil(count * 0.99) - 1];
    invariant(value !== undefined, 'a window that is large enough has values');
    return value;
  }
}
