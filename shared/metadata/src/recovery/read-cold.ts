import type { IndexColdRange } from '@kafscale/codec';

import { numberArray } from '../arrays.js';
import type { Sql } from '../database.js';
import { pagesOf } from './pages.js';
import type { OffsetRange } from './read-extents.js';

interface RangeRow {
  readonly partition_id: number;
  readonly base_offset: number;
  readonly next_offset: number;
  readonly object_id: string;
  readonly extents: number;
}

/** A few per partition. */
export async function* liveColdRanges(
  sql: Sql,
  shardId: number,
): AsyncGenerator<readonly IndexColdRange[], void> {
  const rows = await sql<RangeRow[]>`
    SELECT ${columns(sql)} FROM cold_ranges c JOIN partitions p ON p.partition_id = c.partition_id
    WHERE c.shard_id = ${shardId} AND c.state = 'live' AND p.deleted_at IS NULL
    ORDER BY c.partition_id, c.base_offset`;
  for (const page of pagesOf(rows)) yield page.map(coldRangeOf);
}

/** Those that begin in one of the ranges. */
export async function* coldRangesOf(
  sql: Sql,
  ranges: readonly OffsetRange[],
): AsyncGenerator<readonly IndexColdRange[], void> {
  for (const page of pagesOf(ranges)) {
    const rows = await sql<RangeRow[]>`
      SELECT ${columns(sql)} FROM unnest(
        ${numberArray(page.map((range) => range.partitionId))}::int[],
        ${numberArray(page.map((range) => range.from))}::bigint[],
        ${numberArray(page.map((range) => range.to ?? Number.MAX_SAFE_INTEGER))}::bigint[]
      ) AS k (partition_id, from_offset, to_offset)
      JOIN cold_ranges c ON c.partition_id = k.partition_id AND c.state = 'live'
        AND c.base_offset >= k.from_offset AND c.base_offset < k.to_offset
      JOIN partitions p ON p.partition_id = c.partition_id AND p.deleted_at IS NULL
      ORDER BY c.partition_id, c.base_offset`;
    if (rows.length > 0) yield rows.map(coldRangeOf);
  }
}

/**
 * Where ranges were given up since: their extents are rows again, or in other ranges. The rows have the
 * commit times of long ago, so nothing else tells that they have changed. Without overlaps.
 */
export async function coldRangesRetiredSince(
  sql: Sql,
  shardId: number,
  databaseTimeMs: number,
): Promise<readonly OffsetRange[]> {
  const rows = await sql<Pick<RangeRow, 'partition_id' | 'base_offset' | 'next_offset'>[]>`
    SELECT partition_id, base_offset, next_offset FROM cold_ranges
    WHERE shard_id = ${shardId} AND state = 'retired'
      AND changed_at >= to_timestamp(${databaseTimeMs}::float8 / 1000)
    ORDER BY partition_id, base_offset`;
  const joined: (OffsetRange & { readonly to: number })[] = [];
  for (const { base_offset: from, next_offset: to, partition_id: partitionId } of rows) {
    const last = joined.at(-1);
    if (last?.partitionId !== partitionId || from > last.to) joined.push({ partitionId, from, to });
    else joined[joined.length - 1] = { ...last, to: Math.max(last.to, to) };
  }
  return joined;
}

function columns(sql: Sql) {
  return sql`c.partition_id, c.base_offset, c.next_offset, c.object_id, c.extents`;
}

function coldRangeOf(row: RangeRow): IndexColdRange {
  return {
    partitionId: row.partition_id,
    baseOffset: row.base_offset,
    nextOffset: row.next_offset,
    objectId: row.object_id,
    extents: row.extents,
  };
}
