import { MemoryPool, PooledMemory } from '@kafscale/core';

/** Smaller frames are copied where they are needed longer, which costs less than a buffer of their own. */
const sharedBytesMin = 16 * 1024;
/** Larger ones are rare. */
const sharedBytesMax = 8 * 1024 * 1024;

/**
 * Memory for frames. That of large ones is shared with the threads that seal segments and used
 * again: the batches of a Produce request stay where the front has put them until they are stored, so
 * they are copied once, from the chunk of the socket.
 */
export class FrameMemory {
  readonly #pool: MemoryPool;

  constructor(idleBytesMax: number) {
    this.#pool = new MemoryPool({
      idleBytesMax,
      allocate: (bytes) => Buffer.from(new SharedArrayBuffer(bytes)),
    });
  }

  get idleBytes(): number {
    return this.#pool.idleBytes;
  }

  /** Exactly `bytes`, with whatever was in them before. */
  take(bytes: number): PooledMemory {
    if (bytes >= sharedBytesMin && bytes <= sharedBytesMax) return this.#pool.take(bytes);
    return new PooledMemory(Buffer.allocUnsafe(bytes));
  }
}
