import type { Clock } from '@kafscale/core';

/**
 * Segments that could not be read a moment ago: left out of plans for a while, or the first damaged
 * one would stop all merging behind it for ever.
 */
export class BadSegments {
  readonly #clock: Clock;
  readonly #options: { readonly countMax: number; readonly retryAfterMs: number };
  readonly #until = new Map<string, number>();

  constructor(clock: Clock, options: { countMax: number; retryAfterMs: number }) {
    this.#clock = clock;
    this.#options = options;
  }

  get count(): number {
    return this.#until.size;
  }

  add(segmentId: string): void {
    this.#until.delete(segmentId);
    this.#until.set(segmentId, this.#clock.monotonicMs() + this.#options.retryAfterMs);
    for (const oldest of this.#until.keys()) {
      if (this.#until.size <= this.#options.countMax) break;
      this.#until.delete(oldest);
    }
  }

  ids(): string[] {
    const nowMs = this.#clock.monotonicMs();
    for (const [segmentId, untilMs] of this.#until) {
      if (untilMs <= nowMs) this.#until.delete(segmentId);
    }
    return [...this.#until.keys()];
  }
}
