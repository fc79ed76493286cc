import { OperatingError } from '@kafscale/core';
import type {
  ClusterView,
  CoordinatorService,
  Extent,
  FeedEvent,
  FeedListener,
  FeedMessage,
  FeedOptions,
  FeedPosition,
  FeedSubscription,
  KafkaReply,
  KafkaRequest,
  NodeGrant,
  NodeRegistration,
  SegmentAnswer,
  SegmentCommit,
  TopicState,
} from '../src/index.js';

const settings = {
  messageBytesMax: 1_048_588,
  timestampType: 'CreateTime',
  timestampBeforeMsMax: Number.MAX_SAFE_INTEGER,
  timestampAfterMsMax: 3_600_000,
  flushMs: -1,
} as const;

export function uuidOf(value: number): string {
  return `00000000-0000-4000-8000-${String(value).padStart(12, '0')}`;
}

export function topicOf(
  value: number,
  heads: readonly { readonly partitionId: number; readonly highWatermark?: number }[],
): TopicState {
  return {
    topicId: uuidOf(value),
    name: `topic-${value}`,
    settings,
    partitions: heads.map(({ partitionId, highWatermark = 0 }, partitionIndex) => ({
      partitionId,
      partitionIndex,
      leaderEpoch: 0,
      logStartOffset: 0,
      highWatermark,
    })),
  };
}

export function extentOf(partitionId: number, baseOffset: number, records: number): Extent {
  return {
    partitionId,
    baseOffset,
    nextOffset: baseOffset + records,
    segmentId: uuidOf(900),
    position: 0,
    length: records * 10,
    skippedBatches: [],
    firstTimestampMs: 1,
    maxTimestampMs: 2,
    absoluteOffsets: false,
    writerNodeId: 1,
  };
}

interface Subscriber {
  readonly options: FeedOptions;
  readonly listener: FeedListener;
  isClosed: boolean;
}

/**
 * A coordinator whose answers and feed are played by hand. It does what one must do (numbers what
 * it publishes, starts subscriptions with a snapshot), and can be made to delay, cut and replay.
 */
export class ScriptedCoordinator implements CoordinatorService {
  position: FeedPosition = { leaseEpoch: 1, sequence: 0 };
  /** By topic, as the owner has them: kept by the test. */
  topics: TopicState[] = [];
  subscriptions: Subscriber[] = [];
  /** True: subscribing yields nothing until the test delivers. */
  holdsSnapshots = false;
  feedPositionCalls = 0;
  /** How feedPosition answers; by default with the position, at once. */
  onFeedPosition: () => Promise<FeedPosition> = () => Promise.resolve(this.position);

  readonly requests: KafkaRequest[] = [];
  onHandle: (request: KafkaRequest, signal: AbortSignal) => Promise<KafkaReply> = () =>
    Promise.resolve({ kind: 'none' });
  onRegister: (registration: NodeRegistration) => Promise<NodeGrant> = () =>
    Promise.reject(new OperatingError('NOT_SCRIPTED', 'register'));
  onHeartbeat: (nodeId: number, instanceId: string) => Promise<ClusterView> = () =>
    Promise.reject(new OperatingError('NOT_SCRIPTED', 'heartbeat'));
  onDeregister: (nodeId: number, instanceId: string) => Promise<void> = () => Promise.resolve();
  onCommit: (segments: readonly SegmentCommit[]) => Promise<readonly SegmentAnswer[]> = () =>
    Promise.reject(new OperatingError('NOT_SCRIPTED', 'commit'));
  extents: Extent[] = [];

  handle(request: KafkaRequest, signal: AbortSignal): Promise<KafkaReply> {
    this.requests.push(request);
    return this.onHandle(request, signal);
  }

  register(registration: NodeRegistration): Promise<NodeGrant> {
    return this.onRegister(registration);
  }

  heartbeat(nodeId: number, instanceId: string): Promise<ClusterView> {
    return this.onHeartbeat(nodeId, instanceId);
  }

  deregister(nodeId: number, instanceId: string): Promise<void> {
    return this.onDeregister(nodeId, instanceId);
  }

  commitSegments(segments: readonly SegmentCommit[]): Promise<readonly SegmentAnswer[]> {
    return this.onCommit(segments);
  }

  feedPosition(): Promise<FeedPosition> {
    this.feedPositionCalls += 1;
    return this.onFeedPosition();
  }

  subscribe(options: FeedOptions, listener: FeedListener): FeedSubscription {
    const subscriber: Subscriber = { options, listener, isClosed: false };
    this.subscriptions.push(subscriber);
    if (!this.holdsSnapshots) listener.onMessage(this.snapshot());
    return {
      close: () => {
        subscriber.isClosed = true;
      },
    };
  }

  findExtents(partitionId: number, offset: number, countMax: number): Promise<readonly Extent[]> {
    const found = this.extents.filter(
      (extent) => extent.partitionId === partitionId && extent.nextOffset > offset,
    );
    return Promise.resolve(found.slice(0, countMax));
  }

  findExtentByTimestamp(partitionId: number, timestampMs: number): Promise<Extent | null> {
    const found = this.extents.find(
      (extent) => extent.partitionId === partitionId && extent.maxTimestampMs >= timestampMs,
    );
    return Promise.resolve(found ?? null);
  }

  findExtentOfMaxTimestamp(partitionId: number): Promise<Extent | null> {
    const found = this.extents.find((extent) => extent.partitionId === partitionId);
    return Promise.resolve(found ?? null);
  }

  snapshot(): FeedMessage {
    return { kind: 'snapshot', position: this.position, topics: this.topics };
  }

  /** The next message, numbered; not delivered to anybody. */
  next(events: readonly FeedEvent[]): FeedMessage {
    const { leaseEpoch, sequence } = this.position;
    this.position = { leaseEpoch, sequence: sequence + 1 };
    return { kind: 'events', position: this.position, events };
  }

  publish(events: readonly FeedEvent[]): void {
    this.deliver(this.next(events));
  }

  deliver(message: FeedMessage): void {
    for (const subscriber of this.live()) subscriber.listener.onMessage(message);
  }

  cut(reason = 'cut by the test'): void {
    for (const subscriber of this.live()) {
      subscriber.isClosed = true;
      subscriber.listener.onClosed(reason);
    }
  }

  live(): readonly Subscriber[] {
    return this.subscriptions.filter((subscriber) => !subscriber.isClosed);
  }
}
