import type { Extent, SegmentAnswer, SegmentCommit } from '@kafscale/cluster';

/** One of the last 5 batches of a producer: Kafka's BatchMetadata. */
export interface KeptBatch {
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: number;
  readonly maxTimestampMs: number;
}

/** What a partition remembers of an idempotent producer: Kafka's ProducerStateEntry. */
export interface ProducerState {
  readonly partitionId: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  /** From the bucket, and nothing was appended since: it may be behind the producer. */
  readonly isRestored: boolean;
  /** Oldest first; 1 to 5. */
  readonly batches: readonly KeptBatch[];
}

export interface PartitionState {
  readonly partitionId: number;
  readonly logStartOffset: number;
  readonly nextOffset: number;
  /** Greatest record timestamp so far, −1 before the first. */
  readonly maxTimestampMs: number;
  /** Greatest producer id whose state the partition may lack; −1: it lacks none. */
  readonly producerStateFloor: number;
}

/** What the commit transaction read, under its locks, in the order in which it matters. */
export interface CommitState {
  readonly databaseTimeMs: number;
  readonly commitAgeMsMax: number;
  readonly incarnation: number;
  /** The nodes that may commit. */
  readonly liveNodeIds: ReadonlySet<number>;
  readonly storedAnswers: ReadonlyMap<string, SegmentAnswer>;
  /** By partition id; a partition that is not here does not exist (any more). */
  readonly partitions: ReadonlyMap<number, PartitionState>;
  readonly producers: readonly ProducerState[];
}

/** A segment of which something must be stored: its extents, its answer, or both. */
export interface DecidedSegment {
  readonly segment: SegmentCommit;
  readonly answer: SegmentAnswer;
  readonly extentCount: number;
}

export interface DecidedPartition {
  readonly partitionId: number;
  readonly previousOffset: number;
  readonly nextOffset: number;
  readonly maxTimestampMs: number;
  readonly addedBytes: number;
}

export interface DecidedExtent {
  readonly extent: Extent;
  /** Greatest timestamp of the partition up to and with this extent. */
  readonly prefixMaxTimestampMs: number;
}

/** What to answer, and what to write so that the answer is true. */
export interface CommitDecision {
  /** One per segment, in the order of the call. */
  readonly answers: readonly SegmentAnswer[];
  readonly segments: readonly DecidedSegment[];
  readonly extents: readonly DecidedExtent[];
  readonly partitions: readonly DecidedPartition[];
  readonly producers: readonly ProducerState[];
}
