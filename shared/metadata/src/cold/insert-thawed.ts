import type { ColdExtent } from '@kafscale/codec';

import { numberArray, textArray } from '../arrays.js';
import type { Sql } from '../database.js';
import type { Lease } from '../store-types.js';
import { countShared } from './count-shared.js';

/** Extents are rows again, and segments that had left with them too. */
export async function insertThawed(
  sql: Sql,
  lease: Lease,
  partitionId: number,
  returning: readonly ColdExtent[],
): Promise<void> {
  await insertSegments(
    sql,
    lease,
    returning.filter(({ isShared }) => !isShared),
  );
  await countShared(sql, returning, -1);
  const skipped = returning.map(({ skippedBatches }) =>
    skippedBatches.length === 0 ? null : numberArray(skippedBatches),
  );
  await sql`
    INSERT INTO extents (partition_id, base_offset, next_offset, segment_id, position, length,
      skipped_batches, first_timestamp_ms, max_timestamp_ms, prefix_max_timestamp_ms,
      absolute_offsets)
    SELECT ${partitionId}::int, k.base_offset, k.next_offset, k.segment_id, k.position, k.length,
      k.skipped_batches::int[], k.first_timestamp_ms, k.max_timestamp_ms,
      k.prefix_max_timestamp_ms, k.absolute_offsets::boolean
    FROM unnest(
      ${numberArray(returning.map((row) => row.baseOffset))}::bigint[],
      ${numberArray(returning.map((row) => row.nextOffset))}::bigint[],
      ${textArray(returning.map((row) => row.segmentId))}::uuid[],
      ${numberArray(returning.map((row) => row.position))}::bigint[],
      ${numberArray(returning.map((row) => row.length))}::bigint[],
      ${textArray(skipped)}::text[],
      ${numberArray(returning.map((row) => row.firstTimestampMs))}::bigint[],
      ${numberArray(returning.map((row) => row.maxTimestampMs))}::bigint[],
      ${numberArray(returning.map((row) => row.prefixMaxTimestampMs))}::bigint[],
      ${numberArray(returning.map((row) => Number(row.absoluteOffsets)))}::int[]
    ) AS k (base_offset, next_offset, segment_id, position, length, skipped_batches,
            first_timestamp_ms, max_timestamp_ms, prefix_max_timestamp_ms, absolute_offsets)`;
}

/** Nobody asks for their answers any more: an empty one stands in. */
async function insertSegments(
  sql: Sql,
  lease: Lease,
  extents: readonly ColdExtent[],
): Promise<void> {
  if (extents.length === 0) return;
  await sql`
    INSERT INTO segments (segment_id, shard_id, node_id, incarnation, birth_ms, committed_at,
      size_bytes, live_extents, answer, is_compacted)
    SELECT k.segment_id, ${lease.shardId}::int, k.node_id, k.incarnation, k.birth_ms,
      to_timestamp(k.committed_at_ms / 1000.0), k.size_bytes, 1, '[]', k.is_compacted::boolean
    FROM unnest(
      ${textArray(extents.map((row) => row.segmentId))}::uuid[],
      ${numberArray(extents.map((row) => row.nodeId))}::int[],
      ${numberArray(extents.map((row) => row.incarnation))}::int[],
      ${numberArray(extents.map((row) => row.birthMs))}::bigint[],
      ${numberArray(extents.map((row) => row.committedAtMs))}::bigint[],
      ${numberArray(extents.map((row) => row.segmentBytes))}::bigint[],
      ${numberArray(extents.map((row) => Number(row.isCompacted)))}::int[]
    ) AS k (segment_id, node_id, incarnation, birth_ms, committed_at_ms, size_bytes, is_compacted)`;
}
