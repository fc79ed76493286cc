import type { Extent } from '@kafscale/cluster';
import type { Clock } from '@kafscale/core';
import type { LoadFailure } from './load-queue.js';

export interface BadExtentsOptions {
  readonly clock: Clock;
  readonly countMax: number;
  /** How long an extent is answered from memory before it is read again. */
  readonly retryAfterMs: number;
}

interface BadExtent {
  readonly failure: LoadFailure;
  readonly untilMs: number;
}

/**
 * Extents that were lost or damaged a moment ago. Their readers retry at once and for ever; without
 * this each retry would cost reads and a log line, and harm everybody else.
 */
export class BadExtents {
  readonly #options: BadExtentsOptions;
  readonly #extents = new Map<string, BadExtent>();

  constructor(options: BadExtentsOptions) {
    this.#options = options;
  }

  find(extent: Extent): LoadFailure | undefined {
    if (this.#extents.size === 0) return undefined;
    const key = keyOf(extent);
    const bad = this.#extents.get(key);
    if (bad === undefined) return undefined;
    if (this.#options.clock.monotonicMs() < bad.untilMs) return bad.failure;
    this.#extents.delete(key);
    return undefined;
  }

  add(extent: Extent, failure: LoadFailure): void {
    const key = keyOf(extent);
    const untilMs = this.#options.clock.monotonicMs() + this.#options.retryAfterMs;
    this.#extents.delete(key);
    this.#extents.set(key, { failure, untilMs });
    for (const oldest of this.#extents.keys()) {
      if (this.#extents.size <= this.#options.countMax) break;
      this.#extents.delete(oldest);
    }
  }
}

function keyOf(extent: Extent): string {
  return `${extent.segmentId}/${extent.position}+${extent.length}`;
}
