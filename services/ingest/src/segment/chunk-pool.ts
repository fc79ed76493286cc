import { invariant, limits } from '@kafscale/core';

/**
 * Memory that worker threads can read without a transfer: fixed-size SharedArrayBuffers that open
 * segments fill and that are used again after the segment has been committed. Fresh memory costs a
 * page fault per 4 KiB; recycled memory costs nothing.
 */
export class ChunkPool {
  readonly #idle: SharedArrayBuffer[] = [];
  readonly #idleMax: number;

  /** `idleBytesMax` bounds what is kept for later; what is in use is bounded by admission. */
  constructor(idleBytesMax: number) {
    this.#idleMax = Math.floor(idleBytesMax / limits.arenaChunkBytes);
  }

  get idleBytes(): number {
    return this.#idle.length * limits.arenaChunkBytes;
  }

  /** A chunk of at least `bytes`: a pooled one, or one made to measure for an outsized batch. */
  take(bytes: number): Buffer {
    if (bytes > limits.arenaChunkBytes) return Buffer.from(new SharedArrayBuffer(bytes));
    return Buffer.from(this.#idle.pop() ?? new SharedArrayBuffer(limits.arenaChunkBytes));
  }

  /** The caller gives up the chunk; nobody may hold a view of it any more. */
  give(chunk: Buffer): void {
    invariant(chunk.buffer instanceof SharedArrayBuffer, 'only chunks come back to the pool');
    const outsized = chunk.byteLength !== limits.arenaChunkBytes;
    if (outsized || this.#idle.length >= this.#idleMax) return;
    this.#idle.push(chunk.buffer);
  }
}
