import { invariant, limits } from '@kafscale/core';

/**
 * How many uploads may be under way: additive increase, multiplicative decrease, as TCP does it
 * (RFC 5681). A store that says "slow down" halves the number; every round of successes adds one.
 * Pure: the caller brings the time.
 *
 * Uploads that were under way at a decrease say nothing about the new number: when the store
 * throttles sixteen of them at once, that is one signal and not sixteen (from 16 to 8, not to 1).
 */
export class UploadLimit {
  readonly #uploadsMax: number;
  /** Between 1 and the maximum; its fraction is the part of a round that has succeeded. */
  #uploads: number;
  #decreasedAtMs = -Infinity;

  constructor(uploadsMax: number) {
    invariant(uploadsMax >= 1, 'at least one upload may be under way');
    this.#uploadsMax = uploadsMax;
    this.#uploads = uploadsMax;
  }

  get uploads(): number {
    return Math.floor(this.#uploads);
  }

  /** An upload was stored. */
  succeeded(): void {
    this.#uploads = Math.min(this.#uploadsMax, this.#uploads + 1 / this.#uploads);
  }

  /** The store refused an upload that was begun at `startedAtMs`, because it has too many requests. */
  throttled(startedAtMs: number, nowMs: number): void {
    if (startedAtMs < this.#decreasedAtMs) return;
    this.#decreasedAtMs = nowMs;
    this.#uploads = Math.max(1, this.#uploads * limits.uploadsThrottledShare);
  }
}
