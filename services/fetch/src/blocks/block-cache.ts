import type { Extent } from '@kafscale/cluster';
import { invariant, type PooledMemory } from '@kafscale/core';
import type { LoadedExtent } from './verify-extent.js';

/** Readers near the end of the log and readers far behind it do not evict one another's blocks. */
export type CacheShare = 'tail' | 'catchUp';

export interface BlockCacheLimits {
  readonly bytesMax: number;
  /** What the blocks of lagging readers may keep when the others need room, of `bytesMax`. */
  readonly catchUpBytesMax: number;
}

/** Memory that is freed as a whole: one read buffer and the extents within it. */
export interface Block {
  readonly share: CacheShare;
  readonly memoryBytes: number;
  readonly extents: readonly LoadedExtent[];
  readonly memory: PooledMemory | null;
}

interface Entry {
  readonly loaded: LoadedExtent;
  readonly block: Block;
}

/** Objects around an extent's bytes: entry, extent, table, buffer view. */
const overheadBytesPerExtent = 512;

/**
 * Loaded extents by segment and position, bounded by the memory they hold. A block is one read
 * buffer: evicting a part of it would free nothing. Loads under way count from their start
 * ({@link reserve}), so that the bound holds at every moment.
 */
export class BlockCache {
  readonly #limits: BlockCacheLimits;
  readonly #segments = new Map<string, Map<number, Entry>>();
  /** In order of use, oldest first. */
  readonly #blocks = { tail: new Set<Block>(), catchUp: new Set<Block>() };
  readonly #bytes = { tail: 0, catchUp: 0 };
  #reservedBytes = 0;

  constructor(limits: BlockCacheLimits) {
    this.#limits = limits;
  }

  /** Blocks and loads under way. */
  get bytes(): number {
    return this.#bytes.tail + this.#bytes.catchUp + this.#reservedBytes;
  }

  /** Counts as a use of its block. */
  find(extent: Extent): LoadedExtent | undefined {
    const entry = this.#segments.get(extent.segmentId)?.get(extent.position);
    if (entry === undefined || !isSame(entry.loaded.extent, extent)) return undefined;
    const blocks = this.#blocks[entry.block.share];
    blocks.delete(entry.block);
    blocks.add(entry.block);
    return entry.loaded;
  }

  /** Does not count as a use. */
  peek(extent: Extent): LoadedExtent | undefined {
    const loaded = this.#segments.get(extent.segmentId)?.get(extent.position)?.loaded;
    return loaded && isSame(loaded.extent, extent) ? loaded : undefined;
  }

  /**
   * Makes room for a load, evicting as needed; false when loads under way leave no room. A load
   * larger than the whole cache is let in when it is the only thing there.
   */
  reserve(bytes: number): boolean {
    invariant(bytes > 0, 'a load has bytes');
    if (this.#reservedBytes > 0 && this.#reservedBytes + bytes > this.#limits.bytesMax)
      return false;
    this.#evict(bytes);
    this.#reservedBytes += bytes;
    return true;
  }

  /** The load failed: gives its room back. */
  cancel(reservedBytes: number): void {
    this.#reservedBytes -= reservedBytes;
    invariant(this.#reservedBytes >= 0, 'only what was reserved is given back');
  }

  /** `bytes`: the memory that the extents are views of. The caller's hold of it becomes the cache's. */
  insert(extents: readonly LoadedExtent[], bytes: number, share: CacheShare): Block | null {
    const memory = extents[0]?.memory;
    if (memory === undefined) return null;
    const tableBytes = extents.reduce((sum, { table }) => sum + table.memoryBytes, 0);
    const memoryBytes = bytes + tableBytes + extents.length * overheadBytesPerExtent;
    const block: Block = { share, memoryBytes, extents, memory };
    this.#evict(memoryBytes);
    for (const loaded of extents) {
      const { segmentId, position } = loaded.extent;
      const entries = this.#segments.get(segmentId) ?? new Map<number, Entry>();
      entries.set(position, { loaded, block });
      this.#segments.set(segmentId, entries);
    }
    this.#blocks[share].add(block);
    this.#bytes[share] += memoryBytes;
    return block;
  }

  /** If it is still there. */
  remove(block: Block): void {
    if (this.#blocks[block.share].has(block)) this.#drop(block);
  }

  clear(): void {
    for (const share of ['tail', 'catchUp'] as const) {
      for (const block of this.#blocks[share]) this.#drop(block);
    }
  }

  #evict(bytes: number): void {
    while (this.bytes + bytes > this.#limits.bytesMax) {
      const oldestTail = first(this.#blocks.tail);
      const oldestCatchUp = first(this.#blocks.catchUp);
      const isOverShare = this.#bytes.catchUp > this.#limits.catchUpBytesMax;
      const victim = isOverShare ? oldestCatchUp : (oldestTail ?? oldestCatchUp);
      if (victim === undefined) return;
      this.#drop(victim);
    }
  }

  #drop(block: Block): void {
    this.#blocks[block.share].delete(block);
    this.#bytes[block.share] -= block.memoryBytes;
    for (const { extent } of block.extents) {
      const entries = this.#segments.get(extent.segmentId);
      // A later load of the same extent may have taken the place.
      if (entries?.get(extent.position)?.block !== block) continue;
      entries.delete(extent.position);
      if (entries.size === 0) this.#segments.delete(extent.segmentId);
    }
    block.memory?.release();
  }
}

/** A large extent and its first part begin at the same byte. */
function isSame(left: Extent, right: Extent): boolean {
  return left.length === right.length;
}

function first<T>(set: ReadonlySet<T>): T | undefined {
  for (const element of set) return element;
  return undefined;
}
