import type { Extent } from '@kafscale/cluster';
import type { ColdExtent } from '@kafscale/codec';
import { isOperatingError } from '@kafscale/core';
import { openColdStore } from '@kafscale/metadata';
import type { ColdStore, MetadataStore } from '@kafscale/metadata';
import { isLostOrDamaged } from './cold-objects.js';
import type { ColdObjects } from './cold-objects.js';

/**
 * Where offsets and timestamps are, whether the index has them in rows or in objects of the bucket. What
 * rows can answer alone costs what it did without cold ranges.
 *
 * A piece may move while it is looked for: rows and ranges are seen in one state of the database, and an
 * object that is gone by then is looked for once more, because it stays for minutes after its range
 * was replaced.
 */
export class ColdLookups {
  readonly #store: MetadataStore;
  readonly #cold: ColdStore;
  readonly #objects: ColdObjects;

  constructor(store: MetadataStore, objects: ColdObjects) {
    this.#store = store;
    this.#cold = openColdStore(store);
    this.#objects = objects;
  }

  /** Adjacent extents, at most `countMax`: perhaps fewer than there are. */
  async findExtents(
    partitionId: number,
    offset: number,
    countMax: number,
  ): Promise<readonly Extent[]> {
    const rows = await this.#store.findExtents(partitionId, offset, countMax);
    const [first] = rows;
    if (first !== undefined && first.baseOffset <= offset) return adjacent(rows);
    return twice(() => this.#findCold({ partitionId, offset, countMax }));
  }

  findExtentByTimestamp(
    partitionId: number,
    timestampMs: number,
    fromOffset = 0,
  ): Promise<Extent | null> {
    return twice(async () => {
      const request = { partitionId, timestampMs, fromOffset };
      const found = await this.#cold.lookUpTimestamp(request);
      if (found === null) return null;
      const { ranges, row, start } = found;
      for (const range of ranges) {
        if (row !== null && row.baseOffset < range.baseOffset) break;
        if (range.maxTimestampMs < timestampMs) continue;
        const extents = await this.#objects.extentsOf(range);
        const extent = extents.find(
          ({ maxTimestampMs, nextOffset }) => nextOffset > start && maxTimestampMs >= timestampMs,
        );
        if (extent !== undefined) return extentOf(partitionId, extent);
      }
      return row;
    });
  }

  findExtentOfMaxTimestamp(partitionId: number): Promise<Extent | null> {
    return twice(async () => {
      const found = await this.#cold.lookUpMaxTimestamp(partitionId);
      if (found === null) return null;
      let best = found.row;
      for (const range of found.ranges) {
        if (best !== null && !isBetter(range, best)) continue;
        const extents = await this.#objects.extentsOf(range);
        for (const extent of extents) {
          if (extent.nextOffset <= found.start) continue;
          if (best === null || isBetter(extent, best)) best = extentOf(partitionId, extent);
        }
      }
      return best;
    });
  }

  async #findCold(request: {
    partitionId: number;
    offset: number;
    countMax: number;
  }): Promise<readonly Extent[]> {
    const found = await this.#cold.lookUpOffset(request);
    if (found === null) return [];
    const { rows, start } = found;
    const [range] = found.ranges;
    const [row] = rows;
    if (range === undefined || (row !== undefined && row.baseOffset < range.baseOffset)) {
      return adjacent(rows);
    }
    const extents = await this.#objects.extentsOf(range);
    const from = firstEndingAfter(extents, start);
    const some = extents.slice(from, from + request.countMax);
    return some.map((extent) => extentOf(request.partitionId, extent));
  }
}

/** Up to the first hole: what is in it is cold, or lost. */
function adjacent(rows: readonly Extent[]): readonly Extent[] {
  for (let index = 1; index < rows.length; index += 1) {
    if (rows[index]?.baseOffset !== rows[index - 1]?.nextOffset) return rows.slice(0, index);
  }
  return rows;
}

function firstEndingAfter(extents: readonly ColdExtent[], offset: number): number {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((extents[middle]?.nextOffset ?? Infinity) > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}

interface Timed {
  readonly baseOffset: number;
  readonly maxTimestampMs: number;
}

/** The first of those with the greatest timestamp is wanted. */
function isBetter(one: Timed, best: Timed): boolean {
  return one.maxTimestampMs === best.maxTimestampMs
    ? one.baseOffset < best.baseOffset
    : one.maxTimestampMs > best.maxTimestampMs;
}

async function twice<T>(look: () => Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!isOperatingError(error) || !isLostOrDamaged(error.code)) throw error;
    return look();
  }
}

function extentOf(partitionId: number, extent: ColdExtent): Extent {
  return {
    partitionId,
    baseOffset: extent.baseOffset,
    nextOffset: extent.nextOffset,
    segmentId: extent.segmentId,
    position: extent.position,
    length: extent.length,
    skippedBatches: extent.skippedBatches,
    firstTimestampMs: extent.firstTimestampMs,
    maxTimestampMs: extent.maxTimestampMs,
    absoluteOffsets: extent.absoluteOffsets,
    writerNodeId: extent.nodeId,
  };
}
