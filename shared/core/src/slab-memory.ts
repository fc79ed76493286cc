import { invariant } from './errors.js';
import { type MemoryPool, PooledMemory } from './pooled-memory.js';

export interface SlabMemoryOptions {
  /** A multiple of {@link slabUnitBytes}; the most that gets a part of one. */
  readonly slabBytes: number;
  /** Of all slabs together: what cannot have a part of one gets memory of its own. */
  readonly slabBytesMax: number;
  /** Of slabs that nobody has a part of: what is beyond it is let go, one slab at a time. */
  readonly idleBytesMax: number;
  /** For what is smaller than {@link slabPartBytesMin}. Null: it gets parts of slabs as well. */
  readonly small: MemoryPool | null;
}

/** Parts of slabs begin at a multiple of it, and have whole ones. */
export const slabUnitBytes = 16 * 1024;
/** Where what is smaller gets no part of a slab, parts are few and at most a quarter unused. */
export const slabPartBytesMin = 64 * 1024;

/**
 * Parts of a few large slabs, each part filled anew as soon as nobody looks at it any more. Reads and
 * requests are of any length, and memory that is kept by its length was of the wrong one for 3 reads in
 * 10: fresh memory for those cost a page fault per 4 KiB, and V8 collected the whole heap for every 30 MB
 * of it (10 to 12 times per GB served). Slabs are shared memory, which V8 does not count: it
 * would also be slow to collect small ones that were let go (a GB of RSS under four producers).
 */
export class SlabMemory {
  readonly #options: SlabMemoryOptions;
  /** Those at the front are filled first, so that the ones at the end become empty. */
  readonly #slabs: Slab[] = [];
  /**
   * Whoever never lets go of a part (a link that broke while it was being sent) costs that part: views
   * of it may be about still, so it is not filled anew. A slab that has no other parts is let go.
   */
  readonly #lostParts = new FinalizationRegistry<TakenPart>(({ slab, units }) => {
    slab.lostUnits += units;
    if (slab.isLost) this.#slabs.splice(this.#slabs.indexOf(slab), 1);
  });

  /** A slab was let go of as empty, and is not collected yet. */
  #isDropPending = false;
  readonly #dropped = new FinalizationRegistry<undefined>(() => {
    this.#isDropPending = false;
    this.#dropEmpty();
  });

  constructor(options: SlabMemoryOptions) {
    invariant(options.slabBytes % slabUnitBytes === 0, 'a slab has whole units');
    this.#options = options;
  }

  /** Kept for later. */
  get idleBytes(): number {
    const free = this.#slabs.reduce((sum, slab) => sum + slab.freeBytes, 0);
    return free + (this.#options.small?.idleBytes ?? 0);
  }

  /** Of slabs, free parts included. */
  get slabBytes(): number {
    return this.#slabs.length * this.#options.slabBytes;
  }

  /** Exactly `bytes`, with whatever was in them before. */
  take(bytes: number): PooledMemory {
    const { slabBytes, slabBytesMax, small } = this.#options;
    if (small !== null && bytes < slabPartBytesMin) return small.take(bytes);
    // Larger than any slab, or no room: the garbage collector's.
    if (bytes > slabBytes) return new PooledMemory(Buffer.allocUnsafeSlow(bytes));
    for (const slab of this.#slabs) {
      const part = this.#takePart(slab, bytes);
      if (part !== null) return part;
    }
    if (this.slabBytes + slabBytes > slabBytesMax) {
      return new PooledMemory(Buffer.allocUnsafeSlow(bytes));
    }
    const slab = new Slab(slabBytes);
    this.#slabs.push(slab);
    const part = this.#takePart(slab, bytes);
    invariant(part !== null, 'an empty slab has room');
    return part;
  }

  #takePart(slab: Slab, bytes: number): PooledMemory | null {
    const units = Math.ceil(bytes / slabUnitBytes);
    const first = slab.take(units);
    if (first === -1) return null;
    const start = first * slabUnitBytes;
    const memory = new PooledMemory(slab.bytes.subarray(start, start + bytes), () => {
      this.#lostParts.unregister(memory);
      slab.give(first, units);
      if (slab.isEmpty) this.#dropEmpty();
      else if (slab.isLost) this.#slabs.splice(this.#slabs.indexOf(slab), 1);
    });
    this.#lostParts.register(memory, { slab, units }, memory);
    return memory;
  }

  /**
   * From the end, down to what may be idle, but one at a time: the next when the garbage collector has
   * freed the last. It does not hurry with shared memory, so whoever needs more and less in turn would
   * have let go of any number of slabs that are still there.
   */
  #dropEmpty(): void {
    if (this.#isDropPending) return;
    const { slabBytes, idleBytesMax } = this.#options;
    const emptyCount = this.#slabs.filter(({ isEmpty }) => isEmpty).length;
    if (emptyCount * slabBytes <= idleBytesMax) return;
    const [dropped] = this.#slabs.splice(
      this.#slabs.findLastIndex(({ isEmpty }) => isEmpty),
      1,
    );
    invariant(dropped !== undefined, 'an empty slab is there');
    this.#isDropPending = true;
    this.#dropped.register(dropped.bytes.buffer, undefined);
  }
}

interface TakenPart {
  readonly slab: Slab;
  readonly units: number;
}

/** Which units are taken. First fit: a search looks at a few thousand bytes once per read, in µs. */
class Slab {
  readonly bytes: Buffer;
  readonly #isTaken: Uint8Array;
  #freeUnits: number;
  /** No room for so many in a row, or more, since something was last given back. */
  #missingUnits = Infinity;
  /** All before it are taken: most searches end where they begin. */
  #firstFree = 0;
  /** Taken, and nobody will give them back. */
  lostUnits = 0;

  constructor(bytes: number) {
    this.bytes = Buffer.from(new SharedArrayBuffer(bytes));
    this.#freeUnits = bytes / slabUnitBytes;
    this.#isTaken = new Uint8Array(this.#freeUnits);
  }

  get freeBytes(): number {
    return this.#freeUnits * slabUnitBytes;
  }

  /** All that is taken of it is lost. */
  get isLost(): boolean {
    return this.lostUnits > 0 && this.lostUnits === this.#isTaken.length - this.#freeUnits;
  }

  get isEmpty(): boolean {
    return this.#freeUnits === this.#isTaken.length;
  }

  /** The first of so many units in a row, or −1. */
  take(units: number): number {
    if (units > this.#freeUnits || units >= this.#missingUnits) return -1;
    let runLength = 0;
    for (let unit = this.#firstFree; unit < this.#isTaken.length; unit++) {
      runLength = this.#isTaken[unit] === 0 ? runLength + 1 : 0;
      if (runLength < units) continue;
      const first = unit + 1 - units;
      this.#isTaken.fill(1, first, unit + 1);
      if (first === this.#firstFree) this.#firstFree = unit + 1;
      this.#freeUnits -= units;
      return first;
    }
    this.#missingUnits = units;
    return -1;
  }

  give(first: number, units: number): void {
    this.#isTaken.fill(0, first, first + units);
    this.#freeUnits += units;
    this.#missingUnits = Infinity;
    this.#firstFree = Math.min(this.#firstFree, first);
  }
}
