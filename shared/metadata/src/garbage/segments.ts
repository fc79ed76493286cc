import { textArray } from '../arrays.js';
import type { Database } from '../database.js';
import { fenceShard, requireLease } from '../shards.js';
import type { Lease } from '../store-types.js';

/** Segments without index rows, and the bytes of their objects. */
export interface SegmentCount {
  readonly segments: number;
  readonly bytes: number;
}

interface CountRow {
  readonly segments: number;
  readonly bytes: number;
}

/** Marks `segmentsMax` segments that have become garbage. Nothing ever takes the mark off again. */
export async function markGarbage(
  database: Database,
  lease: Lease,
  segmentsMax: number,
): Promise<SegmentCount> {
  return database.transaction(async ({ sql }) => {
    const [fence, rows] = await Promise.all([
      fenceShard(sql, lease),
      sql<CountRow[]>`
        WITH found AS (
          SELECT segment_id FROM segments
          WHERE shard_id = ${lease.shardId} AND live_extents = 0 AND marked_at IS NULL
          ORDER BY committed_at LIMIT ${segmentsMax}::int
        ), locked AS (
          SELECT s.segment_id FROM segments s JOIN found f ON f.segment_id = s.segment_id
          ORDER BY s.segment_id FOR UPDATE OF s
        ), marked AS (
          UPDATE segments s SET marked_at = clock_timestamp()
          FROM locked l WHERE s.segment_id = l.segment_id AND s.live_extents = 0
          RETURNING s.size_bytes
        )
        SELECT count(*)::int AS segments, coalesce(sum(size_bytes), 0)::bigint AS bytes
        FROM marked`,
    ]);
    requireLease(fence, lease);
    return rows[0] ?? { segments: 0, bytes: 0 };
  });
}

export interface GarbageAges {
  /** How long a marked segment waits for those who may still read it. */
  readonly waitMs: number;
  /** From birth until a commit can not be repeated any more: then its answer can go. */
  readonly answerAgeMs: number;
}

export interface DueGarbage {
  readonly segmentIds: readonly string[];
  /** Those that an index row refers to after all: the counts are wrong, nothing is certain. */
  readonly referencedIds: readonly string[];
  /** How long ago the first of them became due. */
  readonly overdueMs: number;
}

interface DueRow {
  readonly segment_id: string;
  readonly is_referenced: boolean;
  readonly overdue_ms: number;
}

/** The segments that have been marked longest and have waited enough, `segmentsMax` at most. */
export async function findDueGarbage(
  database: Database,
  shardId: number,
  request: GarbageAges & { readonly segmentsMax: number },
): Promise<DueGarbage> {
  const { answerAgeMs, segmentsMax, waitMs } = request;
  const rows = await database.read(
    (sql) => sql<DueRow[]>`
      WITH due AS MATERIALIZED (
        SELECT segment_id, cold_extents,
          (extract(epoch FROM clock_timestamp() - marked_at) * 1000)::float8
            - ${waitMs}::float8 AS overdue_ms
        FROM segments
        WHERE shard_id = ${shardId} AND live_extents = 0 AND marked_at IS NOT NULL
          AND marked_at <= clock_timestamp() - ${waitMs}::float8 * interval '1 millisecond'
          AND birth_ms
            < extract(epoch FROM clock_timestamp()) * 1000 - ${answerAgeMs}::float8
        ORDER BY marked_at LIMIT ${segmentsMax}::int
      )
      SELECT segment_id, overdue_ms, cold_extents > 0
        OR EXISTS (SELECT FROM extents e WHERE e.segment_id = due.segment_id) AS is_referenced
      FROM due ORDER BY overdue_ms DESC`,
  );
  const idsOf = (wanted: boolean): string[] =>
    rows.filter((row) => row.is_referenced === wanted).map((row) => row.segment_id);
  return {
    segmentIds: idsOf(false),
    referencedIds: idsOf(true),
    overdueMs: Math.max(0, rows[0]?.overdue_ms ?? 0),
  };
}

/** Segments that could not be deleted wait once more, behind the others. */
export async function postponeGarbage(
  database: Database,
  lease: Lease,
  segmentIds: readonly string[],
): Promise<void> {
  await database.transaction(async ({ sql }) => {
    const [fence] = await Promise.all([
      fenceShard(sql, lease),
      sql`
        UPDATE segments SET marked_at = clock_timestamp()
        WHERE segment_id = ANY(${textArray(segmentIds)}::uuid[]) AND shard_id = ${lease.shardId}
          AND live_extents = 0 AND marked_at IS NOT NULL`,
    ]);
    requireLease(fence, lease);
  });
}

/**
 * Forgets segments whose objects have been deleted. Their stored answers go with them: whoever
 * repeats such a commit now is told that it is too old. In that order of events nothing is appended
 * twice: a repeat that does not find the answer reads the time afterwards, and by then the segment
 * was older than `answerAgeMs`, which is more than any commit may be.
 */
export async function forgetGarbage(
  database: Database,
  lease: Lease,
  segmentIds: readonly string[],
  answerAgeMs: number,
): Promise<SegmentCount> {
  return database.transaction(async ({ sql }) => {
    const [fence, rows] = await Promise.all([
      fenceShard(sql, lease),
      sql<CountRow[]>`
        WITH forgotten AS (
          DELETE FROM segments s
          WHERE s.segment_id = ANY(${textArray(segmentIds)}::uuid[])
            AND s.shard_id = ${lease.shardId}
            AND s.live_extents = 0 AND s.cold_extents = 0 AND s.marked_at IS NOT NULL
            AND s.birth_ms
              < extract(epoch FROM clock_timestamp()) * 1000 - ${answerAgeMs}::float8
            AND NOT EXISTS (SELECT FROM extents e WHERE e.segment_id = s.segment_id)
          RETURNING s.size_bytes
        )
        SELECT count(*)::int AS segments, coalesce(sum(size_bytes), 0)::bigint AS bytes
        FROM forgotten`,
    ]);
    requireLease(fence, lease);
    return rows[0] ?? { segments: 0, bytes: 0 };
  });
}

export interface GarbageState extends SegmentCount {
  /** Since the oldest mark; null: nothing is marked. */
  readonly oldestMarkMs: number | null;
}

/** Everything that is marked. Walks all of it: for a new owner, not for every look. */
export async function loadGarbageState(database: Database, shardId: number): Promise<GarbageState> {
  const rows = await database.read(
    (sql) => sql<(CountRow & { oldest_mark_ms: number | null })[]>`
      SELECT count(*)::int AS segments, coalesce(sum(size_bytes), 0)::bigint AS bytes,
        (extract(epoch FROM clock_timestamp() - min(marked_at)) * 1000)::float8 AS oldest_mark_ms
      FROM segments
      WHERE shard_id = ${shardId} AND live_extents = 0 AND marked_at IS NOT NULL`,
  );
  const { segments = 0, bytes = 0, oldest_mark_ms: oldestMarkMs = null } = rows[0] ?? {};
  return { segments, bytes, oldestMarkMs };
}

/** Milliseconds since the oldest mark; null: nothing is marked. One step down an index. */
export async function findOldestMarkMs(
  database: Database,
  shardId: number,
): Promise<number | null> {
  const rows = await database.read(
    (sql) => sql<{ age_ms: number }[]>`
      SELECT (extract(epoch FROM clock_timestamp() - marked_at) * 1000)::float8 AS age_ms
      FROM segments
      WHERE shard_id = ${shardId} AND live_extents = 0 AND marked_at IS NOT NULL
      ORDER BY marked_at LIMIT 1`,
  );
  return rows[0]?.age_ms ?? null;
}
