export type { BlockRead, BlockService, BlockUrgency, WantedExtent } from './blocks.js';
export type {
  BatchAnswer,
  BatchCommit,
  ExtentCommit,
  SegmentAnswer,
  SegmentCommit,
} from './commit.js';
export { feedPositionAtLeast } from './feed.js';
export type {
  Extent,
  FeedEvent,
  FeedListener,
  FeedMessage,
  FeedOptions,
  FeedPosition,
  FeedSubscription,
  OffsetRange,
  LeaderEpochStart,
  PartitionHead,
  TopicSettings,
  TopicState,
} from './feed.js';
export type { KafkaReply, KafkaRequest, KafkaService, RequestMemory } from './kafka-service.js';
export type { ClusterView, NodeGrant, NodeInfo, NodeRegistration, NodeRole } from './nodes.js';
export type {
  CoordinatorService,
  FetchService,
  IngestService,
  RecentSegmentView,
} from './services.js';
export { ClusterMembership } from './membership/cluster-membership.js';
export type { ClusterMembershipOptions } from './membership/cluster-membership.js';
export {
  connectBlocks,
  connectCoordinator,
  connectFetch,
  connectIngest,
} from './remote/connect.js';
export type { LinkClass, RemoteOptions, RemoteService } from './remote/connect.js';
export { serveCoordinator, serveFetch, serveIngest } from './remote/serve.js';
export { servicePaths } from './remote/service-methods.js';
export { FeedReplica } from './replica/feed-replica.js';
export type { FeedReplicaHealth, FeedReplicaOptions } from './replica/feed-replica.js';
