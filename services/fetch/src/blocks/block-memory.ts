import { invariant } from '@kafscale/core';

/**
 * Memory that one read fills. Whoever looks at it holds it; when nobody does any more it is filled
 * anew. A holder that never lets go costs nothing but that: the garbage collector frees it then.
 */
export class BlockMemory {
  /** Exactly as many bytes as were asked for. */
  readonly bytes: Buffer;
  readonly capacityBytes: number;
  readonly #onFree: () => void;
  #holders = 1;

  /** Held once: by its maker. */
  constructor(bytes: Buffer, capacityBytes: number, onFree: () => void) {
    this.bytes = bytes;
    this.capacityBytes = capacityBytes;
    this.#onFree = onFree;
  }

  retain(): void {
    invariant(this.#holders > 0, 'free memory is not held');
    this.#holders++;
  }

  release(): void {
    invariant(this.#holders > 0, 'memory is let go once by each holder');
    this.#holders--;
    if (this.#holders === 0) this.#onFree();
  }

  /** Somebody has views of it and will not say when he is done with them: it is never used again. */
  keepForGood(): void {
    invariant(this.#holders > 0, 'free memory is not held');
    this.#holders = Infinity;
  }
}

/**
 * Memory of blocks that were evicted and sent, kept for the next reads. Fresh memory costs a page
 * fault per 4 KiB, 0.75 CPU s/GB on the machine of the benchmarks: more than reading the bytes into
 * it (0.16) and their CRC (0.26) together.
 */
export class BlockMemoryPool {
  readonly #idleBytesMax: number;
  /** By capacity; the one that was used longest ago comes first. */
  readonly #idle = new Map<number, Buffer[]>();
  #idleBytes = 0;

  constructor(idleBytesMax: number) {
    this.#idleBytesMax = idleBytesMax;
  }

  get idleBytes(): number {
    return this.#idleBytes;
  }

  take(bytes: number): BlockMemory {
    const capacity = capacityOf(bytes);
    const whole = this.#takeIdle(capacity) ?? Buffer.allocUnsafeSlow(capacity);
    return new BlockMemory(whole.subarray(0, bytes), capacity, () => this.#give(whole));
  }

  #takeIdle(capacity: number): Buffer | undefined {
    const buffers = this.#idle.get(capacity);
    if (buffers === undefined) return undefined;
    this.#idle.delete(capacity);
    const whole = buffers.pop();
    if (buffers.length > 0) this.#idle.set(capacity, buffers);
    this.#idleBytes -= capacity;
    return whole;
  }

  #give(whole: Buffer): void {
    const capacity = whole.length;
    if (capacity > this.#idleBytesMax) return;
    const buffers = this.#idle.get(capacity) ?? [];
    buffers.push(whole);
    this.#idle.delete(capacity);
    this.#idle.set(capacity, buffers);
    this.#idleBytes += capacity;
    while (this.#idleBytes > this.#idleBytesMax) this.#dropOldest();
  }

  #dropOldest(): void {
    for (const capacity of this.#idle.keys()) {
      this.#takeIdle(capacity);
      return;
    }
  }
}

const stepBytesMin = 512;

/**
 * What a read of so many bytes gets: eight sizes between a power of two and the next, so that reads
 * of nearly the same length share memory and at most an eighth of it is unused.
 */
export function capacityOf(bytes: number): number {
  invariant(bytes > 0, 'a read has bytes');
  const step = Math.max(stepBytesMin, 2 ** (Math.ceil(Math.log2(bytes)) - 4));
  return Math.ceil(bytes / step) * step;
}
