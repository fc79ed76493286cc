import type { ColdExtent, IndexColdRange } from '@kafscale/codec';

import { numberArray, textArray } from '../arrays.js';
import { coldRangeRow } from '../cold/types.js';
import type { Sql } from '../database.js';
import { deleteOverlapped } from './delete-overlapped.js';
import { pagesOf } from './pages.js';
import { restoreExtents, restoreSegments } from './restore-extents.js';

/** A range replaces every extent, and every other range, that it overlaps. */
export async function restoreColdRanges(
  sql: Sql,
  ranges: readonly IndexColdRange[],
): Promise<void> {
  for (const page of pagesOf(ranges)) {
    const keys = {
      partitionIds: numberArray(page.map((range) => range.partitionId)),
      baseOffsets: numberArray(page.map((range) => range.baseOffset)),
      nextOffsets: numberArray(page.map((range) => range.nextOffset)),
    };
    await deleteOverlapped(sql, 'restored_extents', keys);
    await deleteOverlapped(sql, 'restored_cold', keys);
    await sql`
      INSERT INTO restored_cold (partition_id, base_offset, next_offset, object_id, extents)
      SELECT * FROM unnest(
        ${keys.partitionIds}::int[], ${keys.baseOffsets}::bigint[], ${keys.nextOffsets}::bigint[],
        ${textArray(page.map((range) => range.objectId))}::uuid[],
        ${numberArray(page.map((range) => range.extents))}::int[])`;
  }
}

/** What is left of them when all entries have been applied. */
export async function listRestoredCold(sql: Sql): Promise<readonly IndexColdRange[]> {
  const rows = await sql<
    {
      partition_id: number;
      base_offset: number;
      next_offset: number;
      object_id: string;
      extents: number;
    }[]
  >`
    SELECT c.partition_id, c.base_offset, c.next_offset, c.object_id, c.extents
    FROM restored_cold c JOIN partitions p ON p.partition_id = c.partition_id
    WHERE c.next_offset > p.log_start_offset AND c.base_offset < p.next_offset
    ORDER BY c.partition_id, c.base_offset`;
  return rows.map((row) => ({
    partitionId: row.partition_id,
    baseOffset: row.base_offset,
    nextOffset: row.next_offset,
    objectId: row.object_id,
    extents: row.extents,
  }));
}

/**
 * Everything becomes rows: the new incarnation's sweep has no watermark yet, and a row is what keeps it
 * away. The object of the range is garbage then.
 */
export async function restoreColdExtents(
  sql: Sql,
  range: IndexColdRange,
  extents: readonly ColdExtent[],
): Promise<void> {
  const { objectId, partitionId } = range;
  await restoreSegments(
    sql,
    [...new Map(extents.map((extent) => [extent.segmentId, extent])).values()].map((extent) => ({
      segmentId: extent.segmentId,
      nodeId: extent.nodeId,
      incarnation: extent.incarnation,
      birthMs: extent.birthMs,
      committedAtMs: extent.committedAtMs,
      sizeBytes: extent.segmentBytes,
      isCompacted: extent.isCompacted,
      answer: null,
    })),
  );
  await restoreExtents(
    sql,
    extents.map((extent) => ({
      partitionId,
      baseOffset: extent.baseOffset,
      nextOffset: extent.nextOffset,
      segmentId: extent.segmentId,
      position: extent.position,
      length: extent.length,
      firstTimestampMs: extent.firstTimestampMs,
      maxTimestampMs: extent.maxTimestampMs,
      absoluteOffsets: extent.absoluteOffsets,
      skippedBatches: extent.skippedBatches,
    })),
  );
  const row = coldRangeRow(objectId, partitionId, extents);
  if (row === null) return;
  await sql`
    INSERT INTO cold_ranges (object_id, shard_id, partition_id, base_offset, next_offset, extents,
      size_bytes, max_timestamp_ms, prefix_max_timestamp_ms, first_next_offset, first_length,
      first_timestamp_ms, state, changed_at)
    VALUES (${objectId}::uuid, 0, ${partitionId}::int, ${row.baseOffset}::bigint,
      ${row.nextOffset}::bigint, ${row.extents}::int, ${row.sizeBytes}::bigint,
      ${row.maxTimestampMs}::bigint, ${row.prefixMaxTimestampMs}::bigint,
      ${row.first.nextOffset}::bigint, ${row.first.length}::bigint,
      ${row.first.timestampMs}::bigint, 'retired', clock_timestamp())`;
}
