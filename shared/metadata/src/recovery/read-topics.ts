import type { IndexPartition, IndexTopic } from '@kafscale/codec';
import { limits } from '@kafscale/core';

import { numberArray, textArray } from '../arrays.js';
import type { Sql } from '../database.js';
import { pagesOf } from './pages.js';

interface TopicRow {
  readonly topic_id: string;
  readonly name: string;
  readonly created_at_ms: number;
  readonly configs: object;
}

interface PartitionRow {
  readonly partition_id: number;
  readonly topic_id: string;
  readonly partition_index: number;
  readonly leader_epoch: number;
  readonly log_start_offset: number;
  readonly next_offset: number;
  readonly max_timestamp_ms: number;
  readonly producer_state_floor: number;
  readonly epochs: readonly (readonly [leaderEpoch: number, startOffset: number])[] | null;
}

const rowsMax = limits.indexPageRowsMax;

export async function* topicsOf(
  sql: Sql,
  shardId: number,
  topicIds: readonly string[] | null,
): AsyncGenerator<readonly IndexTopic[], void> {
  if (topicIds !== null) {
    for (const ids of pagesOf(topicIds)) {
      const rows = await sql<TopicRow[]>`
        SELECT ${topicColumns(sql)} FROM topics
        WHERE topic_id = ANY(${textArray(ids)}::uuid[]) AND shard_id = ${shardId}
          AND deleted_at IS NULL ORDER BY topic_id`;
      yield rows.map(topicOf);
    }
    return;
  }
  let after = '00000000-0000-0000-0000-000000000000';
  for (;;) {
    const rows = await sql<TopicRow[]>`
      SELECT ${topicColumns(sql)} FROM topics
      WHERE shard_id = ${shardId} AND deleted_at IS NULL AND topic_id > ${after}
      ORDER BY topic_id LIMIT ${rowsMax}::int`;
    const last = rows[rows.length - 1];
    if (last === undefined) return;
    after = last.topic_id;
    yield rows.map(topicOf);
  }
}

export async function* partitionsOf(
  sql: Sql,
  shardId: number,
  partitionIds: readonly number[] | null,
): AsyncGenerator<readonly IndexPartition[], void> {
  if (partitionIds !== null) {
    for (const ids of pagesOf(partitionIds)) {
      const rows = await sql<PartitionRow[]>`
        SELECT ${partitionColumns(sql)} FROM partitions p
        WHERE p.partition_id = ANY(${numberArray(ids)}::int[]) AND p.shard_id = ${shardId}
          AND p.deleted_at IS NULL ORDER BY p.partition_id`;
      yield rows.map(partitionOf);
    }
    return;
  }
  let after = -1;
  for (;;) {
    const rows = await sql<PartitionRow[]>`
      SELECT ${partitionColumns(sql)} FROM partitions p
      WHERE p.shard_id = ${shardId} AND p.deleted_at IS NULL AND p.partition_id > ${after}
      ORDER BY p.partition_id LIMIT ${rowsMax}::int`;
    const last = rows[rows.length - 1];
    if (last === undefined) return;
    after = last.partition_id;
    yield rows.map(partitionOf);
  }
}

function topicColumns(sql: Sql) {
  return sql`topic_id, name, configs,
    floor(extract(epoch FROM created_at) * 1000)::bigint AS created_at_ms`;
}

function partitionColumns(sql: Sql) {
  return sql`p.partition_id, p.topic_id, p.partition_index, p.leader_epoch, p.log_start_offset,
    p.next_offset, p.max_timestamp_ms, p.producer_state_floor,
    (SELECT json_agg(json_build_array(e.leader_epoch, e.start_offset) ORDER BY e.leader_epoch)
     FROM leader_epochs e WHERE e.partition_id = p.partition_id) AS epochs`;
}

function topicOf(row: TopicRow): IndexTopic {
  const configs = Object.entries(row.configs as Record<string, string>);
  return {
    topicId: row.topic_id,
    name: row.name,
    createdAtMs: row.created_at_ms,
    configs: configs.map(([name, value]) => ({ name, value })),
  };
}

function partitionOf(row: PartitionRow): IndexPartition {
  return {
    partitionId: row.partition_id,
    topicId: row.topic_id,
    partitionIndex: row.partition_index,
    leaderEpoch: row.leader_epoch,
    logStartOffset: row.log_start_offset,
    nextOffset: row.next_offset,
    maxTimestampMs: row.max_timestamp_ms,
    producerStateFloor: row.producer_state_floor,
    leaderEpochs: (row.epochs ?? []).map(([leaderEpoch, startOffset]) => ({
      leaderEpoch,
      startOffset,
    })),
  };
}
