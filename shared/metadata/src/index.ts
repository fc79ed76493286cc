export { startEmbeddedPostgres } from './embedded/index.js';
export type {
  EmbeddedPostgres,
  EmbeddedPostgresLog,
  EmbeddedPostgresOptions,
} from './embedded/index.js';
export type { StoredGroup, StoredMember, StoredProtocol } from './groups/group-record.js';
export { openGroupStore } from './groups/group-store.js';
export type { GroupStore, StoredGroupSummary } from './groups/group-store.js';
export type { OffsetCommitment, OffsetKey, StoredOffset } from './groups/offsets.js';
export { MetadataStore, openMetadataStore } from './store.js';
export type { MetadataStoreOptions } from './store.js';
export type {
  AcquireResult,
  CommitResult,
  Lease,
  LeaseGrant,
  NewTopic,
  TopicRecord,
} from './store-types.js';
