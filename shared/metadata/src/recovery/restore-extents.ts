import type { IndexExtent, IndexSegment } from '@kafscale/codec';

import { numberArray, textArray } from '../arrays.js';
import type { Sql } from '../database.js';
import { pagesOf } from './pages.js';
import { deleteOverlapped } from './delete-overlapped.js';

/** A segment object that the bucket lists. */
export interface PresentSegment {
  readonly segmentId: string;
  readonly sizeBytes: number;
  readonly lastModifiedMs: number;
}

export async function restoreSegments(sql: Sql, segments: readonly IndexSegment[]): Promise<void> {
  for (const page of pagesOf(segments)) {
    const answers = page.map(({ answer }) => answer && answer.toString('utf8'));
    await sql`
      INSERT INTO restored_segments (segment_id, node_id, incarnation, birth_ms, committed_at,
        size_bytes, is_compacted, answer)
      SELECT k.segment_id, k.node_id, k.incarnation, k.birth_ms,
        to_timestamp(k.committed_at_ms / 1000.0), k.size_bytes, k.is_compacted::boolean, k.answer
      FROM unnest(
        ${textArray(page.map((row) => row.segmentId))}::uuid[],
        ${numberArray(page.map((row) => row.nodeId))}::int[],
        ${numberArray(page.map((row) => row.incarnation))}::int[],
        ${numberArray(page.map((row) => row.birthMs))}::bigint[],
        ${numberArray(page.map((row) => row.committedAtMs))}::bigint[],
        ${numberArray(page.map((row) => row.sizeBytes))}::bigint[],
        ${numberArray(page.map((row) => Number(row.isCompacted)))}::int[],
        ${textArray(answers)}::text[]
      ) AS k (segment_id, node_id, incarnation, birth_ms, committed_at_ms, size_bytes,
              is_compacted, answer)
      ON CONFLICT (segment_id) DO UPDATE SET answer = coalesce(excluded.answer,
        restored_segments.answer)`;
  }
}

/**
 * An extent replaces everything that it overlaps, cold ranges too: compaction replaces whole rows, and nothing else
 * ever changes one. The row that begins at or before it is one step down the primary key.
 */
export async function restoreExtents(sql: Sql, extents: readonly IndexExtent[]): Promise<void> {
  for (const page of pagesOf(extents)) {
    const partitionIds = numberArray(page.map((row) => row.partitionId));
    const baseOffsets = numberArray(page.map((row) => row.baseOffset));
    const nextOffsets = numberArray(page.map((row) => row.nextOffset));
    await sql`
      DELETE FROM restored_extents WHERE (partition_id, base_offset) IN (
        SELECT e.partition_id, e.base_offset
        FROM unnest(${partitionIds}::int[], ${baseOffsets}::bigint[], ${nextOffsets}::bigint[])
          AS k (partition_id, base_offset, next_offset)
        CROSS JOIN LATERAL (
          SELECT r.partition_id, r.base_offset, r.next_offset FROM restored_extents r
          WHERE r.partition_id = k.partition_id AND r.base_offset < k.next_offset
            AND r.base_offset >= coalesce(
              (SELECT max(b.base_offset) FROM restored_extents b
               WHERE b.partition_id = k.partition_id AND b.base_offset <= k.base_offset),
              k.base_offset)
        ) e WHERE e.next_offset > k.base_offset)`;
    await deleteOverlapped(sql, 'restored_cold', { partitionIds, baseOffsets, nextOffsets });
    await insertExtents(sql, page, { partitionIds, baseOffsets, nextOffsets });
  }
}

async function insertExtents(
  sql: Sql,
  page: readonly IndexExtent[],
  keys: { partitionIds: string; baseOffsets: string; nextOffsets: string },
): Promise<void> {
  const skipped = page.map(({ skippedBatches }) =>
    skippedBatches.length === 0 ? null : numberArray(skippedBatches),
  );
  await sql`
    INSERT INTO restored_extents (partition_id, base_offset, next_offset, segment_id, position,
      length, skipped_batches, first_timestamp_ms, max_timestamp_ms, absolute_offsets)
    SELECT k.partition_id, k.base_offset, k.next_offset, k.segment_id, k.position, k.length,
      k.skipped_batches::int[], k.first_timestamp_ms, k.max_timestamp_ms,
      k.absolute_offsets::boolean
    FROM unnest(
      ${keys.partitionIds}::int[], ${keys.baseOffsets}::bigint[], ${keys.nextOffsets}::bigint[],
      ${textArray(page.map((row) => row.segmentId))}::uuid[],
      ${numberArray(page.map((row) => row.position))}::bigint[],
      ${numberArray(page.map((row) => row.length))}::bigint[],
      ${textArray(skipped)}::text[],
      ${numberArray(page.map((row) => row.firstTimestampMs))}::bigint[],
      ${numberArray(page.map((row) => row.maxTimestampMs))}::bigint[],
      ${numberArray(page.map((row) => Number(row.absoluteOffsets)))}::int[]
    ) AS k (partition_id, base_offset, next_offset, segment_id, position, length, skipped_batches,
            first_timestamp_ms, max_timestamp_ms, absolute_offsets)`;
}

export async function addPresentSegments(
  sql: Sql,
  segments: readonly PresentSegment[],
): Promise<void> {
  for (const page of pagesOf(segments)) {
    await sql`
      INSERT INTO present_segments (segment_id, size_bytes, last_modified_ms)
      SELECT * FROM unnest(
        ${textArray(page.map((row) => row.segmentId))}::uuid[],
        ${numberArray(page.map((row) => row.sizeBytes))}::bigint[],
        ${numberArray(page.map((row) => Math.floor(row.lastModifiedMs)))}::bigint[]
      ) ON CONFLICT DO NOTHING`;
  }
}
