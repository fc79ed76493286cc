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
  PartitionHead,
  TopicSettings,
  TopicState,
} from './feed.js';
export type { KafkaReply, KafkaRequest, KafkaService } from './kafka-service.js';
export type { ClusterView, NodeGrant, NodeInfo, NodeRegistration, NodeRole } from './nodes.js';
export type { CoordinatorService, FetchService, IngestService } from './services.js';
