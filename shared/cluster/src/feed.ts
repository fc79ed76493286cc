/**
 * The feed (design §5.1): what the owner of a shard committed, numbered in commit order, streamed to
 * every subscriber. State that is built from it is called a replica.
 */

/** Total order within a shard: by lease epoch, then by sequence. */
export interface FeedPosition {
  readonly leaseEpoch: number;
  readonly sequence: number;
}

export function feedPositionAtLeast(position: FeedPosition, target: FeedPosition): boolean {
  if (position.leaseEpoch !== target.leaseEpoch) return position.leaseEpoch > target.leaseEpoch;
  return position.sequence >= target.sequence;
}

/** The topic configs that the data path obeys. */
export interface TopicSettings {
  readonly messageBytesMax: number;
  readonly timestampType: 'CreateTime' | 'LogAppendTime';
  /** message.timestamp.before.max.ms and message.timestamp.after.max.ms */
  readonly timestampBeforeMsMax: number;
  readonly timestampAfterMsMax: number;
  /** kafscale.flush.ms: how long a batch may wait for others; −1: as long as the ingest node says. */
  readonly flushMs: number;
}

/** Kafka's EpochEntry: an epoch ends where the next one begins. */
export interface LeaderEpochStart {
  readonly leaderEpoch: number;
  readonly startOffset: number;
}

export interface PartitionHead {
  /** Surrogate id, cluster-wide, never reused. */
  readonly partitionId: number;
  /** The partition's number within its topic, from 0. */
  readonly partitionIndex: number;
  readonly leaderEpoch: number;
  /** Where the epochs after 0 begin, ascending; absent while there is only epoch 0. */
  readonly leaderEpochs?: readonly LeaderEpochStart[];
  readonly logStartOffset: number;
  /** Next offset to be given = Kafka's high watermark = log end offset. */
  readonly highWatermark: number;
}

export interface TopicState {
  /** UUID text form. */
  readonly topicId: string;
  readonly name: string;
  readonly settings: TopicSettings;
  /** Sorted by partitionIndex, dense from 0. */
  readonly partitions: readonly PartitionHead[];
}

/** One index row: the accepted batches of one partition in one segment. */
export interface Extent {
  readonly partitionId: number;
  readonly baseOffset: number;
  /** baseOffset + records of the accepted batches. */
  readonly nextOffset: number;
  readonly segmentId: string;
  readonly position: number;
  readonly length: number;
  /**
   * Ordinals (from 0, ascending) of batches within [position, position + length) that were not
   * accepted: their bytes are there, but they are not part of the log.
   */
  readonly skippedBatches: readonly number[];
  readonly firstTimestampMs: number;
  readonly maxTimestampMs: number;
  /**
   * false: base offsets in the stored batch headers are the producer's and must be stamped from
   * baseOffset on. true (compacted segments): the stored headers are final.
   */
  readonly absoluteOffsets: boolean;
  /** The ingest node that may still have the bytes in memory. */
  readonly writerNodeId: number;
}

/** Offsets of one partition, the last one exclusive. */
export interface OffsetRange {
  readonly partitionId: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
}

export type FeedEvent =
  | { readonly kind: 'topic'; readonly topic: TopicState } // created, or changed in any way
  | { readonly kind: 'topicDeleted'; readonly topicId: string }
  | { readonly kind: 'committed'; readonly extents: readonly Extent[] }
  | { readonly kind: 'logStart'; readonly partitionId: number; readonly logStartOffset: number }
  /**
   * Index rows of these ranges were replaced, or may have been (segment compaction): the same records
   * under the same offsets, in another object. Whoever keeps rows forgets those; the objects that
   * they name stay readable for a while.
   */
  | { readonly kind: 'swapped'; readonly ranges: readonly OffsetRange[] };

/** A snapshot replaces everything that a replica holds; events move it from one position to the next. */
export type FeedMessage =
  | {
      readonly kind: 'snapshot';
      readonly position: FeedPosition;
      readonly topics: readonly TopicState[];
    }
  | {
      readonly kind: 'events';
      readonly position: FeedPosition;
      readonly events: readonly FeedEvent[];
    };

export interface FeedOptions {
  /** Topics only (ingest), or committed extents and log starts too (fetch). */
  readonly commits: boolean;
}

export interface FeedSubscription {
  close(): void;
}

export interface FeedListener {
  /** In order, never concurrently. The first message after subscribing is a snapshot. */
  onMessage(message: FeedMessage): void;
  /** The stream ended; a new subscription starts with a snapshot. Called at most once. */
  onClosed(reason: string): void;
}
