import type { Sql } from '../database.js';

/**
 * The part of a WITH that follows `deleted (segment_id, …)`, the index rows that are being deleted:
 * their segments have so many fewer. Segments are locked in id order, so that two transactions that
 * delete rows of the same segments never deadlock.
 */
export function releaseSegments(sql: Sql) {
  return sql`
    counted AS (
      SELECT segment_id, count(*)::int AS extents FROM deleted GROUP BY segment_id
    ), locked AS (
      SELECT s.segment_id, c.extents FROM segments s JOIN counted c ON c.segment_id = s.segment_id
      ORDER BY s.segment_id FOR UPDATE OF s
    ), released AS (
      UPDATE segments s SET live_extents = s.live_extents - l.extents
      FROM locked l WHERE s.segment_id = l.segment_id
      RETURNING s.live_extents
    )`;
}
