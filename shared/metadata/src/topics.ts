import { randomUUID } from 'node:crypto';

import type { LeaderEpochStart, PartitionHead } from '@kafscale/cluster';
import { invariant, limits, OperatingError } from '@kafscale/core';

import type { Database, Sql } from './database.js';
import { isUniqueViolation } from './errors.js';
import { fenceShard, requireLease } from './shards.js';
import type { Lease, NewTopic, TopicRecord } from './store-types.js';

interface TopicRow {
  readonly topic_id: string;
  readonly name: string;
  readonly shard_id: number;
  readonly configs: object;
  readonly created_at_ms: number;
}

interface PartitionRow {
  readonly topic_id: string;
  readonly partition_id: number;
  readonly partition_index: number;
  readonly leader_epoch: number;
  readonly log_start_offset: number;
  readonly next_offset: number;
}

export async function createTopic(
  database: Database,
  lease: Lease,
  topic: NewTopic,
): Promise<TopicRecord> {
  const { name, partitionCount } = topic;
  invariant(partitionCount >= 1, 'a topic has a partition');
  invariant(partitionCount <= limits.topicPartitionsMax, 'the partitions of a topic are bounded');
  const topicId = randomUUID();
  return database.transaction(
    async ({ sql }) => {
      const [fence, taken] = await Promise.all([fenceShard(sql, lease), selectTaken(sql, name)]);
      requireLease(fence, lease);
      const [other] = taken;
      if (other !== undefined) throw nameTaken(name, other.name);
      const [rows, partitions] = await Promise.all([
        insertTopic(sql, { topicId, shardId: lease.shardId, topic }),
        insertPartitions(sql, { topicId, shardId: lease.shardId, name, partitionCount }),
      ]);
      const [record] = topicRecords(rows, partitions);
      invariant(record !== undefined, 'the inserted topic is returned');
      return record;
    },
    // Somebody else created it between the look and the insert; the next look finds it.
    { retryOn: (error) => isUniqueViolation(error, 'topics_live_name') },
  );
}

export async function deleteTopic(
  database: Database,
  lease: Lease,
  topicId: string,
): Promise<boolean> {
  return database.transaction(async ({ sql }) => {
    const [fence, topics] = await Promise.all([
      fenceShard(sql, lease),
      sql`
        UPDATE topics SET deleted_at = clock_timestamp()
        WHERE topic_id = ${topicId} AND shard_id = ${lease.shardId} AND deleted_at IS NULL
        RETURNING topic_id`,
      // In id order, like commits. A commit that has the lock goes first, and its records go with
      // the topic; one that waits for the lock finds the partition deleted.
      sql`
        SELECT partition_id FROM partitions
        WHERE topic_id = ${topicId} AND shard_id = ${lease.shardId}
        ORDER BY partition_id FOR UPDATE`,
      sql`
        UPDATE partitions SET deleted_at = clock_timestamp()
        WHERE topic_id = ${topicId} AND shard_id = ${lease.shardId} AND deleted_at IS NULL`,
    ]);
    requireLease(fence, lease);
    return topics.length > 0;
  });
}

interface LeaderEpochRow {
  readonly partition_id: number;
  readonly leader_epoch: number;
  readonly start_offset: number;
}

export async function alterTopicConfigs(
  database: Database,
  lease: Lease,
  request: { topicId: string; configs: ReadonlyMap<string, string> },
): Promise<boolean> {
  const { configs, topicId } = request;
  return database.transaction(async ({ sql }) => {
    const [fence, topics] = await Promise.all([
      fenceShard(sql, lease),
      sql`
        UPDATE topics SET configs = ${configsText(configs)}::text::jsonb
        WHERE topic_id = ${topicId} AND shard_id = ${lease.shardId} AND deleted_at IS NULL
        RETURNING topic_id`,
    ]);
    requireLease(fence, lease);
    return topics.length > 0;
  });
}

export async function loadTopics(
  database: Database,
  shardId: number,
): Promise<readonly TopicRecord[]> {
  // One statement sees one state: a topic is never without its partitions.
  return database.transaction(async ({ sql }) => {
    await sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`;
    const [topics, partitions, epochs] = await Promise.all([
      sql<TopicRow[]>`
        SELECT ${topicColumns(sql)} FROM topics
        WHERE shard_id = ${shardId} AND deleted_at IS NULL ORDER BY name`,
      sql<PartitionRow[]>`
        SELECT ${partitionColumns(sql)} FROM partitions
        WHERE shard_id = ${shardId} AND deleted_at IS NULL ORDER BY topic_id, partition_index`,
      sql<LeaderEpochRow[]>`
        SELECT partition_id, leader_epoch, start_offset FROM leader_epochs
        ORDER BY partition_id, leader_epoch`,
    ]);
    return topicRecords(topics, partitions, epochs);
  });
}

export async function loadTopic(database: Database, topicId: string): Promise<TopicRecord | null> {
  return database.transaction(async ({ sql }) => {
    await sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`;
    const [topics, partitions, epochs] = await Promise.all([
      sql<TopicRow[]>`
        SELECT ${topicColumns(sql)} FROM topics
        WHERE topic_id = ${topicId} AND deleted_at IS NULL`,
      sql<PartitionRow[]>`
        SELECT ${partitionColumns(sql)} FROM partitions
        WHERE topic_id = ${topicId} AND deleted_at IS NULL ORDER BY partition_index`,
      sql<LeaderEpochRow[]>`
        SELECT partition_id, leader_epoch, start_offset FROM leader_epochs
        WHERE partition_id IN (SELECT partition_id FROM partitions WHERE topic_id = ${topicId})
        ORDER BY partition_id, leader_epoch`,
    ]);
    return topicRecords(topics, partitions, epochs)[0] ?? null;
  });
}

function selectTaken(sql: Sql, name: string) {
  return sql<{ name: string }[]>`
    SELECT name FROM topics
    WHERE collision_name = replace(${name}, '.', '_') AND deleted_at IS NULL`;
}

/** Kafka: TOPIC_ALREADY_EXISTS, or INVALID_TOPIC_EXCEPTION for `a.b` beside `a_b` (Topic.hasCollision). */
function nameTaken(name: string, other: string): OperatingError {
  if (name === other) {
    return new OperatingError('TOPIC_ALREADY_EXISTS', `topic '${name}' already exists`);
  }
  return new OperatingError(
    'TOPIC_NAME_COLLISION',
    `topic '${name}' collides with existing topic '${other}'`,
  );
}

function insertTopic(
  sql: Sql,
  { topicId, shardId, topic }: { topicId: string; shardId: number; topic: NewTopic },
) {
  const configs = configsText(topic.configs);
  return sql<TopicRow[]>`
    INSERT INTO topics (topic_id, name, shard_id, partition_count, configs, created_at)
    VALUES (${topicId}, ${topic.name}, ${shardId}, ${topic.partitionCount},
            ${configs}::text::jsonb, clock_timestamp())
    RETURNING ${topicColumns(sql)}`;
}

/**
 * The producer_state_floor. A producer numbers its batches per topic name and partition. Where no
 * topic of this name ever was, nobody can be beyond 0. Where one was, every producer id that has been
 * issued may go on from where it was in the predecessor. What a recovery did not know of may have
 * had any name, so every id from before it may be beyond 0 anywhere.
 */
function insertPartitions(
  sql: Sql,
  topic: { topicId: string; shardId: number; name: string; partitionCount: number },
) {
  return sql<PartitionRow[]>`
    INSERT INTO partitions (topic_id, partition_index, shard_id, leader_epoch, producer_state_floor)
    SELECT ${topic.topicId}::uuid, partition_index, ${topic.shardId}::int, 0,
      CASE WHEN EXISTS (SELECT FROM topics
                        WHERE name = ${topic.name} AND deleted_at IS NOT NULL)
           THEN (SELECT next_producer_id - 1 FROM producer_ids)
           ELSE (SELECT producer_state_floor FROM cluster) END
    FROM generate_series(0, ${topic.partitionCount - 1}::int) AS partition_index
    ORDER BY partition_index
    RETURNING ${partitionColumns(sql)}`;
}

function configsText(configs: ReadonlyMap<string, string>): string {
  return JSON.stringify(Object.fromEntries(configs));
}

function topicColumns(sql: Sql) {
  return sql`topic_id, name, shard_id, configs,
    (extract(epoch FROM created_at) * 1000)::float8 AS created_at_ms`;
}

function partitionColumns(sql: Sql) {
  return sql`topic_id, partition_id, partition_index, leader_epoch, log_start_offset, next_offset`;
}

function topicRecords(
  topics: readonly TopicRow[],
  partitions: readonly PartitionRow[],
  epochs: readonly LeaderEpochRow[] = [],
): TopicRecord[] {
  const starts = new Map<number, LeaderEpochStart[]>();
  for (const row of epochs) {
    const known = starts.get(row.partition_id) ?? [];
    known.push({ leaderEpoch: row.leader_epoch, startOffset: row.start_offset });
    starts.set(row.partition_id, known);
  }
  const heads = new Map<string, PartitionHead[]>(topics.map((topic) => [topic.topic_id, []]));
  for (const row of partitions) {
    heads.get(row.topic_id)?.push(headOf(row, starts.get(row.partition_id)));
  }
  return topics.map((topic) => {
    const own = heads.get(topic.topic_id) ?? [];
    own.sort((left, right) => left.partitionIndex - right.partitionIndex);
    own.forEach((head, index) => invariant(head.partitionIndex === index, 'indexes are dense'));
    return {
      topicId: topic.topic_id,
      name: topic.name,
      shardId: topic.shard_id,
      configs: new Map(Object.entries(topic.configs as Record<string, string>)),
      createdAtMs: topic.created_at_ms,
      partitions: own,
    };
  });
}

function headOf(
  row: PartitionRow,
  leaderEpochs: readonly LeaderEpochStart[] | undefined,
): PartitionHead {
  return {
    ...(leaderEpochs !== undefined && { leaderEpochs }),
    partitionId: row.partition_id,
    partitionIndex: row.partition_index,
    leaderEpoch: row.leader_epoch,
    logStartOffset: row.log_start_offset,
    highWatermark: row.next_offset,
  };
}
