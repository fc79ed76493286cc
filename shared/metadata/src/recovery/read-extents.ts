import type { IndexExtent } from '@kafscale/codec';
import { limits } from '@kafscale/core';

import { numberArray, parseNumberArray, textArray } from '../arrays.js';
import type { Sql } from '../database.js';
import { pagesOf } from './pages.js';

/** Offsets of a partition; `to` is exclusive, null: to the end. */
export interface OffsetRange {
  readonly partitionId: number;
  readonly from: number;
  readonly to: number | null;
}

interface ExtentRow {
  readonly partition_id: number;
  readonly base_offset: number;
  readonly next_offset: number;
  readonly segment_id: string;
  readonly position: number;
  readonly length: number;
  readonly skipped_batches: string | null;
  readonly first_timestamp_ms: number;
  readonly max_timestamp_ms: number;
  readonly absolute_offsets: boolean;
}

const rowsMax = limits.indexPageRowsMax;
/** A segment may have 20,000 extents. */
const segmentsPerPage = 8;
const rangesPerPage = 200;

/** In the order of partitions and offsets. */
export async function* liveExtents(
  sql: Sql,
  shardId: number,
): AsyncGenerator<readonly IndexExtent[], void> {
  let after: Pick<ExtentRow, 'partition_id' | 'base_offset'> = {
    partition_id: -1,
    base_offset: -1,
  };
  for (;;) {
    const rows = await sql<ExtentRow[]>`
      SELECT ${columns(sql)} FROM extents e JOIN partitions p ON p.partition_id = e.partition_id
      WHERE p.shard_id = ${shardId} AND p.deleted_at IS NULL
        AND (e.partition_id, e.base_offset) > (${after.partition_id}::int, ${after.base_offset}::bigint)
      ORDER BY e.partition_id, e.base_offset LIMIT ${rowsMax}::int`;
    const last = rows[rows.length - 1];
    if (last === undefined) return;
    after = last;
    yield rows.map(extentOf);
  }
}

/** The ranges of one call do not overlap. */
export async function* extentsOfRanges(
  sql: Sql,
  ranges: readonly OffsetRange[],
): AsyncGenerator<readonly IndexExtent[], void> {
  for (const page of pagesOf(ranges, rangesPerPage)) {
    let rest = page;
    while (rest.length > 0) {
      const rows = await selectRanges(sql, rest);
      if (rows.length > 0) yield rows.map(extentOf);
      const last = rows[rows.length - 1];
      rest = rows.length < rowsMax || last === undefined ? [] : rangesBehind(rest, last);
    }
  }
}

function selectRanges(sql: Sql, ranges: readonly OffsetRange[]) {
  return sql<ExtentRow[]>`
    SELECT ${columns(sql)} FROM unnest(
      ${numberArray(ranges.map((range) => range.partitionId))}::int[],
      ${numberArray(ranges.map((range) => range.from))}::bigint[],
      ${numberArray(ranges.map((range) => range.to ?? Number.MAX_SAFE_INTEGER))}::bigint[]
    ) WITH ORDINALITY AS k (partition_id, from_offset, to_offset, place)
    JOIN partitions p ON p.partition_id = k.partition_id AND p.deleted_at IS NULL
    CROSS JOIN LATERAL (
      SELECT * FROM extents r
      WHERE r.partition_id = k.partition_id
        AND r.base_offset >= k.from_offset AND r.base_offset < k.to_offset
      ORDER BY r.base_offset LIMIT ${rowsMax}::int
    ) e
    ORDER BY k.place, e.base_offset LIMIT ${rowsMax}::int`;
}

/** What is left of the ranges after the row. */
function rangesBehind(ranges: readonly OffsetRange[], row: ExtentRow): readonly OffsetRange[] {
  const at = ranges.findIndex(
    ({ from, partitionId, to }) =>
      partitionId === row.partition_id &&
      from <= row.base_offset &&
      (to === null || row.base_offset < to),
  );
  return ranges
    .slice(at)
    .map((range, index) => (index === 0 ? { ...range, from: row.base_offset + 1 } : range));
}

export async function* extentsCommittedSince(
  sql: Sql,
  shardId: number,
  databaseTimeMs: number,
): AsyncGenerator<readonly IndexExtent[], void> {
  let after = { committed_at: '-infinity', segment_id: '00000000-0000-0000-0000-000000000000' };
  for (;;) {
    const segments = await sql<{ committed_at: string; segment_id: string }[]>`
      SELECT committed_at::text AS committed_at, segment_id FROM segments
      WHERE shard_id = ${shardId}
        AND committed_at >= to_timestamp(${databaseTimeMs}::float8 / 1000)
        AND (committed_at, segment_id) > (${after.committed_at}::text::timestamptz, ${after.segment_id}::uuid)
      ORDER BY committed_at, segment_id LIMIT ${segmentsPerPage}::int`;
    const last = segments[segments.length - 1];
    if (last === undefined) return;
    after = last;
    const rows = await sql<ExtentRow[]>`
      SELECT ${columns(sql)} FROM extents e JOIN partitions p ON p.partition_id = e.partition_id
      WHERE e.segment_id = ANY(${textArray(segments.map((row) => row.segment_id))}::uuid[])
        AND p.deleted_at IS NULL
      ORDER BY e.partition_id, e.base_offset`;
    for (const page of pagesOf(rows)) yield page.map(extentOf);
  }
}

function columns(sql: Sql) {
  return sql`e.partition_id, e.base_offset, e.next_offset, e.segment_id, e.position, e.length,
    e.skipped_batches::text AS skipped_batches, e.first_timestamp_ms, e.max_timestamp_ms,
    e.absolute_offsets`;
}

function extentOf(row: ExtentRow): IndexExtent {
  return {
    partitionId: row.partition_id,
    baseOffset: row.base_offset,
    nextOffset: row.next_offset,
    segmentId: row.segment_id,
    position: row.position,
    length: row.length,
    firstTimestampMs: row.first_timestamp_ms,
    maxTimestampMs: row.max_timestamp_ms,
    absoluteOffsets: row.absolute_offsets,
    skippedBatches: parseNumberArray(row.skipped_batches),
  };
}
