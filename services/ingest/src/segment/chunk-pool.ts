import { limits, PooledMemory, SlabMemory } from '@kafscale/core';

/**
 * Memory that worker threads can read without a transfer: chunks of one size that open segments fill
 * and that are used again after the segment has been forgotten. Fresh memory costs a page fault per
 * 4 KiB; recycled memory costs nothing. Larger batches get a part of their length, and memory of their own
 * above a slab.
 */
export class ChunkPool {
  readonly #slabs: SlabMemory;

  /** `idleBytesMax` bounds what is kept for later; what is in use is bounded by admission. */
  constructor(idleBytesMax: number) {
    this.#slabs = new SlabMemory({
      slabBytes: limits.chunkSlabBytes,
      slabBytesMax: Infinity,
      idleBytesMax,
      small: null,
    });
  }

  /** Of chunks that somebody looks at. */
  get takenBytes(): number {
    return this.#slabs.slabBytes - this.#slabs.idleBytes;
  }

  /** At least `bytes` of shared memory. */
  take(bytes: number): PooledMemory {
    if (bytes <= limits.chunkSlabBytes) {
      return this.#slabs.take(Math.max(bytes, limits.arenaChunkBytes));
    }
    return new PooledMemory(Buffer.from(new SharedArrayBuffer(bytes)));
  }
}
