import type { SegmentAnswer, SegmentCommit } from './commit.js';
import type { Extent, FeedListener, FeedOptions, FeedPosition, FeedSubscription } from './feed.js';
import type { KafkaService } from './kafka-service.js';
import type { ClusterView, NodeGrant, NodeRegistration } from './nodes.js';

/**
 * What services call of one another. Each interface has two implementations: the service itself
 * (same process), and a remote client of it (rpc). All of them reject with OperatingError only.
 */

export interface IngestService extends KafkaService {
  /**
   * Bytes of a segment that this node wrote a moment ago, or null when it no longer has them.
   * The caller must not change them.
   */
  readRecentSegment(segmentId: string, position: number, length: number): Promise<Buffer | null>;
  /**
   * In the same process only: those bytes themselves. `onWanted` is called when their memory is to be
   * used for something else, which waits until the view is released.
   */
  viewRecentSegment?(segmentId: string, onWanted: () => void): RecentSegmentView | null;
}

/** A segment in the memory of the node that wrote it. */
export interface RecentSegmentView {
  /**
   * Views of that range of the object, in order, each of whole batches; null if the range does not
   * begin and end with a batch. What the batches' CRCs do not cover (offset, epoch) may be written.
   */
  pieces(position: number, length: number): readonly Buffer[] | null;
  /** Once. Nobody looks at the pieces any more. */
  release(): void;
}

export type FetchService = KafkaService;

/** The coordinator: the only service that talks to the metadata store. */
export interface CoordinatorService extends KafkaService {
  register(registration: NodeRegistration): Promise<NodeGrant>;
  /** Rejects with code NODE_FENCED when the node was declared dead: it registers anew, as a new node. */
  heartbeat(nodeId: number, instanceId: string): Promise<ClusterView>;
  /** A clean goodbye: the node is not live any more. Its commits are refused from now on. */
  deregister(nodeId: number, instanceId: string): Promise<void>;

  /** Commits in order. Rejects with outcome `unknown` when it can't tell; repeat it then. */
  commitSegments(segments: readonly SegmentCommit[]): Promise<readonly SegmentAnswer[]>;

  /** The read index (design §5.2): the owner's feed position now, while its lease holds. */
  feedPosition(): Promise<FeedPosition>;
  subscribe(options: FeedOptions, listener: FeedListener): FeedSubscription;

  /** Extents from the one that contains `offset` on, ascending; empty at or behind the end. */
  findExtents(partitionId: number, offset: number, countMax: number): Promise<readonly Extent[]>;
  /** The first extent with a record at or after `timestampMs` (its max timestamp says so). */
  findExtentByTimestamp(partitionId: number, timestampMs: number): Promise<Extent | null>;
  /** The first extent that holds the partition's greatest timestamp. */
  findExtentOfMaxTimestamp(partitionId: number): Promise<Extent | null>;
}
