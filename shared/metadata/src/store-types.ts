import type { Extent, PartitionHead, SegmentAnswer } from '@kafscale/cluster';

/** The right to write for a shard. Every such transaction checks the epoch. */
export interface Lease {
  readonly shardId: number;
  readonly epoch: number;
}

export interface LeaseGrant extends Lease {
  /** On the store's monotonic clock, counted from before the call was sent: not owner after this. */
  readonly deadlineMs: number;
}

export type AcquireResult =
  | { readonly kind: 'acquired'; readonly lease: LeaseGrant }
  | {
      readonly kind: 'held';
      readonly ownerInstanceId: string;
      /** By database time, at the time of the call; try again then. */
      readonly expiresInMs: number;
    };

export interface CommitResult {
  /** One per segment, in the order of the call. */
  readonly answers: readonly SegmentAnswer[];
  /** What was added to the log just now, in commit order. Repeated commits add nothing. */
  readonly extents: readonly Extent[];
}

export interface TopicRecord {
  readonly topicId: string;
  readonly name: string;
  readonly shardId: number;
  /** The configs that were set, by Kafka's names, unparsed. */
  readonly configs: ReadonlyMap<string, string>;
  readonly createdAtMs: number;
  /** Sorted by index, dense from 0. */
  readonly partitions: readonly PartitionHead[];
}

export interface NewTopic {
  readonly name: string;
  readonly partitionCount: number;
  readonly configs: ReadonlyMap<string, string>;
}
