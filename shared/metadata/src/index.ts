export { ColdStore, openColdStore } from './cold/cold-store.js';
export type { ColdCounts } from './cold/cold-garbage.js';
export type { FreezeBounds } from './cold/plan-freeze.js';
export type { ColdSwap } from './cold/swap-cold.js';
export { coldRangeRow } from './cold/types.js';
export type { ColdPlace, ColdRangeRow, ColdSwapResult, FreezePlan } from './cold/types.js';
export { openCompactionStore } from './compaction/compaction-store.js';
export type { CompactionStore } from './compaction/compaction-store.js';
export { mergeRowColumns } from './compaction/types.js';
export type {
  FreshMergeRequest,
  MergeBacklog,
  MergedExtent,
  MergedSegment,
  MergeLimits,
  MergePlan,
  MergeRun,
  SmallMergeRequest,
  SwapResult,
} from './compaction/types.js';
export { findEmbeddedPostgres, startEmbeddedPostgres } from './embedded/index.js';
export type {
  EmbeddedPostgres,
  EmbeddedPostgresLog,
  EmbeddedPostgresOptions,
} from './embedded/index.js';
export { GarbageStore, openGarbageStore } from './garbage/garbage-store.js';
export { orphanSweepParts } from './garbage/orphans.js';
export type { OrphanSweepState, UnknownSegments } from './garbage/orphans.js';
export type { DueGarbage, GarbageState, SegmentCount } from './garbage/segments.js';
export type { StoredGroup, StoredMember, StoredProtocol } from './groups/group-record.js';
export { openGroupStore } from './groups/group-store.js';
export type { GroupStore, StoredGroupSummary } from './groups/group-store.js';
export type { OffsetCommitment, OffsetKey, StoredOffset } from './groups/offsets.js';
export type { RetentionPolicy, TrimDecision } from './retention/decide-trim.js';
export type { DeleteRecordsOutcome, DeleteRecordsWish } from './retention/delete-records.js';
export type { ProducerKey, ProducerPage } from './retention/expire-producers.js';
export { openRetentionStore, RetentionStore } from './retention/retention-store.js';
export type { RetentionWish, TrimmedPartition } from './retention/trim.js';
export { MetadataAudit, openMetadataAudit } from './recovery/metadata-audit.js';
export type {
  AuditedColdRange,
  AuditedExtent,
  AuditedSegment,
  AuditState,
  CountFinding,
  OffsetsFinding,
} from './recovery/metadata-audit.js';
export type { LocatedOffset } from './recovery/locate-offset.js';
export { MetadataRestore, restoreMetadata } from './recovery/restore.js';
export type { RestoreOptions } from './recovery/restore.js';
export type { OffsetFinding } from './recovery/clamp-offsets.js';
export type { RangeFinding } from './recovery/cut-missing.js';
export type { Findings } from './recovery/findings.js';
export type {
  RestoredPartition,
  RestoredState,
  RestoreReport,
  UnknownSegment,
} from './recovery/finish-restore.js';
export type { OffsetRange } from './recovery/read-extents.js';
export type { PresentSegment } from './recovery/restore-extents.js';
export { readShard, ShardSnapshot } from './recovery/shard-snapshot.js';
export type { ShardState } from './recovery/shard-snapshot.js';
export { MetadataStore, openMetadataStore } from './store.js';
export type { PurgeResult } from './topic-purge.js';
export type { MetadataStoreOptions } from './store.js';
export type {
  AcquireResult,
  CommitResult,
  Lease,
  LeaseGrant,
  NewTopic,
  TopicRecord,
} from './store-types.js';
