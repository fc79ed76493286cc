import type { Database } from '../database.js';
import type { MetadataStore } from '../store.js';
import type { Lease } from '../store-types.js';
import { planFreshMerge, planSmallMerge, readMergeBacklog } from './plan-merge.js';
import { swapExtents } from './swap-extents.js';
import type {
  FreshMergeRequest,
  MergeBacklog,
  MergedSegment,
  MergePlan,
  SmallMergeRequest,
  SwapResult,
} from './types.js';

/** What segment compaction asks of the index. Rejects with OperatingError only. */
export interface CompactionStore {
  /** The oldest fresh segments; null: not enough of them, for now. */
  planFreshMerge(request: FreshMergeRequest): Promise<MergePlan | null>;
  /** Small extents of earlier merges; null: there is nothing worth merging. */
  planSmallMerge(request: SmallMergeRequest): Promise<MergePlan | null>;
  /**
   * Errors: SHARD_LEASE_LOST (nothing was changed). Outcome `unknown`: plan anew, the index says
   * what became of it.
   */
  swap(
    lease: Lease,
    swap: { plan: MergePlan; merged: MergedSegment; ageMsMax: number },
  ): Promise<SwapResult>;
  backlog(request: { shardId: number; graceMs: number }): Promise<MergeBacklog>;
}

export function openCompactionStore(store: MetadataStore): CompactionStore {
  const database: Database = store.database;
  return {
    planFreshMerge: (request) => planFreshMerge(database, request),
    planSmallMerge: (request) => planSmallMerge(database, request),
    swap: (lease, swap) => swapExtents(database, { lease, ...swap }),
    backlog: (request) => readMergeBacklog(database, request),
  };
}
