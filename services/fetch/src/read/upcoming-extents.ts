import type { Clock } from '@kafscale/core';
import type { FoundExtent } from '../extents/extent-index.js';

export interface UpcomingLimits {
  /** Sequential readers of partitions that are looked after; those that read longest ago go first. */
  readonly readersMax: number;
  /** A reader that did not move for so long has left. */
  readonly idleMsMax: number;
  /** Of all their windows together. */
  readonly bytesMax: number;
  readonly bytesPerReaderMax: number;
  /** Of all their windows together, for where extents are tiny. */
  readonly extentsMax: number;
}

/** Extents that follow one another from an offset on, about so many bytes of them, as far as is known. */
export type CollectExtents = (offset: number, bytes: number) => readonly FoundExtent[];

interface Window {
  lastUsedMs: number;
  readonly extents: Upcoming[];
  bytes: number;
}

/** An extent that a sequential reader will want soon. */
export interface Upcoming extends FoundExtent {
  readonly leaderEpoch: number;
}

/**
 * What sequential readers will want next, by segment: whoever reads a part of a segment takes along
 * what the others are about to read of it. So they share its reads also when one is ahead, and since those
 * behind then find everything in the cache, they stay close.
 *
 * A hint only: what is gone, or no longer wanted, costs its bytes at most.
 */
export class UpcomingExtents {
  readonly #limits: UpcomingLimits;
  readonly #clock: Clock;
  /** By reader and partition, in order of use. */
  readonly #windows = new Map<string, Window>();
  readonly #bySegment = new Map<string, Set<Upcoming>>();
  #extentCount = 0;

  constructor(limits: UpcomingLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** Where a sequential reader is now. */
  advance(
    reader: string,
    place: { readonly offset: number; readonly leaderEpoch: number },
    collect: CollectExtents,
  ): void {
    const window = this.#use(reader);
    const { extents } = window;
    const isElsewhere = (extents[0]?.extent.baseOffset ?? 0) > place.offset;
    let read = isElsewhere ? extents.length : 0;
    while ((extents[read]?.extent.nextOffset ?? Infinity) <= place.offset) read++;
    this.#take(window, extents.splice(0, read));
    const end = extents.at(-1)?.extent.nextOffset ?? place.offset;
    const bytesMissing = this.#windowBytes() - window.bytes;
    if (bytesMissing <= 0) return;
    for (const found of collect(end, bytesMissing)) {
      if (this.#extentCount >= this.#limits.extentsMax) return;
      this.#extentCount++;
      const upcoming = { ...found, leaderEpoch: place.leaderEpoch };
      extents.push(upcoming);
      window.bytes += found.extent.length;
      const { segmentId } = found.extent;
      const ofSegment = this.#bySegment.get(segmentId) ?? new Set();
      this.#bySegment.set(segmentId, ofSegment.add(upcoming));
    }
  }

  of(segmentId: string): Iterable<Upcoming> {
    return this.#bySegment.get(segmentId) ?? [];
  }

  #windowBytes(): number {
    const { bytesMax, bytesPerReaderMax } = this.#limits;
    return Math.min(bytesPerReaderMax, Math.floor(bytesMax / this.#windows.size));
  }

  #use(reader: string): Window {
    const nowMs = this.#clock.monotonicMs();
    const window = this.#windows.get(reader) ?? { extents: [], bytes: 0, lastUsedMs: nowMs };
    window.lastUsedMs = nowMs;
    this.#windows.delete(reader);
    this.#windows.set(reader, window);
    for (const [oldest, { extents, lastUsedMs }] of this.#windows) {
      const isTooMany = this.#windows.size > this.#limits.readersMax;
      if (!isTooMany && lastUsedMs >= nowMs - this.#limits.idleMsMax) break;
      this.#windows.delete(oldest);
      this.#forget(extents);
    }
    return window;
  }

  #take(window: Window, extents: readonly Upcoming[]): void {
    for (const { extent } of extents) window.bytes -= extent.length;
    this.#forget(extents);
  }

  #forget(extents: readonly Upcoming[]): void {
    this.#extentCount -= extents.length;
    for (const upcoming of extents) {
      const { segmentId } = upcoming.extent;
      const ofSegment = this.#bySegment.get(segmentId);
      ofSegment?.delete(upcoming);
      if (ofSegment?.size === 0) this.#bySegment.delete(segmentId);
    }
  }
}
