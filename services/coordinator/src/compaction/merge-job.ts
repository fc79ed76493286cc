import type { MergedSegment, MergePlan } from '@kafscale/metadata';

/** Plain data: it goes to another thread and comes back from there. */
export interface MergeJob {
  readonly plan: MergePlan;
  /** Names the object; never used before. */
  readonly segmentId: string;
  readonly softwareVersion: string;
}

export type MergeOutcome =
  /** The object is stored. */
  | { readonly kind: 'merged'; readonly merged: MergedSegment }
  /** One of the segments is lost or damaged; merging must not touch it. */
  | { readonly kind: 'unreadable'; readonly segmentId: string; readonly reason: string }
  /** The object store does not answer. Part of the object may be there: garbage. */
  | { readonly kind: 'failed'; readonly code: string; readonly reason: string };

export interface MergeExecutor {
  /** Never rejects for what the store does. */
  merge(job: MergeJob): Promise<MergeOutcome>;
  close(): Promise<void>;
}
