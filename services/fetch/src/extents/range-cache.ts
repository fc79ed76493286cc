import type { Extent } from '@kafscale/cluster';
import { invariant } from '@kafscale/core';

/** What one lookup brought: consecutive extents without a gap. */
interface ExtentRange {
  readonly partitionId: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly extents: readonly Extent[];
}

/**
 * Looked-up parts of the index, least recently used out first, bounded by the number of extents.
 * Ranges of one partition may overlap at their ends; one within another is not kept.
 */
export class RangeCache {
  readonly #extentsMax: number;
  /** Per partition, ascending by baseOffset. */
  readonly #ranges = new Map<number, ExtentRange[]>();
  /** In order of use, oldest first. */
  readonly #used = new Set<ExtentRange>();
  #extentCount = 0;

  constructor(extentsMax: number) {
    this.#extentsMax = extentsMax;
  }

  get extentCount(): number {
    return this.#extentCount;
  }

  /** The cached extents from the one that holds `offset` on; undefined if none does. */
  find(partitionId: number, offset: number): readonly Extent[] | undefined {
    const ranges = this.#ranges.get(partitionId);
    const range = ranges?.[lastAtOrBefore(ranges, offset)];
    if (range === undefined || offset >= range.nextOffset) return undefined;
    this.#used.delete(range);
    this.#used.add(range);
    const first = lastAtOrBefore(range.extents, offset);
    return first === 0 ? range.extents : range.extents.slice(first);
  }

  insert(partitionId: number, found: readonly Extent[]): void {
    const extents = found.length > this.#extentsMax ? found.slice(0, this.#extentsMax) : found;
    const first = extents[0];
    const last = extents.at(-1);
    if (first === undefined || last === undefined) return;
    const { baseOffset } = first;
    const { nextOffset } = last;
    const ranges = this.#ranges.get(partitionId) ?? [];
    const isCovered = (range: ExtentRange): boolean =>
      range.baseOffset <= baseOffset && range.nextOffset >= nextOffset;
    if (ranges.some(isCovered)) return;
    for (const range of ranges.slice()) {
      if (range.baseOffset >= baseOffset && range.nextOffset <= nextOffset) this.#drop(range);
    }
    const range = { partitionId, baseOffset, nextOffset, extents };
    const kept = this.#ranges.get(partitionId) ?? [];
    kept.splice(lastAtOrBefore(kept, baseOffset) + 1, 0, range);
    this.#ranges.set(partitionId, kept);
    this.#used.add(range);
    this.#extentCount += extents.length;
    for (const oldest of this.#used) {
      if (this.#extentCount <= this.#extentsMax) break;
      this.#drop(oldest);
    }
  }

  dropBefore(partitionId: number, offset: number): void {
    for (const range of this.#ranges.get(partitionId)?.slice() ?? []) {
      if (range.nextOffset <= offset) this.#drop(range);
    }
  }

  dropOverlapping(partitionId: number, baseOffset: number, nextOffset: number): void {
    for (const range of this.#ranges.get(partitionId)?.slice() ?? []) {
      if (range.baseOffset < nextOffset && range.nextOffset > baseOffset) this.#drop(range);
    }
  }

  dropPartition(partitionId: number): void {
    this.dropBefore(partitionId, Infinity);
  }

  clear(): void {
    this.#ranges.clear();
    this.#used.clear();
    this.#extentCount = 0;
  }

  #drop(range: ExtentRange): void {
    const ranges = this.#ranges.get(range.partitionId);
    const position = ranges?.indexOf(range) ?? -1;
    invariant(ranges !== undefined && position >= 0, 'a cached range is in the list that it names');
    ranges.splice(position, 1);
    if (ranges.length === 0) this.#ranges.delete(range.partitionId);
    this.#used.delete(range);
    this.#extentCount -= range.extents.length;
  }
}

/** Position of the last element whose baseOffset is at or before `offset`, or −1. */
export function lastAtOrBefore(
  list: readonly { readonly baseOffset: number }[],
  offset: number,
): number {
  let low = 0;
  let high = list.length - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    if ((list[middle]?.baseOffset ?? Infinity) <= offset) low = middle + 1;
    else high = middle - 1;
  }
  return high;
}
