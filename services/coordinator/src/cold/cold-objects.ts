import { coldRangeKey, decodeColdRange, encodeColdRange } from '@kafscale/codec';
import type { ColdExtent, ColdRange } from '@kafscale/codec';
import { limits, OperatingError } from '@kafscale/core';
import type { ColdRangeRow } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';

/**
 * The extents of cold ranges, in the order of their offsets. A bounded number stays in memory, those
 * used last; whoever asks for what is being read already waits for the same read.
 */
export class ColdObjects {
  readonly #store: ObjectStore;
  readonly #extentsMax: number;
  readonly #known = new Map<string, readonly ColdExtent[]>();
  readonly #reading = new Map<string, Promise<readonly ColdExtent[]>>();
  #extents = 0;

  constructor(store: ObjectStore, extentsMax: number = limits.coldCachedExtentsMax) {
    this.#store = store;
    this.#extentsMax = extentsMax;
  }

  /** Errors: OBJECT_NOT_FOUND, INDEX_OBJECT_* (damaged), STORE_*. */
  async extentsOf(row: ColdRangeRow): Promise<readonly ColdExtent[]> {
    const known = this.#known.get(row.objectId);
    if (known !== undefined) {
      this.#known.delete(row.objectId);
      this.#known.set(row.objectId, known);
      return known;
    }
    const reading = this.#reading.get(row.objectId) ?? this.#read(row);
    return reading;
  }

  async put(range: ColdRange): Promise<void> {
    const { chunks, objectCrc32c } = encodeColdRange(range);
    await this.#store.put(coldRangeKey(range.objectId), chunks, objectCrc32c);
  }

  /** Returns the ids of those that the store did not delete. */
  async delete(objectIds: readonly string[]): Promise<ReadonlySet<string>> {
    const idByKey = new Map(objectIds.map((objectId) => [coldRangeKey(objectId), objectId]));
    const failed = await this.#store.delete([...idByKey.keys()]);
    return new Set(failed.map((key) => idByKey.get(key) ?? key));
  }

  #read(row: ColdRangeRow): Promise<readonly ColdExtent[]> {
    const reading = readColdExtents(this.#store, row)
      .then((extents) => {
        this.#keep(row.objectId, extents);
        return extents;
      })
      .finally(() => this.#reading.delete(row.objectId));
    this.#reading.set(row.objectId, reading);
    return reading;
  }

  #keep(objectId: string, extents: readonly ColdExtent[]): void {
    this.#known.set(objectId, extents);
    this.#extents += extents.length;
    for (const [oldest, { length }] of this.#known) {
      if (this.#extents <= this.#extentsMax) break;
      this.#known.delete(oldest);
      this.#extents -= length;
    }
  }
}

/** Errors: as ColdObjects.extentsOf; INDEX_OBJECT_CORRUPT also when it is not what its row says. */
export async function readColdExtents(
  store: ObjectStore,
  row: Pick<ColdRangeRow, 'objectId' | 'partitionId' | 'baseOffset' | 'nextOffset' | 'extents'>,
): Promise<readonly ColdExtent[]> {
  const key = coldRangeKey(row.objectId);
  const { bytes, sizeBytes } = await store.readTail(key, limits.indexObjectBytesMax);
  if (bytes.length !== sizeBytes) {
    throw new OperatingError('INDEX_OBJECT_CORRUPT', `${key} has ${sizeBytes} bytes`);
  }
  const { extents, objectId, partitionId } = decodeColdRange(bytes);
  if (
    objectId !== row.objectId ||
    partitionId !== row.partitionId ||
    extents.length !== row.extents ||
    extents[0]?.baseOffset !== row.baseOffset ||
    extents.at(-1)?.nextOffset !== row.nextOffset
  ) {
    throw new OperatingError('INDEX_OBJECT_CORRUPT', `${key} has other extents than its row says`);
  }
  return extents;
}

/** It will not be readable later either. */
export function isLostOrDamaged(code: string): boolean {
  return code === 'OBJECT_NOT_FOUND' || code.startsWith('INDEX_OBJECT_');
}
