import { invariant, limits } from '@kafscale/core';

import type { Sql } from '../database.js';
import { clampOffsets } from './clamp-offsets.js';
import type { OffsetFinding } from './clamp-offsets.js';
import { cutMissing } from './cut-missing.js';
import type { RangeFinding } from './cut-missing.js';

import type { Findings } from './findings.js';

/** What the last entry of the log says of the cluster. */
export interface RestoredState {
  readonly clusterId: string;
  /** Of the log. */
  readonly incarnation: number;
  /** The greatest that ever was; the new one is greater by 1. */
  readonly incarnationMax: number;
  readonly shardId: number;
  readonly shardEpoch: number;
  readonly databaseTimeMs: number;
  readonly nextProducerId: number;
  /** Objects that were stored after this time, by the store's clock, may have come after the log. */
  readonly cameAfterMs: number;
}

export interface RestoredPartition {
  readonly topic: string;
  readonly partitionIndex: number;
  readonly leaderEpoch: number;
  readonly logStartOffset: number;
  /** Where the epochs before end, and the new one begins. */
  readonly nextOffset: number;
}

export interface UnknownSegment {
  readonly segmentId: string;
  readonly sizeBytes: number;
  readonly lastModifiedMs: number;
}

export interface RestoreReport {
  readonly incarnation: number;
  readonly producerIdsFrom: number;
  readonly topics: number;
  readonly partitions: number;
  readonly segments: number;
  readonly extents: number;
  readonly producers: number;
  readonly groups: number;
  readonly groupOffsets: number;
  readonly sizeBytes: number;
  /** Of every partition. */
  readonly heads: readonly RestoredPartition[];
  /** Ranges whose objects are gone or short, at the beginning of a log: it begins behind them now. */
  readonly lostBeginnings: Findings<RangeFinding>;
  /** Such ranges elsewhere: they stay in the index, and reading them fails. */
  readonly lostRanges: Findings<RangeFinding>;
  /** Ranges of offsets that no extent covers. */
  readonly gaps: Findings<RangeFinding>;
  /** Offsets of groups that were beyond the end of a log; they are at the end now. */
  readonly clampedOffsets: Findings<OffsetFinding>;
  /** Objects that no manifest names and that were stored lately. They are left alone. */
  readonly cameAfter: readonly UnknownSegment[];
  /** Older ones: what was garbage or an orphan when the last manifest was written. */
  readonly leftovers: { readonly segments: number; readonly bytes: number };
}

/**
 * Turns what was brought into a store that can be served from: checks every range against the
 * objects, and begins a new incarnation. Partition ids, node ids, shard epochs, group generations
 * and producer ids go on far beyond any that were given out after the last manifest.
 */
export async function finishRestore(sql: Sql, state: RestoredState): Promise<RestoreReport> {
  await sql.unsafe(dropDeleted);
  await sql.unsafe('ANALYZE restored_extents; ANALYZE restored_segments; ANALYZE present_segments');
  const cut = await cutMissing(sql);
  await sql.unsafe(fillIndex);
  const producerIdsFrom = state.nextProducerId + limits.recoveredProducerIdsGapMin;
  invariant(Number.isSafeInteger(producerIdsFrom), 'producer ids are safe integers');
  await beginIncarnation(sql, state, producerIdsFrom);
  const clampedOffsets = await clampOffsets(sql);
  const unknown = await findUnknown(sql, state);
  return {
    incarnation: state.incarnationMax + 1,
    producerIdsFrom,
    ...(await count(sql)),
    heads: await listHeads(sql),
    ...cut,
    clampedOffsets,
    ...unknown,
  };
}

/** Extents and producers of topics that were deleted later, and what retention removed. */
const dropDeleted = `
DELETE FROM restored_extents e WHERE NOT EXISTS (
  SELECT FROM partitions p WHERE p.partition_id = e.partition_id
    AND e.next_offset > p.log_start_offset AND e.base_offset < p.next_offset);
DELETE FROM producers r WHERE NOT EXISTS (
  SELECT FROM partitions p WHERE p.partition_id = r.partition_id);
DELETE FROM leader_epochs l WHERE NOT EXISTS (
  SELECT FROM partitions p WHERE p.partition_id = l.partition_id);
DELETE FROM group_offsets o WHERE NOT EXISTS (
  SELECT FROM topics t WHERE t.topic_id = o.topic_id)`;

/** A segment whose answer nobody can ask for any more has an empty one. */
const fillIndex = `
INSERT INTO segments (segment_id, shard_id, node_id, incarnation, birth_ms, committed_at,
  size_bytes, live_extents, answer, is_compacted)
SELECT s.segment_id, 0, s.node_id, s.incarnation, s.birth_ms, s.committed_at, s.size_bytes,
  coalesce(live.extents, 0), coalesce(s.answer, '[]'), s.is_compacted
FROM restored_segments s LEFT JOIN (
  SELECT segment_id, count(*)::int AS extents FROM restored_extents GROUP BY segment_id
) live ON live.segment_id = s.segment_id
WHERE live.extents > 0
  OR EXISTS (SELECT FROM present_segments o WHERE o.segment_id = s.segment_id)
ORDER BY s.segment_id;
INSERT INTO extents (partition_id, base_offset, next_offset, segment_id, position, length,
  skipped_batches, first_timestamp_ms, max_timestamp_ms, absolute_offsets,
  prefix_max_timestamp_ms)
SELECT partition_id, base_offset, next_offset, segment_id, position, length, skipped_batches,
  first_timestamp_ms, max_timestamp_ms, absolute_offsets,
  max(max_timestamp_ms) OVER (PARTITION BY partition_id ORDER BY base_offset)
FROM restored_extents ORDER BY partition_id, base_offset;
UPDATE partitions p SET size_bytes = sums.bytes FROM (
  SELECT partition_id, sum(length)::bigint AS bytes FROM extents GROUP BY partition_id
) sums WHERE p.partition_id = sums.partition_id;
UPDATE topics t SET partition_count = counts.partitions FROM (
  SELECT topic_id, count(*)::int AS partitions FROM partitions GROUP BY topic_id
) counts WHERE t.topic_id = counts.topic_id`;

async function beginIncarnation(
  sql: Sql,
  state: RestoredState,
  producerIdsFrom: number,
): Promise<void> {
  const gap = limits.recoveredIdsGapMin;
  const floor = producerIdsFrom - 1;
  // One per incarnation that there has been: none of them gave out this epoch.
  const epochs = state.incarnationMax + 1 - state.incarnation;
  await sql`
    INSERT INTO cluster (cluster_id, incarnation, producer_state_floor)
    VALUES (${state.clusterId}, ${state.incarnationMax + 1}, ${floor})`;
  await sql`INSERT INTO producer_ids (next_producer_id) VALUES (${producerIdsFrom})`;
  await sql`
    INSERT INTO shards (shard_id, epoch) VALUES (${state.shardId}, ${state.shardEpoch + gap})`;
  await sql`
    UPDATE topics SET shard_id = ${state.shardId} WHERE shard_id <> ${state.shardId}`;
  await sql`
    UPDATE partitions SET shard_id = ${state.shardId}, leader_epoch = leader_epoch + ${epochs}::int,
      producer_state_floor = greatest(producer_state_floor, ${floor}::bigint)`;
  await sql`
    INSERT INTO leader_epochs (partition_id, leader_epoch, start_offset)
    SELECT partition_id, leader_epoch, next_offset FROM partitions`;
  await sql`UPDATE cold_ranges SET shard_id = ${state.shardId}`;
  await sql`UPDATE segments SET shard_id = ${state.shardId} WHERE shard_id <> ${state.shardId}`;
  await sql`
    UPDATE consumer_groups SET shard_id = ${state.shardId}, generation_id = generation_id + ${gap}`;
  await sql`
    UPDATE group_offsets SET shard_id = ${state.shardId} WHERE shard_id <> ${state.shardId}`;
  await sql`
    SELECT setval(pg_get_serial_sequence('partitions', 'partition_id'),
      (SELECT coalesce(max(partition_id), 0) + ${gap} FROM partitions)),
    setval(pg_get_serial_sequence('nodes', 'node_id'),
      (SELECT coalesce(max(node_id), 0) + ${gap} FROM restored_segments))`;
}

async function findUnknown(
  sql: Sql,
  state: RestoredState,
): Promise<Pick<RestoreReport, 'cameAfter' | 'leftovers'>> {
  await sql`
    INSERT INTO unrecovered_segments (segment_id, size_bytes, incarnation)
    SELECT o.segment_id, o.size_bytes, ${state.incarnationMax + 1}::int FROM present_segments o
    WHERE o.last_modified_ms >= ${Math.floor(state.cameAfterMs)}::bigint
      AND NOT EXISTS (SELECT FROM segments s WHERE s.segment_id = o.segment_id)`;
  const after = await sql<{ segment_id: string; size_bytes: number; last_modified_ms: number }[]>`
    SELECT o.segment_id, o.size_bytes, o.last_modified_ms
    FROM unrecovered_segments u JOIN present_segments o ON o.segment_id = u.segment_id
    ORDER BY o.last_modified_ms, o.segment_id`;
  const [left] = await sql<{ segments: number; bytes: number }[]>`
    SELECT count(*)::int AS segments, coalesce(sum(o.size_bytes), 0)::bigint AS bytes
    FROM present_segments o
    WHERE NOT EXISTS (SELECT FROM segments s WHERE s.segment_id = o.segment_id)
      AND NOT EXISTS (SELECT FROM unrecovered_segments u WHERE u.segment_id = o.segment_id)`;
  return {
    cameAfter: after.map((row) => ({
      segmentId: row.segment_id,
      sizeBytes: row.size_bytes,
      lastModifiedMs: row.last_modified_ms,
    })),
    leftovers: left ?? { segments: 0, bytes: 0 },
  };
}

async function count(sql: Sql) {
  const [row] = await sql<
    {
      topics: number;
      partitions: number;
      segments: number;
      extents: number;
      producers: number;
      groups: number;
      group_offsets: number;
      size_bytes: number;
    }[]
  >`
    SELECT (SELECT count(*) FROM topics)::int AS topics,
      (SELECT count(*) FROM partitions)::int AS partitions,
      (SELECT count(*) FROM segments WHERE live_extents > 0)::int AS segments,
      (SELECT count(*) FROM extents)::int AS extents,
      (SELECT count(*) FROM producers)::int AS producers,
      (SELECT count(*) FROM consumer_groups)::int AS groups,
      (SELECT count(*) FROM group_offsets)::int AS group_offsets,
      (SELECT coalesce(sum(size_bytes), 0) FROM partitions)::bigint AS size_bytes`;
  invariant(row !== undefined, 'a count is one row');
  const { group_offsets: groupOffsets, size_bytes: sizeBytes, ...counts } = row;
  return { ...counts, groupOffsets, sizeBytes };
}

async function listHeads(sql: Sql): Promise<readonly RestoredPartition[]> {
  const rows = await sql<
    {
      name: string;
      partition_index: number;
      leader_epoch: number;
      log_start_offset: number;
      next_offset: number;
    }[]
  >`
    SELECT t.name, p.partition_index, p.leader_epoch, p.log_start_offset, p.next_offset
    FROM partitions p JOIN topics t ON t.topic_id = p.topic_id ORDER BY t.name, p.partition_index`;
  return rows.map((row) => ({
    topic: row.name,
    partitionIndex: row.partition_index,
    leaderEpoch: row.leader_epoch,
    logStartOffset: row.log_start_offset,
    nextOffset: row.next_offset,
  }));
}
