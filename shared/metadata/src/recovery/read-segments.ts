import type { IndexSegment } from '@kafscale/codec';
import { limits } from '@kafscale/core';

import { textArray } from '../arrays.js';
import type { Sql } from '../database.js';

interface SegmentRow {
  readonly segment_id: string;
  readonly node_id: number;
  readonly incarnation: number;
  readonly birth_ms: number;
  readonly committed_at_ms: number;
  readonly size_bytes: number;
  readonly is_compacted: boolean;
  readonly answer: string | null;
}

/** In the order of their ids. */
export async function* liveSegments(
  sql: Sql,
  shardId: number,
): AsyncGenerator<readonly IndexSegment[], void> {
  let after = '00000000-0000-0000-0000-000000000000';
  for (;;) {
    const rows = await sql<SegmentRow[]>`
      SELECT ${columns(sql)} FROM segments
      WHERE shard_id = ${shardId} AND live_extents > 0 AND segment_id > ${after}
      ORDER BY segment_id LIMIT ${limits.indexPageRowsMax}::int`;
    const last = rows[rows.length - 1];
    if (last === undefined) return;
    after = last.segment_id;
    yield rows.map(segmentOf);
  }
}

export async function segmentsOf(
  sql: Sql,
  segmentIds: readonly string[],
): Promise<readonly IndexSegment[]> {
  if (segmentIds.length === 0) return [];
  const rows = await sql<SegmentRow[]>`
    SELECT ${columns(sql)} FROM segments
    WHERE segment_id = ANY(${textArray(segmentIds)}::uuid[]) ORDER BY segment_id`;
  return rows.map(segmentOf);
}

/** The answer only while its commit can be repeated: most of what a commit stores is this text. */
function columns(sql: Sql) {
  return sql`segment_id, node_id, incarnation, birth_ms, size_bytes, is_compacted,
    floor(extract(epoch FROM committed_at) * 1000)::bigint AS committed_at_ms,
    CASE WHEN committed_at
      > clock_timestamp() - ${limits.indexAnswerAgeMsMax}::float8 * interval '1 millisecond'
      THEN answer END AS answer`;
}

function segmentOf(row: SegmentRow): IndexSegment {
  return {
    segmentId: row.segment_id,
    nodeId: row.node_id,
    incarnation: row.incarnation,
    birthMs: row.birth_ms,
    committedAtMs: row.committed_at_ms,
    sizeBytes: row.size_bytes,
    isCompacted: row.is_compacted,
    answer: row.answer === null ? null : Buffer.from(row.answer, 'utf8'),
  };
}
