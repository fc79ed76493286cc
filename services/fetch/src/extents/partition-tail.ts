import type { Extent } from '@kafscale/cluster';
import { invariant } from '@kafscale/core';

const trimmedPrefixMin = 64;

/**
 * The newest extents of one partition, without gaps, as the feed brought them. Each carries the
 * number of its arrival, so that a reader can tell what a writer may still have in memory.
 */
export class PartitionTail {
  #extents: Extent[] = [];
  #arrivals: number[] = [];
  /** Extents before it are dropped; they are cut off now and then, not one by one. */
  #start = 0;

  get count(): number {
    return this.#extents.length - this.#start;
  }

  /** The first offset that the tail covers; the end if it is empty. */
  get baseOffset(): number {
    return this.#extents[this.#start]?.baseOffset ?? 0;
  }

  get nextOffset(): number {
    return this.#extents.at(-1)?.nextOffset ?? 0;
  }

  /**
   * Appends the partition's next extent. One that the tail has already is left alone; one that does
   * not follow makes the tail start anew, because a tail with a gap would answer wrongly.
   */
  append(extent: Extent, arrival: number): void {
    invariant(extent.nextOffset > extent.baseOffset, 'a committed extent holds records');
    if (this.count > 0) {
      if (extent.nextOffset <= this.nextOffset) return;
      if (extent.baseOffset !== this.nextOffset) this.dropOldest(this.count);
    }
    this.#extents.push(extent);
    this.#arrivals.push(arrival);
  }

  /** Position of the extent that holds `offset`, or −1. O(log n). */
  find(offset: number): number {
    let low = this.#start;
    let high = this.#extents.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const extent = this.#extents[middle];
      invariant(extent !== undefined, 'a binary search stays within its bounds');
      if (offset < extent.baseOffset) high = middle - 1;
      else if (offset >= extent.nextOffset) low = middle + 1;
      else return middle - this.#start;
    }
    return -1;
  }

  /** By the position that {@link find} gives; undefined behind the end. */
  extentAt(position: number): Extent | undefined {
    return this.#extents[this.#start + position];
  }

  arrivalAt(position: number): number {
    return this.#arrivals[this.#start + position] ?? 0;
  }

  /** Drops what lies wholly before `offset`. Returns how many extents that were. */
  dropBefore(offset: number): number {
    let count = 0;
    while ((this.extentAt(count)?.nextOffset ?? Infinity) <= offset) count++;
    this.dropOldest(count);
    return count;
  }

  dropOldest(count: number): void {
    invariant(count <= this.count, 'a tail drops what it has');
    this.#start += count;
    if (this.#start < trimmedPrefixMin && this.count > 0) return;
    if (this.#start * 2 < this.#extents.length) return;
    this.#extents = this.#extents.slice(this.#start);
    this.#arrivals = this.#arrivals.slice(this.#start);
    this.#start = 0;
  }
}
