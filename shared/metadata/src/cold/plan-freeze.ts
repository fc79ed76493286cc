import type { ColdExtent } from '@kafscale/codec';
import { limits } from '@kafscale/core';

import { parseNumberArray } from '../arrays.js';
import type { Database, Sql } from '../database.js';
import type { FreezePlan } from './types.js';

/** The bounds of freezing; tests set others. */
export interface FreezeBounds {
  /** Rows of a partition that stay. */
  readonly extentsMin: number;
  /** Rows that leave together. */
  readonly rangeExtents: number;
  readonly ageMs: number;
  readonly unmergedAgeMs: number;
}

interface FreezeRow {
  readonly base_offset: number;
  readonly next_offset: number;
  readonly position: number;
  readonly length: number;
  readonly first_timestamp_ms: number;
  readonly max_timestamp_ms: number;
  readonly prefix_max_timestamp_ms: number;
  readonly absolute_offsets: boolean;
  readonly skipped_batches: string | null;
  readonly segment_id: string;
  readonly node_id: number;
  readonly incarnation: number;
  readonly birth_ms: number;
  readonly committed_at_ms: number;
  readonly size_bytes: number;
  readonly is_compacted: boolean;
  readonly is_shared: boolean;
  readonly may_leave: boolean;
  readonly cluster_id: string;
  readonly topic_id: string;
  readonly partition_index: number;
}

/** Partitions with more index rows than stay and leave together; those with the most first. */
export async function findCrowdedPartitions(
  database: Database,
  request: { shardId: number; bounds: FreezeBounds; partitionsMax: number },
): Promise<readonly number[]> {
  const { bounds, partitionsMax, shardId } = request;
  const rows = await database.read(
    (sql) => sql<{ partition_id: number }[]>`
      SELECT e.partition_id FROM extents e JOIN partitions p ON p.partition_id = e.partition_id
      WHERE p.shard_id = ${shardId} AND p.deleted_at IS NULL
      GROUP BY e.partition_id
      HAVING count(*) >= ${bounds.extentsMin + bounds.rangeExtents}::bigint
      ORDER BY count(*) DESC, e.partition_id LIMIT ${partitionsMax}::int`,
  );
  return rows.map((row) => row.partition_id);
}

/**
 * The oldest rows that are not cold yet, if they can all leave; null: not now. Takes no locks: the
 * transaction that carries the plan out holds it against what is there by then.
 *
 * A segment that leaves with its only extent must have been born before the watermark of the orphan
 * sweep. Small extents and fresh segments are compaction's, for a while.
 */
export async function planFreeze(
  database: Database,
  request: { shardId: number; partitionId: number; bounds: FreezeBounds },
): Promise<FreezePlan | null> {
  const { bounds, partitionId } = request;
  const rows = await database.read((sql) => selectRows(sql, request));
  // One more than leaves, so that as many stay.
  const [first] = rows;
  if (first === undefined || rows.length < bounds.extentsMin + bounds.rangeExtents) return null;
  const leaving = takeLeaving(rows, bounds.rangeExtents);
  if (leaving.length === 0) return null;
  return {
    clusterId: first.cluster_id,
    topicId: first.topic_id,
    partitionIndex: first.partition_index,
    partitionId,
    extents: leaving.map(extentOf),
  };
}

/** All that is wanted, or what there is before a hole of the log; else none. */
function takeLeaving(rows: readonly FreezeRow[], count: number): readonly FreezeRow[] {
  let expected = rows[0]?.base_offset;
  let skipped = 0;
  for (const [index, row] of rows.entries()) {
    if (index === count || row.base_offset !== expected) return rows.slice(0, index);
    skipped += parseNumberArray(row.skipped_batches).length;
    if (!row.may_leave || skipped > limits.coldSkippedBatchesMax) return [];
    expected = row.next_offset;
  }
  return [];
}

function selectRows(
  sql: Sql,
  request: { shardId: number; partitionId: number; bounds: FreezeBounds },
): Promise<FreezeRow[]> {
  const { bounds, partitionId, shardId } = request;
  const rowsMax = bounds.extentsMin + bounds.rangeExtents;
  return sql<FreezeRow[]>`
    SELECT e.base_offset, e.next_offset, e.position, e.length, e.first_timestamp_ms,
      e.max_timestamp_ms, e.prefix_max_timestamp_ms, e.absolute_offsets,
      e.skipped_batches::text AS skipped_batches, e.segment_id, s.node_id, s.incarnation,
      s.birth_ms, s.size_bytes, s.is_compacted, s.live_extents > 1 AS is_shared,
      floor(extract(epoch FROM s.committed_at) * 1000)::bigint AS committed_at_ms,
      s.committed_at < clock_timestamp() - ${bounds.ageMs}::float8 * interval '1 millisecond'
      AND s.birth_ms < extract(epoch FROM clock_timestamp()) * 1000 - ${bounds.ageMs}::float8
      AND (s.live_extents > 1 OR s.birth_ms < o.watermark_ms)
      AND (s.is_compacted OR s.size_bytes >= s.live_extents * 4194304::bigint
           OR s.committed_at
             < clock_timestamp() - ${bounds.unmergedAgeMs}::float8 * interval '1 millisecond')
        AS may_leave,
      c.cluster_id, p.topic_id, p.partition_index
    FROM partitions p
    CROSS JOIN cluster c CROSS JOIN orphan_sweep o
    JOIN extents e ON e.partition_id = p.partition_id
    JOIN segments s ON s.segment_id = e.segment_id
    WHERE p.partition_id = ${partitionId} AND p.shard_id = ${shardId} AND p.deleted_at IS NULL
      AND e.next_offset > p.log_start_offset
      AND e.base_offset >= coalesce((
        SELECT max(r.next_offset) FROM cold_ranges r
        WHERE r.partition_id = p.partition_id AND r.state = 'live'), 0)
    ORDER BY e.base_offset LIMIT ${rowsMax}::int`;
}

function extentOf(row: FreezeRow): ColdExtent {
  return {
    baseOffset: row.base_offset,
    nextOffset: row.next_offset,
    position: row.position,
    length: row.length,
    firstTimestampMs: row.first_timestamp_ms,
    maxTimestampMs: row.max_timestamp_ms,
    prefixMaxTimestampMs: row.prefix_max_timestamp_ms,
    absoluteOffsets: row.absolute_offsets,
    skippedBatches: parseNumberArray(row.skipped_batches),
    segmentId: row.segment_id,
    nodeId: row.node_id,
    incarnation: row.incarnation,
    birthMs: row.birth_ms,
    committedAtMs: row.committed_at_ms,
    segmentBytes: row.size_bytes,
    isCompacted: row.is_compacted,
    isShared: row.is_shared,
  };
}
