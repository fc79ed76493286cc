import type { Sql } from '../database.js';
import { listed, listedMax } from './findings.js';
import type { Findings } from './findings.js';

/** Offsets of a partition, and why they can't be read. */
export interface RangeFinding {
  readonly topic: string;
  readonly partitionIndex: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  /** null: no extent covers the range. */
  readonly segmentId: string | null;
}

interface RangeRow {
  readonly name: string;
  readonly partition_index: number;
  readonly base_offset: number;
  readonly next_offset: number;
  readonly segment_id: string | null;
  readonly total: number;
}

export interface CutReport {
  readonly lostBeginnings: Findings<RangeFinding>;
  readonly lostRanges: Findings<RangeFinding>;
  readonly gaps: Findings<RangeFinding>;
}

/**
 * Holds the extents against the objects. Where a log begins with ranges that are gone (retention may
 * have removed them after the last manifest), it begins behind them. Elsewhere they stay: offsets
 * that were given out are never given out again, and reading them fails, on that range only.
 */
export async function cutMissing(sql: Sql): Promise<CutReport> {
  await sql.unsafe(findMissing);
  const lostBeginnings = await listMissing(sql, true);
  await sql.unsafe(cutBeginnings);
  const lostRanges = await listMissing(sql, false);
  const gaps = await listGaps(sql);
  await sql.unsafe('DROP TABLE missing_extents');
  return { lostBeginnings, lostRanges, gaps };
}

const findMissing = `
CREATE TEMP TABLE missing_extents ON COMMIT DROP AS
SELECT e.partition_id, e.base_offset, e.next_offset, e.segment_id, false AS is_beginning
FROM restored_extents e
LEFT JOIN present_segments o ON o.segment_id = e.segment_id
LEFT JOIN restored_segments s ON s.segment_id = e.segment_id
WHERE s.segment_id IS NULL OR o.size_bytes IS DISTINCT FROM s.size_bytes
  OR e.position + e.length > s.size_bytes;
ALTER TABLE missing_extents ADD PRIMARY KEY (partition_id, base_offset);
ANALYZE missing_extents;
WITH present AS (
  SELECT e.partition_id, min(e.base_offset) AS first_offset
  FROM restored_extents e LEFT JOIN missing_extents o
    ON o.partition_id = e.partition_id AND o.base_offset = e.base_offset
  WHERE o.partition_id IS NULL GROUP BY e.partition_id
)
UPDATE missing_extents m SET is_beginning = true
WHERE NOT EXISTS (
  SELECT FROM present p
  WHERE p.partition_id = m.partition_id AND p.first_offset < m.base_offset)`;

const cutBeginnings = `
DELETE FROM restored_extents e USING missing_extents m
WHERE m.is_beginning AND e.partition_id = m.partition_id AND e.base_offset = m.base_offset;
UPDATE partitions p SET log_start_offset = greatest(p.log_start_offset, coalesce(
  (SELECT min(e.base_offset) FROM restored_extents e WHERE e.partition_id = p.partition_id),
  p.next_offset))
WHERE p.partition_id IN (SELECT m.partition_id FROM missing_extents m WHERE m.is_beginning)`;

async function listMissing(sql: Sql, isBeginning: boolean): Promise<Findings<RangeFinding>> {
  const rows = await sql<RangeRow[]>`
    SELECT t.name, p.partition_index, m.base_offset, m.next_offset, m.segment_id,
      (count(*) OVER ())::int AS total
    FROM missing_extents m JOIN partitions p ON p.partition_id = m.partition_id
    JOIN topics t ON t.topic_id = p.topic_id
    WHERE m.is_beginning = ${isBeginning}
    ORDER BY t.name, p.partition_index, m.base_offset LIMIT ${listedMax}::int`;
  return listed(rows, rangeOf);
}

async function listGaps(sql: Sql): Promise<Findings<RangeFinding>> {
  const rows = await sql<RangeRow[]>`
    WITH ranges AS (
      SELECT partition_id, base_offset, next_offset FROM restored_extents
      UNION ALL SELECT partition_id, -1, log_start_offset FROM partitions
      UNION ALL SELECT partition_id, next_offset, next_offset FROM partitions
    ), seen AS (
      SELECT partition_id, base_offset, max(next_offset) OVER (
        PARTITION BY partition_id ORDER BY base_offset, next_offset
        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS covered_to
      FROM ranges
    )
    SELECT t.name, p.partition_index, g.covered_to AS base_offset, g.base_offset AS next_offset,
      NULL::uuid AS segment_id, (count(*) OVER ())::int AS total
    FROM seen g JOIN partitions p ON p.partition_id = g.partition_id
    JOIN topics t ON t.topic_id = p.topic_id
    WHERE g.base_offset > g.covered_to
    ORDER BY t.name, p.partition_index, g.covered_to LIMIT ${listedMax}::int`;
  return listed(rows, rangeOf);
}

function rangeOf(row: RangeRow): RangeFinding {
  return {
    topic: row.name,
    partitionIndex: row.partition_index,
    baseOffset: row.base_offset,
    nextOffset: row.next_offset,
    segmentId: row.segment_id,
  };
}
