import type { Extent, OffsetRange } from '@kafscale/cluster';
import { OperatingError } from '@kafscale/core';
import type { BatchIndexes } from './batch-indexes.js';
import type { HotIndex } from './hot-index.js';
import { Gate } from '../gate.js';
import { lastAtOrBefore, type RangeCache } from './range-cache.js';

/** An extent as a reader plans with it. */
export interface FoundExtent {
  readonly extent: Extent;
  /** Number of its arrival by the feed; 0: it was looked up, and its writer forgot it long ago. */
  readonly arrival: number;
  /** Among the newest of its partition. */
  readonly isTail: boolean;
}

export interface ExtentWish {
  readonly partitionId: number;
  readonly offset: number;
  /** Look no further than this offset: the high watermark of the answer. */
  readonly endOffset: number;
  /** Enough when the extents have so many bytes, by `sizeOf`. At least one extent is found. */
  readonly bytes: number;
  /** Bytes of the extent from `offset` on, as far as is known. */
  readonly sizeOf: (extent: Extent, offset: number) => number;
  /** Consecutive extents that the caller has looked up itself: the cache may have lost them. */
  readonly lookedUp?: readonly Extent[];
}

export interface ExtentFinding {
  readonly extents: readonly FoundExtent[];
  readonly bytes: number;
  /** Memory does not know what holds this offset: {@link ExtentIndex.lookUp} it. Else null. */
  readonly missingOffset: number | null;
}

/** The owner's answers to lookups: part of CoordinatorService. */
export interface ExtentSource {
  findExtents(partitionId: number, offset: number, countMax: number): Promise<readonly Extent[]>;
}

export interface ExtentIndexOptions {
  readonly hot: HotIndex;
  readonly ranges: RangeCache;
  readonly source: ExtentSource;
  readonly batchIndexes: BatchIndexes;
  readonly limits: {
    readonly extentsPerLookupMax: number;
    readonly lookupsInFlightMax: number;
    /** This many newest extents of a partition count as its tail. */
    readonly tailExtents: number;
  };
}

interface Lookup {
  readonly partitionId: number;
  readonly result: Promise<readonly Extent[]>;
  /** The partition was invalidated meanwhile: the result may be of before. */
  isStale: boolean;
}

/**
 * Where in the segments a partition's offsets are: the hot tail of the feed first, then ranges
 * looked up before, then the owner. Rows are immutable ranges that are only ever replaced as a
 * whole (compaction): {@link invalidate} forgets a partition, lookups under way included.
 */
export class ExtentIndex {
  readonly #options: ExtentIndexOptions;
  readonly #lookups = new Map<string, Lookup>();
  readonly #gate: Gate;

  constructor(options: ExtentIndexOptions) {
    this.#options = options;
    this.#gate = new Gate(options.limits.lookupsInFlightMax);
  }

  /** Whether its rows are handed out in parts, and an extent from elsewhere must be looked up. */
  isDivided(extent: Extent): boolean {
    return this.#options.batchIndexes.isDivided(extent);
  }

  /** What memory knows, without waiting. */
  collect(wish: ExtentWish): ExtentFinding {
    const { hot, ranges, limits } = this.#options;
    const extents: FoundExtent[] = [];
    let bytes = 0;
    let { offset } = wish;
    const take = (extent: Extent, arrival: number, isTail: boolean): boolean => {
      if (offset >= wish.endOffset || (extents.length > 0 && bytes >= wish.bytes)) return false;
      extents.push({ extent, arrival, isTail });
      bytes += wish.sizeOf(extent, offset);
      offset = extent.nextOffset;
      return true;
    };
    while (offset < wish.endOffset && (extents.length === 0 || bytes < wish.bytes)) {
      const offsetBefore = offset;
      const tail = hot.tail(wish.partitionId);
      let position = tail?.find(offset) ?? -1;
      if (tail !== undefined && position >= 0) {
        const tailStart = tail.count - limits.tailExtents;
        for (let extent = tail.extentAt(position); extent; extent = tail.extentAt(position)) {
          if (!take(extent, tail.arrivalAt(position), position >= tailStart)) break;
          position++;
        }
      } else {
        const cached = ranges.find(wish.partitionId, offset);
        for (const extent of cached ?? from(wish.lookedUp ?? [], offset)) {
          if (!take(extent, 0, false)) break;
        }
      }
      if (offset === offsetBefore) return { extents, bytes, missingOffset: offset };
    }
    return { extents, bytes, missingOffset: null };
  }

  /**
   * Extents, or parts of large ones, from the one that holds `offset` on, from the owner, kept for
   * later. Empty if no row holds that offset. Equal lookups under way are one.
   */
  async lookUp(partitionId: number, offset: number): Promise<readonly Extent[]> {
    const key = `${partitionId}:${offset}`;
    const underWay = this.#lookups.get(key);
    if (underWay !== undefined) return from(await underWay.result, offset);
    const lookup: Lookup = {
      partitionId,
      result: this.#gate.run(() => this.#ask(partitionId, offset)),
      isStale: false,
    };
    this.#lookups.set(key, lookup);
    try {
      const extents = await lookup.result;
      if (!lookup.isStale) this.#options.ranges.insert(partitionId, extents);
      return from(extents, offset);
    } finally {
      if (this.#lookups.get(key) === lookup) this.#lookups.delete(key);
    }
  }

  /** Forgets rows that were replaced. What is newer stays: compaction never touches a tail. */
  forget({ partitionId, baseOffset, nextOffset }: OffsetRange): void {
    this.#options.hot.dropBefore(partitionId, nextOffset);
    this.#options.ranges.dropOverlapping(partitionId, baseOffset, nextOffset);
    this.#abandonLookups((lookup) => lookup.partitionId === partitionId);
  }

  /** Forgets what memory says about the partition's rows. Feed events and later lookups refill it. */
  invalidate(partitionId: number): void {
    this.#options.hot.dropPartition(partitionId);
    this.#options.ranges.dropPartition(partitionId);
    this.#abandonLookups((lookup) => lookup.partitionId === partitionId);
  }

  invalidateAll(): void {
    this.#options.hot.clear();
    this.#options.ranges.clear();
    this.#abandonLookups(() => true);
  }

  append(extent: Extent): void {
    this.#options.hot.append(extent);
  }

  dropBefore(partitionId: number, offset: number): void {
    this.#options.hot.dropBefore(partitionId, offset);
    this.#options.ranges.dropBefore(partitionId, offset);
  }

  // A lookup that began before its partition was invalidated may bring rows of before. It still
  // answers those that wait for it, but nobody joins it any more and its result is not kept.
  #abandonLookups(matches: (lookup: Lookup) => boolean): void {
    for (const [key, lookup] of this.#lookups) {
      if (!matches(lookup)) continue;
      lookup.isStale = true;
      this.#lookups.delete(key);
    }
  }

  async #ask(partitionId: number, offset: number): Promise<readonly Extent[]> {
    const { source, limits } = this.#options;
    const rows = await source.findExtents(partitionId, offset, limits.extentsPerLookupMax);
    const first = rows[0];
    if (first === undefined || first.baseOffset > offset || first.nextOffset <= offset) return [];
    let end = first.baseOffset;
    for (const row of rows) {
      if (row.partitionId !== partitionId || row.baseOffset !== end || row.nextOffset <= end) {
        throw new OperatingError(
          'INDEX_INCONSISTENT',
          `the index of partition ${partitionId} has a gap or an overlap at offset ${end}`,
        );
      }
      end = row.nextOffset;
    }
    return this.#divide(first, rows);
  }

  /**
   * Large extents are handed out in parts. One footer is read at most: rows from the next large one on
   * are the next lookup's, which comes when a reader gets there.
   */
  async #divide(first: Extent, rows: readonly Extent[]): Promise<readonly Extent[]> {
    const { batchIndexes } = this.#options;
    const nextLarge = rows.findIndex((row, index) => index > 0 && batchIndexes.isDivided(row));
    const plain = rows.slice(1, nextLarge < 0 ? rows.length : nextLarge);
    return [...(await batchIndexes.partsOf(first)), ...plain];
  }
}

/** The extents from the one that holds `offset` on; none if none does. */
function from(extents: readonly Extent[], offset: number): readonly Extent[] {
  const first = lastAtOrBefore(extents, offset);
  return (extents[first]?.nextOffset ?? -1) > offset ? extents.slice(first) : [];
}
