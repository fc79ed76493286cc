import { limits, PooledMemory, SlabMemory } from '@kafscale/core';

/**
 * Memory for frames. That of large ones is shared with the threads that seal segments and used
 * again: the batches of a Produce request stay where the front has put them until they are stored, so
 * they are copied once, from the chunk of the socket.
 */
export class FrameMemory {
  readonly #slabs: SlabMemory;

  constructor(options: { idleBytesMax: number; bytesMax: number }) {
    this.#slabs = new SlabMemory({
      slabBytes: limits.frameSlabBytes,
      slabBytesMax: options.bytesMax,
      idleBytesMax: options.idleBytesMax,
      // What is kept by its length is bounded only while nobody has it, and V8 does not count shared
      // memory: of frames just below 64 KiB up to 480 MB were waiting for a collection.
      small: null,
    });
  }

  get idleBytes(): number {
    return this.#slabs.idleBytes;
  }

  /** Exactly `bytes`, with whatever was in them before. */
  take(bytes: number): PooledMemory {
    // Smaller frames are copied where they are needed longer: cheaper than memory of their own.
    if (bytes < limits.sharedFrameBytesMin) return new PooledMemory(Buffer.allocUnsafe(bytes));
    return this.#slabs.take(bytes);
  }
}
