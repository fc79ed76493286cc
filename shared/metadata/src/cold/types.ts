import type { ColdExtent } from '@kafscale/codec';

/** A piece of a partition's index that is in an object of the bucket: all that is left of it here. */
export interface ColdRangeRow {
  readonly objectId: string;
  readonly partitionId: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly extents: number;
  /** Bytes of records. */
  readonly sizeBytes: number;
  readonly maxTimestampMs: number;
  readonly prefixMaxTimestampMs: number;
  readonly first: {
    readonly nextOffset: number;
    readonly length: number;
    /** As retention sees it: of the commit, if its records have no timestamps. */
    readonly timestampMs: number;
  };
}

/** Whose extents an object has, as the object itself says it. */
export interface ColdPlace {
  readonly clusterId: string;
  readonly topicId: string;
  readonly partitionIndex: number;
  readonly partitionId: number;
}

/** Adjacent index rows that can leave the store. */
export interface FreezePlan extends ColdPlace {
  readonly extents: readonly ColdExtent[];
}

/** `superseded`: something is not what it was any more; nothing was changed. */
export type ColdSwapResult = 'swapped' | 'superseded';

/** What is known of a range from its extents. */
export function coldRangeRow(
  objectId: string,
  partitionId: number,
  extents: readonly ColdExtent[],
): ColdRangeRow | null {
  const [first] = extents;
  const last = extents.at(-1);
  if (first === undefined || last === undefined) return null;
  return {
    objectId,
    partitionId,
    baseOffset: first.baseOffset,
    nextOffset: last.nextOffset,
    extents: extents.length,
    sizeBytes: extents.reduce((sum, { length }) => sum + length, 0),
    maxTimestampMs: extents.reduce((most, each) => Math.max(most, each.maxTimestampMs), -1),
    prefixMaxTimestampMs: last.prefixMaxTimestampMs,
    first: {
      nextOffset: first.nextOffset,
      length: first.length,
      timestampMs: first.maxTimestampMs >= 0 ? first.maxTimestampMs : first.committedAtMs,
    },
  };
}
