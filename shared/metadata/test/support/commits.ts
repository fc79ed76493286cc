import { randomUUID } from 'node:crypto';

import type {
  BatchCommit,
  ExtentCommit,
  NodeGrant,
  NodeRole,
  SegmentAnswer,
  SegmentCommit,
} from '@kafscale/cluster';

import type { LeaseGrant, MetadataStore, TopicRecord } from '../../src/index.js';

export const errorCodes = {
  none: 0,
  unknownTopicOrPartition: 3,
  outOfOrderSequence: 45,
  invalidProducerEpoch: 47,
  kafkaStorageError: 56,
} as const;

/** A non-idempotent batch unless a producer is named. */
export function batchOf(recordCount: number, fields: Partial<BatchCommit> = {}): BatchCommit {
  return {
    recordCount,
    firstTimestampMs: 1000,
    maxTimestampMs: 1000,
    producerId: -1,
    producerEpoch: -1,
    baseSequence: -1,
    excluded: false,
    ...fields,
  };
}

export function idempotentBatch(
  producerId: number,
  baseSequence: number,
  recordCount = 1,
  producerEpoch = 0,
): BatchCommit {
  return batchOf(recordCount, { producerId, producerEpoch, baseSequence });
}

/** A store with a shard, a node, and a topic. */
export class CommitFixture {
  readonly store: MetadataStore;
  readonly lease: LeaseGrant;
  readonly node: NodeGrant;
  readonly topic: TopicRecord;

  constructor(parts: {
    store: MetadataStore;
    lease: LeaseGrant;
    node: NodeGrant;
    topic: TopicRecord;
  }) {
    this.store = parts.store;
    this.lease = parts.lease;
    this.node = parts.node;
    this.topic = parts.topic;
  }

  static async create(store: MetadataStore, partitionCount = 2): Promise<CommitFixture> {
    const acquired = await store.acquireShard(0, randomUUID(), 60_000);
    if (acquired.kind !== 'acquired') throw new Error('the shard is taken');
    const { lease } = acquired;
    const node = await store.registerNode(registration(['ingest']));
    const topic = await store.createTopic(lease, {
      name: 'events',
      partitionCount,
      configs: new Map(),
    });
    return new CommitFixture({ store, lease, node, topic });
  }

  partitionId(index = 0): number {
    return this.topic.partitions[index]!.partitionId;
  }

  /** A segment of this node, born now, with one extent per entry. */
  segment(
    extents: readonly (readonly [partitionId: number, ...batches: BatchCommit[]])[],
    fields: Partial<SegmentCommit> = {},
  ): SegmentCommit {
    const commits: ExtentCommit[] = extents.map(([partitionId, ...batches], index) => ({
      partitionId,
      position: index * 1000,
      length: 1000,
      batches,
    }));
    return {
      segmentId: randomUUID(),
      nodeId: this.node.nodeId,
      incarnation: this.node.incarnation,
      birthMs: this.node.databaseTimeMs,
      sizeBytes: commits.length * 1000 + 100,
      extents: commits,
      ...fields,
    };
  }

  async commit(...segments: SegmentCommit[]): Promise<readonly SegmentAnswer[]> {
    return (await this.store.commitSegments(this.lease, segments)).answers;
  }

  /** Commits one segment with one extent; per batch `offset`, or `-error code`. */
  async append(partitionId: number, ...batches: BatchCommit[]): Promise<number[]> {
    const [answer] = await this.commit(this.segment([[partitionId, ...batches]]));
    return flat(answer)[0]!;
  }

  async highWatermark(index = 0): Promise<number> {
    const topic = await this.store.loadTopic(this.topic.topicId);
    return topic!.partitions[index]!.highWatermark;
  }
}

/** Per extent and batch: the base offset, or the negated error code. */
export function flat(answer: SegmentAnswer | undefined): number[][] {
  if (answer?.kind !== 'committed') throw new Error(`not committed: ${answer?.kind}`);
  return answer.extents.map((batches) =>
    batches.map(({ errorCode, baseOffset }) => (errorCode === 0 ? baseOffset : -errorCode)),
  );
}

export function registration(
  roles: readonly NodeRole[],
  advertised: { host: string; port: number } | null = null,
) {
  return {
    instanceId: randomUUID(),
    roles,
    zone: 'a',
    internalUrl: 'ws://127.0.0.1:1',
    advertised,
  };
}
