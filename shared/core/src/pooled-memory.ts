import { invariant } from './errors.js';

/**
 * Memory that is filled once. Whoever looks at it holds it; when nobody does any more it goes back to
 * its pool. A holder that never lets go costs nothing but that: the garbage collector frees it then.
 */
export class PooledMemory {
  /** Exactly as many bytes as were asked for. */
  readonly bytes: Buffer;
  readonly #onFree: (() => void) | null;
  #holders = 1;

  /** Held once: by its maker. Without `onFree` it belongs to no pool. */
  constructor(bytes: Buffer, onFree: (() => void) | null = null) {
    this.bytes = bytes;
    this.#onFree = onFree;
  }

  retain(): void {
    invariant(this.#holders > 0, 'free memory is not held');
    this.#holders += 1;
  }

  release(): void {
    invariant(this.#holders > 0, 'memory is let go once by each holder');
    this.#holders -= 1;
    if (this.#holders === 0) this.#onFree?.();
  }
}

export interface MemoryPoolOptions {
  /** Of what is kept for later; what is in use is bounded by whoever takes it. */
  readonly idleBytesMax: number;
  /** Fresh memory of exactly so many bytes. */
  readonly allocate: (bytes: number) => Buffer;
}

/**
 * Keeps memory for the next taker. Fresh memory costs a page fault per 4 KiB, and V8 counts it: every
 * few megabytes of it start a full garbage collection (50 of them in 300 MB of Produce requests, a
 * third of all CPU; none with a pool).
 */
export class MemoryPool {
  readonly #options: MemoryPoolOptions;
  /** By capacity; the capacity that was used longest ago comes first. */
  readonly #idle = new Map<number, Buffer[]>();
  #idleBytes = 0;

  constructor(options: MemoryPoolOptions) {
    this.#options = options;
  }

  get idleBytes(): number {
    return this.#idleBytes;
  }

  /** Exactly `bytes`, with whatever was in them before, in memory of `sizeClassOf(bytes)`. */
  take(bytes: number): PooledMemory {
    const capacity = sizeClassOf(bytes);
    const whole = this.#takeIdle(capacity) ?? this.#options.allocate(capacity);
    return new PooledMemory(whole.subarray(0, bytes), () => this.#give(whole));
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
    const { idleBytesMax } = this.#options;
    if (capacity > idleBytesMax) return;
    const buffers = this.#idle.get(capacity) ?? [];
    buffers.push(whole);
    this.#idle.delete(capacity);
    this.#idle.set(capacity, buffers);
    this.#idleBytes += capacity;
    while (this.#idleBytes > idleBytesMax) this.#dropOldest();
  }

  #dropOldest(): void {
    for (const capacity of this.#idle.keys()) {
      this.#takeIdle(capacity);
      return;
    }
  }
}

const sizeStepMin = 512;

/**
 * The capacity for so many bytes: eight sizes between a power of two and the next, so that requests of
 * nearly the same size share memory, and at most an eighth of it is unused.
 */
export function sizeClassOf(bytes: number): number {
  invariant(bytes > 0, 'memory has bytes');
  const step = Math.max(sizeStepMin, 2 ** (Math.ceil(Math.log2(bytes)) - 4));
  return Math.ceil(bytes / step) * step;
}
