import type { PooledMemory } from '@kafscale/core';
import type { LoadedExtent } from './verify-extent.js';

/** Somebody who looks at loaded extents, told of each one before he gets it. */
export interface Holder {
  hold(loaded: LoadedExtent): void;
}

/** Keeps views for as long as he likes and never lets go: the garbage collector has the memory then. */
export const forGood: Holder = { hold: ({ memory }) => memory?.retain() };

/** Does not look. */
export const nobody: Holder = { hold: () => undefined };

/** What one response is made of: held from the cache's answer until its bytes have left. */
export class Lease implements Holder {
  readonly #memories = new Set<PooledMemory>();
  #isOver = false;

  /** After {@link release} it holds nothing: the response did not wait for that load. */
  hold({ memory }: LoadedExtent): void {
    if (memory === null || this.#isOver || this.#memories.has(memory)) return;
    memory.retain();
    this.#memories.add(memory);
  }

  /** Nobody looks at any of it any more. */
  release(): void {
    this.#isOver = true;
    for (const memory of this.#memories) memory.release();
    this.#memories.clear();
  }
}
