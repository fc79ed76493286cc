/** Columns of {@link MergeRun.rows}; the first row begins at the run's base offset. */
export const mergeRowColumns = {
  nextOffset: 0,
  /** Number of the segment in the plan's list. */
  segment: 1,
  position: 2,
  length: 3,
  /** 1: the stored batch headers have their offsets. */
  isAbsolute: 4,
  count: 5,
} as const;

/** Adjacent index rows of one partition that become one. */
export interface MergeRun {
  readonly partitionId: number;
  readonly topicId: string;
  readonly partitionIndex: number;
  /** Stamped into batches that have no offsets yet. */
  readonly leaderEpoch: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly rowCount: number;
  /** Bytes of the rows, batches that were refused included. */
  readonly bytes: number;
  /** Flat, in offset order: there may be tens of thousands, and they go to another thread. */
  readonly rows: Float64Array;
  /** By number of the row, where a row has any: ordinals of refused batches, ascending. */
  readonly skippedBatches: ReadonlyMap<number, readonly number[]>;
}

/** What one merge reads and replaces. */
export interface MergePlan {
  /** `fresh`: segments as ingest wrote them. `merged`: small extents of earlier merges. */
  readonly kind: 'fresh' | 'merged';
  readonly segmentIds: readonly string[];
  readonly runs: readonly MergeRun[];
  readonly rowCount: number;
  readonly bytes: number;
  /** Of the segment to be made: database time, never later than the truth. */
  readonly birthMs: number;
  readonly incarnation: number;
}

export interface MergeLimits {
  /** Bytes of the rows of one plan; a single fresh segment may be larger. */
  readonly bytesMax: number;
  readonly rowsMax: number;
  readonly segmentsMax: number;
  readonly runsMax: number;
}

export interface FreshMergeRequest extends MergeLimits {
  readonly shardId: number;
  /** Segments younger than this are left alone. */
  readonly graceMs: number;
  /** Nothing is planned before there is as much as one of these. */
  readonly bytesMin: number;
  readonly rowsMin: number;
  readonly segmentsMin: number;
  /** Segments that could not be read a moment ago. */
  readonly excludedSegmentIds: readonly string[];
}

export interface SmallMergeRequest extends MergeLimits {
  readonly shardId: number;
  readonly partitionsMax: number;
  readonly excludedSegmentIds: readonly string[];
}

/** The object that was made of a plan. */
export interface MergedSegment {
  readonly segmentId: string;
  readonly sizeBytes: number;
  /** One per run of the plan, in its order. */
  readonly extents: readonly MergedExtent[];
}

export interface MergedExtent {
  readonly position: number;
  readonly length: number;
  readonly firstTimestampMs: number;
}

/** `superseded`: some row is not what it was, or it came too late; nothing was changed. */
export type SwapResult = 'swapped' | 'superseded';

export interface MergeBacklog {
  /** Of fresh segments that are older than the grace, up to a bound. */
  readonly segments: number;
  readonly rows: number;
  readonly bytes: number;
}
