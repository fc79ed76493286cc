import { invariant } from '@kafscale/core';
import { numberArray, textArray } from '../arrays.js';
import type { Sql } from '../database.js';
import type { Lease } from '../store-types.js';

export interface OffsetKey {
  readonly topicId: string;
  readonly partitionIndex: number;
}

export interface StoredOffset extends OffsetKey {
  /** As the client sent it: any int64. */
  readonly committedOffset: bigint;
  readonly leaderEpoch: number;
  readonly metadata: string;
}

/** What one OffsetCommit request writes. */
export interface OffsetCommitment {
  readonly groupId: string;
  readonly offsets: readonly StoredOffset[];
}

interface OffsetRow {
  readonly topic_id: string;
  readonly partition_index: number;
  readonly committed_offset: string;
  readonly leader_epoch: number;
  readonly metadata: Buffer;
}

export async function upsertOffsets(
  sql: Sql,
  request: { commitments: readonly OffsetCommitment[]; lease: Lease; sequence: number },
): Promise<void> {
  const { lease, sequence } = request;
  const rows = latestOf(request.commitments);
  if (rows.length === 0) return;
  await sql`
    INSERT INTO group_offsets AS o (shard_id, group_id, topic_id, partition_index,
      committed_offset, leader_epoch, metadata, committed_at, writer_epoch, writer_sequence)
    SELECT ${lease.shardId}::int, c.group_id, c.topic_id, c.partition_index, c.committed_offset,
      c.leader_epoch, c.metadata, clock_timestamp(), ${lease.epoch}::bigint, ${sequence}::bigint
    FROM unnest(
      ${textArray(rows.map(({ groupId }) => groupId))}::text[],
      ${textArray(rows.map(({ offset }) => offset.topicId))}::uuid[],
      ${numberArray(rows.map(({ offset }) => offset.partitionIndex))}::int[],
      ${textArray(rows.map(({ offset }) => String(offset.committedOffset)))}::bigint[],
      ${numberArray(rows.map(({ offset }) => offset.leaderEpoch))}::int[],
      ${textArray(rows.map(({ offset }) => byteaOf(offset.metadata)))}::bytea[]
    ) AS c (group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata)
    ORDER BY c.group_id, c.topic_id, c.partition_index
    ON CONFLICT (shard_id, group_id, topic_id, partition_index) DO UPDATE SET
      committed_offset = excluded.committed_offset,
      leader_epoch = excluded.leader_epoch,
      metadata = excluded.metadata,
      committed_at = excluded.committed_at,
      writer_epoch = excluded.writer_epoch,
      writer_sequence = excluded.writer_sequence
    WHERE (o.writer_epoch, o.writer_sequence) < (excluded.writer_epoch, excluded.writer_sequence)`;
}

export async function selectOffsets(
  sql: Sql,
  request: { shardId: number; groupId: string; keys: readonly OffsetKey[] },
): Promise<readonly StoredOffset[]> {
  const { shardId, groupId, keys } = request;
  if (keys.length === 0) return [];
  const rows = await sql<OffsetRow[]>`
    SELECT ${columns(sql)} FROM group_offsets o
    JOIN unnest(
      ${textArray(keys.map(({ topicId }) => topicId))}::uuid[],
      ${numberArray(keys.map(({ partitionIndex }) => partitionIndex))}::int[]
    ) AS k (topic_id, partition_index)
      ON o.topic_id = k.topic_id AND o.partition_index = k.partition_index
    WHERE o.shard_id = ${shardId} AND o.group_id = ${groupId}`;
  return rows.map(offsetOf);
}

export async function selectAllOffsets(
  sql: Sql,
  request: { shardId: number; groupId: string },
): Promise<readonly StoredOffset[]> {
  const rows = await sql<OffsetRow[]>`
    SELECT ${columns(sql)} FROM group_offsets o
    WHERE o.shard_id = ${request.shardId} AND o.group_id = ${request.groupId}
    ORDER BY o.topic_id, o.partition_index`;
  return rows.map(offsetOf);
}

export async function purgeOffsets(sql: Sql, shardId: number, rowsMax: number): Promise<number> {
  const rows = await sql<{ purged: number }[]>`
    WITH doomed AS (
      SELECT o.group_id, o.topic_id, o.partition_index
      FROM topics t JOIN group_offsets o ON o.topic_id = t.topic_id
      WHERE t.deleted_at IS NOT NULL AND o.shard_id = ${shardId} LIMIT ${rowsMax}::int
    ), purged AS (
      DELETE FROM group_offsets o USING doomed d
      WHERE o.shard_id = ${shardId} AND o.group_id = d.group_id
        AND o.topic_id = d.topic_id AND o.partition_index = d.partition_index
      RETURNING 1
    )
    SELECT count(*)::int AS purged FROM purged`;
  return rows[0]?.purged ?? 0;
}

/** committed_offset as text: it may be beyond 2^53. */
function columns(sql: Sql) {
  return sql`o.topic_id, o.partition_index, o.committed_offset::text AS committed_offset,
    o.leader_epoch, o.metadata`;
}

function offsetOf(row: OffsetRow): StoredOffset {
  return {
    topicId: row.topic_id,
    partitionIndex: row.partition_index,
    committedOffset: BigInt(row.committed_offset),
    leaderEpoch: row.leader_epoch,
    metadata: row.metadata.toString('utf8'),
  };
}

function byteaOf(metadata: string): string {
  return `\\x${Buffer.from(metadata, 'utf8').toString('hex')}`;
}

/** One statement may write a row once only. */
function latestOf(
  commitments: readonly OffsetCommitment[],
): { readonly groupId: string; readonly offset: StoredOffset }[] {
  const latest = new Map<string, { groupId: string; offset: StoredOffset }>();
  for (const { groupId, offsets } of commitments) {
    for (const offset of offsets) {
      invariant(offset.partitionIndex >= 0, 'a partition index is not negative');
      // Ids and numbers have no blanks, so the rest is the group id, whatever is in it.
      const key = `${offset.topicId} ${offset.partitionIndex} ${groupId}`;
      latest.set(key, { groupId, offset });
    }
  }
  return [...latest.values()];
}
