import type {
  ClusterView,
  Extent,
  NodeGrant,
  NodeRegistration,
  SegmentCommit,
} from '@kafscale/cluster';
import { limits, systemClock } from '@kafscale/core';
import type { Clock } from '@kafscale/core';

import { ensureCluster } from './cluster-row.js';
import { commitSegments } from './commit/commit-segments.js';
import { Database } from './database.js';
import { findExtentByTimestamp, findExtentOfMaxTimestamp, findExtents } from './lookups.js';
import { migrate } from './migrate.js';
import { migrations } from './migrations/index.js';
import { NodeRegistry } from './nodes.js';
import { allocateProducerIds } from './producer-ids.js';
import { acquireShard, releaseShard, renewShard } from './shards.js';
import type {
  AcquireResult,
  CommitResult,
  Lease,
  LeaseGrant,
  NewTopic,
  TopicRecord,
} from './store-types.js';
import { purgeDeletedPartitions } from './topic-purge.js';
import type { PurgeResult } from './topic-purge.js';
import { alterTopicConfigs, createTopic, deleteTopic, loadTopic, loadTopics } from './topics.js';

export interface MetadataStoreOptions {
  /** `postgres://user:password@host:port/database`, or with `?host=` of a socket directory. */
  readonly url: string;
  readonly applicationName?: string;
  readonly shardCount?: number;
  readonly sessionsMax?: number;
  readonly commitAgeMsMax?: number;
  readonly nodeDeadAfterMs?: number;
  readonly clock?: Clock;
}

/** Connects, brings the schema up to date, and makes the rows that a cluster has once. */
export async function openMetadataStore(options: MetadataStoreOptions): Promise<MetadataStore> {
  const database = new Database({
    url: options.url,
    applicationName: options.applicationName ?? 'kafscale',
    statementTimeoutMs: limits.metadataStatementTimeoutMs,
    lockTimeoutMs: limits.metadataLockTimeoutMs,
    idleInTransactionTimeoutMs: limits.metadataIdleInTransactionTimeoutMs,
    connectTimeoutMs: limits.metadataConnectTimeoutMs,
    sessionsMax: options.sessionsMax ?? limits.metadataSessionsMax,
    waitersMax: limits.metadataWaitersMax,
    holdMsMax: limits.commitTimeoutMs,
  });
  try {
    await migrate(database, migrations);
    await ensureCluster(database, options.shardCount ?? 1);
  } catch (error) {
    await database.close();
    throw error;
  }
  return new MetadataStore(database, options);
}

/**
 * Everything that is durable and not a payload. Methods reject with OperatingError only; METADATA_*
 * codes are about the database, and the outcome is `unknown` when a COMMIT may have been done.
 */
export class MetadataStore {
  /** For the other stores of this package. */
  readonly database: Database;
  /** A segment that is older, by database time, is not committed any more. */
  readonly commitAgeMsMax: number;
  readonly #clock: Clock;
  readonly #nodes: NodeRegistry;

  constructor(database: Database, options: MetadataStoreOptions) {
    this.database = database;
    this.#clock = options.clock ?? systemClock;
    this.commitAgeMsMax = options.commitAgeMsMax ?? limits.commitAgeMsMax;
    this.#nodes = new NodeRegistry({
      database,
      clock: this.#clock,
      nodeDeadAfterMs: options.nodeDeadAfterMs ?? limits.nodeDeadAfterMs,
    });
  }

  /**
   * Commits segments in order, in one transaction (design §4.4). One call at a time per shard: the
   * returned extents of two concurrent calls may be told apart only by their offsets.
   *
   * Errors: SHARD_LEASE_LOST (nothing was written); outcome `unknown`: repeat the same call.
   */
  commitSegments(lease: Lease, segments: readonly SegmentCommit[]): Promise<CommitResult> {
    return commitSegments(this.database, {
      lease,
      segments,
      commitAgeMsMax: this.commitAgeMsMax,
    });
  }

  /** Takes a shard that is free, expired, or this instance's own; raises its epoch. */
  acquireShard(shardId: number, instanceId: string, durationMs: number): Promise<AcquireResult> {
    return acquireShard(this.database, this.#clock, { shardId, instanceId, durationMs });
  }

  /** Errors: SHARD_LEASE_LOST. */
  renewShard(lease: Lease, durationMs: number): Promise<LeaseGrant> {
    return renewShard(this.database, this.#clock, { lease, durationMs });
  }

  /** Lets another instance take the shard at once. Does nothing when the lease is lost already. */
  releaseShard(lease: Lease): Promise<void> {
    return releaseShard(this.database, lease);
  }

  /** Adds a node, with a fresh node id. */
  registerNode(registration: NodeRegistration): Promise<NodeGrant> {
    return this.#nodes.register(registration);
  }

  /** Errors: NODE_FENCED (declared dead, or left). Declares nodes dead that have been silent. */
  heartbeatNode(nodeId: number, instanceId: string): Promise<ClusterView> {
    return this.#nodes.heartbeat(nodeId, instanceId);
  }

  deregisterNode(nodeId: number, instanceId: string): Promise<void> {
    return this.#nodes.deregister(nodeId, instanceId);
  }

  /** From now on the node may not commit. False: it was not live. */
  declareNodeDead(nodeId: number): Promise<boolean> {
    return this.#nodes.declareDead(nodeId);
  }

  /** The live nodes, without a heartbeat. */
  clusterView(): Promise<ClusterView> {
    return this.#nodes.view();
  }

  /** Errors: TOPIC_ALREADY_EXISTS, TOPIC_NAME_COLLISION ("." and "_"), SHARD_LEASE_LOST. */
  createTopic(lease: Lease, topic: NewTopic): Promise<TopicRecord> {
    return createTopic(this.database, lease, topic);
  }

  /**
   * From now on nothing can be committed to the topic; false: there is no such topic. What it owned
   * goes with {@link purgeDeletedPartitions}.
   */
  deleteTopic(lease: Lease, topicId: string): Promise<boolean> {
    return deleteTopic(this.database, lease, topicId);
  }

  /** Replaces the configs that were set on a topic; false: there is no such topic. */
  alterTopicConfigs(
    lease: Lease,
    topicId: string,
    configs: ReadonlyMap<string, string>,
  ): Promise<boolean> {
    return alterTopicConfigs(this.database, lease, { topicId, configs });
  }

  /** Every live topic of a shard with its heads. Reads no history. */
  loadTopics(shardId: number): Promise<readonly TopicRecord[]> {
    return loadTopics(this.database, shardId);
  }

  loadTopic(topicId: string): Promise<TopicRecord | null> {
    return loadTopic(this.database, topicId);
  }

  /**
   * One bounded step of the removal of deleted topics: index rows, producers, the partitions
   * themselves. Repeat, with pauses, until it returns `done`.
   */
  purgeDeletedPartitions(lease: Lease, rowsMax: number): Promise<PurgeResult> {
    return purgeDeletedPartitions(this.database, lease, rowsMax);
  }

  /** The first of `count` ids that nobody was given before. */
  allocateProducerIds(count: number): Promise<number> {
    return allocateProducerIds(this.database, count);
  }

  /**
   * From the extent that contains `offset`, or the log start if that is greater, on. O(log n). Of rows
   * only, as the next two: what is in cold ranges is left out, and may leave a hole.
   */
  findExtents(partitionId: number, offset: number, countMax: number): Promise<readonly Extent[]> {
    return findExtents(this.database, { partitionId, offset, countMax });
  }

  /**
   * The first live extent, at or after the one with `fromOffset`, whose max timestamp is at least
   * `timestampMs`. The record itself may lie below the log start: then ask again from the extent's
   * next offset.
   */
  findExtentByTimestamp(
    partitionId: number,
    timestampMs: number,
    fromOffset = 0,
  ): Promise<Extent | null> {
    return findExtentByTimestamp(this.database, { partitionId, timestampMs, fromOffset });
  }

  /** The first live extent with the greatest max timestamp. */
  findExtentOfMaxTimestamp(partitionId: number): Promise<Extent | null> {
    return findExtentOfMaxTimestamp(this.database, partitionId);
  }

  /** Waits for calls in progress, then closes the connections. */
  close(): Promise<void> {
    return this.database.close();
  }
}
