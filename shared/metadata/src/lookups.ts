import type { Extent } from '@kafscale/cluster';
import { invariant, limits } from '@kafscale/core';

import { parseNumberArray } from './arrays.js';
import type { Database, Sql } from './database.js';

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
  readonly prefix_max_timestamp_ms: number;
  readonly absolute_offsets: boolean;
  readonly node_id: number;
}

/**
 * The start is found by going down the primary key to the one row that begins at or before the
 * offset, so that neither the depth of the partition nor a range that starts far back costs anything.
 */
export async function findExtents(
  database: Database,
  request: { partitionId: number; offset: number; countMax: number },
): Promise<readonly Extent[]> {
  return database.read((sql) => selectExtents(sql, request));
}

export async function selectExtents(
  sql: Sql,
  request: { partitionId: number; offset: number; countMax: number },
): Promise<readonly Extent[]> {
  const { partitionId, offset } = request;
  invariant(Number.isSafeInteger(offset), 'an offset is an integer');
  const countMax = Math.min(request.countMax, limits.extentsPerLookupMax);
  const rows = await sql<ExtentRow[]>`
      WITH wanted AS (
        SELECT greatest(${offset}::bigint, log_start_offset) AS wanted_offset
        FROM partitions WHERE partition_id = ${partitionId} AND deleted_at IS NULL
      ), start AS (
        SELECT wanted_offset, coalesce(
          (SELECT e.base_offset FROM extents e
           WHERE e.partition_id = ${partitionId} AND e.base_offset <= wanted_offset
           ORDER BY e.base_offset DESC LIMIT 1), 0) AS start_offset
        FROM wanted
      )
      SELECT ${extentColumns(sql)}
      FROM extents e JOIN segments s ON s.segment_id = e.segment_id
      WHERE e.partition_id = ${partitionId}
        AND e.base_offset >= (SELECT start_offset FROM start)
        AND e.next_offset > (SELECT wanted_offset FROM start)
      ORDER BY e.base_offset LIMIT ${countMax}::int`;
  return rows.map(extentOf);
}

/**
 * prefix_max_timestamp_ms ascends with the offsets, so the first row that reaches the timestamp is
 * found by halving, and that row has the timestamp itself. Unless it reached it with records
 * that have been deleted: then the live rows are walked from the log start. Only timestamps older
 * than some deleted record come to that, and most live rows are later.
 */
export async function findExtentByTimestamp(
  database: Database,
  request: { partitionId: number; timestampMs: number; fromOffset: number },
): Promise<Extent | null> {
  const { partitionId, fromOffset } = request;
  return database.read(async (sql) => {
    const start = await liveStart(sql, partitionId, fromOffset);
    return start === null ? null : selectExtentByTimestamp(sql, { ...request, start });
  });
}

/** `start`: from {@link liveStart}. */
export async function selectExtentByTimestamp(
  sql: Sql,
  request: { partitionId: number; timestampMs: number; start: number },
): Promise<Extent | null> {
  const { partitionId, start, timestampMs } = request;
  const reached = await selectReached(sql, partitionId, sql`${timestampMs}::bigint`);
  if (reached === undefined) return null;
  if (reached.next_offset > start && reached.max_timestamp_ms >= timestampMs) {
    return extentOf(reached);
  }
  const [live] = await sql<ExtentRow[]>`
      SELECT ${extentColumns(sql)}
      FROM extents e JOIN segments s ON s.segment_id = e.segment_id
      WHERE e.partition_id = ${partitionId} AND e.next_offset > ${start}
        AND e.base_offset >= coalesce(
          (SELECT base_offset FROM extents
           WHERE partition_id = ${partitionId} AND base_offset <= ${start}
           ORDER BY base_offset DESC LIMIT 1), 0)
        AND e.max_timestamp_ms >= ${timestampMs}
      ORDER BY e.base_offset LIMIT 1`;
  return live === undefined ? null : extentOf(live);
}

/** As above: usually the first row that reaches the partition's maximum; else a walk of the live rows. */
export async function findExtentOfMaxTimestamp(
  database: Database,
  partitionId: number,
): Promise<Extent | null> {
  return database.read(async (sql) => {
    const start = await liveStart(sql, partitionId, 0);
    return start === null ? null : selectExtentOfMaxTimestamp(sql, { partitionId, start });
  });
}

/** `start`: from {@link liveStart}. */
export async function selectExtentOfMaxTimestamp(
  sql: Sql,
  request: { partitionId: number; start: number },
): Promise<Extent | null> {
  const { partitionId, start } = request;
  // The last row has the greatest of all.
  const reached = await selectReached(sql, partitionId, sql`newest.prefix_max_timestamp_ms`);
  if (reached === undefined) return null;
  if (reached.next_offset > start && reached.max_timestamp_ms === reached.prefix_max_timestamp_ms) {
    return extentOf(reached);
  }
  const [live] = await sql<ExtentRow[]>`
      SELECT ${extentColumns(sql)}
      FROM extents e JOIN segments s ON s.segment_id = e.segment_id
      WHERE e.partition_id = ${partitionId} AND e.next_offset > ${start}
      ORDER BY e.max_timestamp_ms DESC, e.base_offset LIMIT 1`;
  return live === undefined ? null : extentOf(live);
}

/**
 * The first row that reaches a timestamp, in one statement: what is left of the offsets is halved until it is the
 * beginning of that row, with one step down the primary key each time, so 20 of them in a million
 * offsets and never more than 53. An index of its own for this would cost every extent of every commit.
 *
 * The row begins at `low` or later, and at `high` begins one that reaches the timestamp. If the last row that
 * begins at or before `middle` reaches it too, it is the new `high`; if not, neither does any before it.
 */
async function selectReached(
  sql: Sql,
  partitionId: number,
  timestampMs: ReturnType<Sql>,
): Promise<ExtentRow | undefined> {
  const rows = await sql<ExtentRow[]>`
      WITH RECURSIVE newest AS (
        SELECT base_offset, prefix_max_timestamp_ms FROM extents
        WHERE partition_id = ${partitionId} ORDER BY base_offset DESC LIMIT 1
      ), target AS (
        SELECT base_offset, ${timestampMs} AS timestamp_ms FROM newest
        WHERE prefix_max_timestamp_ms >= ${timestampMs}
      ), search (low, high) AS (
        SELECT (SELECT min(base_offset) FROM extents WHERE partition_id = ${partitionId}), base_offset
        FROM target
        UNION ALL
        SELECT CASE WHEN row_at.base_offset IS NULL THEN middle + 1 ELSE low END,
               coalesce(row_at.base_offset, high)
        FROM search CROSS JOIN LATERAL (SELECT low + (high - low) / 2 AS middle) AS half
        LEFT JOIN LATERAL (
          SELECT e.base_offset, e.prefix_max_timestamp_ms FROM extents e
          WHERE e.partition_id = ${partitionId} AND e.base_offset BETWEEN low AND middle
          ORDER BY e.base_offset DESC LIMIT 1
        ) AS row_at ON row_at.prefix_max_timestamp_ms >= (SELECT timestamp_ms FROM target)
        WHERE low < high
      )
      SELECT ${extentColumns(sql)}
      FROM search JOIN extents e ON e.partition_id = ${partitionId} AND e.base_offset = high
      JOIN segments s ON s.segment_id = e.segment_id
      WHERE low = high`;
  return rows[0];
}

/** The offset to look from, or null when there is no such partition. */
export async function liveStart(
  sql: Sql,
  partitionId: number,
  fromOffset: number,
): Promise<number | null> {
  const rows = await sql<{ start: number }[]>`
    SELECT greatest(${fromOffset}::bigint, log_start_offset) AS start
    FROM partitions WHERE partition_id = ${partitionId} AND deleted_at IS NULL`;
  return rows[0]?.start ?? null;
}

function extentColumns(sql: Sql) {
  return sql`e.partition_id, e.base_offset, e.next_offset, e.segment_id, e.position, e.length,
    e.skipped_batches::text AS skipped_batches, e.first_timestamp_ms, e.max_timestamp_ms,
    e.prefix_max_timestamp_ms, e.absolute_offsets, s.node_id`;
}

function extentOf(row: ExtentRow): Extent {
  return {
    partitionId: row.partition_id,
    baseOffset: row.base_offset,
    nextOffset: row.next_offset,
    segmentId: row.segment_id,
    position: row.position,
    length: row.length,
    skippedBatches: parseNumberArray(row.skipped_batches),
    firstTimestampMs: row.first_timestamp_ms,
    maxTimestampMs: row.max_timestamp_ms,
    absoluteOffsets: row.absolute_offsets,
    writerNodeId: row.node_id,
  };
}
