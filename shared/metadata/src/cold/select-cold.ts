import type { Sql } from '../database.js';
import type { ColdRangeRow } from './types.js';

export interface ColdRow {
  readonly object_id: string;
  readonly partition_id: number;
  readonly base_offset: number;
  readonly next_offset: number;
  readonly extents: number;
  readonly size_bytes: number;
  readonly max_timestamp_ms: number;
  readonly prefix_max_timestamp_ms: number;
  readonly first_next_offset: number;
  readonly first_length: number;
  readonly first_timestamp_ms: number;
}

/** Of `cold_ranges c`. */
export function coldColumns(sql: Sql) {
  return sql`c.object_id, c.partition_id, c.base_offset, c.next_offset, c.extents, c.size_bytes,
    c.max_timestamp_ms, c.prefix_max_timestamp_ms, c.first_next_offset, c.first_length,
    c.first_timestamp_ms`;
}

/** Live ranges that reach beyond `fromOffset`, in offset order: a few, however long the history. */
export async function selectColdRanges(
  sql: Sql,
  partitionId: number,
  fromOffset: number,
): Promise<readonly ColdRangeRow[]> {
  const rows = await sql<ColdRow[]>`
    SELECT ${coldColumns(sql)} FROM cold_ranges c
    WHERE c.partition_id = ${partitionId} AND c.state = 'live' AND c.next_offset > ${fromOffset}
    ORDER BY c.base_offset`;
  return rows.map(coldRangeOf);
}

export function coldRangeOf(row: ColdRow): ColdRangeRow {
  return {
    objectId: row.object_id,
    partitionId: row.partition_id,
    baseOffset: row.base_offset,
    nextOffset: row.next_offset,
    extents: row.extents,
    sizeBytes: row.size_bytes,
    maxTimestampMs: row.max_timestamp_ms,
    prefixMaxTimestampMs: row.prefix_max_timestamp_ms,
    first: {
      nextOffset: row.first_next_offset,
      length: row.first_length,
      timestampMs: row.first_timestamp_ms,
    },
  };
}
