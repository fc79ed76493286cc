import { invariant } from '@kafscale/core';

import { textArray } from '../arrays.js';
import type { Database } from '../database.js';
import { fenceShard, requireLease } from '../shards.js';
import type { Lease } from '../store-types.js';

/** A sweep looks at the objects of one of 256 key prefixes at a time. */
export const orphanSweepParts = 256;

export interface OrphanSweepState {
  readonly nextPart: number;
  /** Until it is due; 0: it is. A sweep that has begun goes on at once. */
  readonly dueInMs: number;
  readonly databaseTimeMs: number;
  /** Objects of another one are not judged by this index. */
  readonly incarnation: number;
  /** The greatest node id that was given out: whoever wrote with a greater one is not known here. */
  readonly nodeIdMax: number;
  /** What was born before it has been through a complete sweep, and is not judged again. */
  readonly watermarkMs: number;
}

export interface UnknownSegments {
  readonly segmentIds: readonly string[];
  /** As of the same moment. */
  readonly watermarkMs: number;
}

export async function loadOrphanSweep(database: Database): Promise<OrphanSweepState> {
  const rows = await database.read(
    (sql) => sql<
      {
        next_part: number;
        due_in_ms: number;
        now_ms: number;
        incarnation: number;
        node_id_max: number;
        watermark_ms: number;
      }[]
    >`
      SELECT o.next_part, o.watermark_ms, c.incarnation,
        CASE WHEN o.next_part > 0 THEN 0 ELSE
          greatest(0, extract(epoch FROM o.starts_at - clock_timestamp()) * 1000) END::float8
          AS due_in_ms,
        (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms,
        (SELECT coalesce(max(node_id), -1) FROM nodes)::int AS node_id_max
      FROM orphan_sweep o, cluster c`,
  );
  const [row] = rows;
  invariant(row !== undefined, 'the schema has the row of the sweep');
  return {
    nextPart: row.next_part,
    dueInMs: row.due_in_ms,
    databaseTimeMs: row.now_ms,
    incarnation: row.incarnation,
    nodeIdMax: row.node_id_max,
    watermarkMs: row.watermark_ms,
  };
}

/**
 * Some parts are done. After the last one the next sweep is due `intervalMs` after this one was, and, if
 * no part left anything that it should have deleted, the watermark moves to `marginMs`, twice the grace,
 * before the beginning: whatever was born earlier, and stored up to a grace later, and is still there
 * is referred to, or kept for a reason.
 */
export async function advanceOrphanSweep(
  database: Database,
  lease: Lease,
  request: OrphanSweepAdvance,
): Promise<void> {
  const { begunMs, donePart, fromPart, hasFailed, intervalMs, marginMs } = request;
  invariant(donePart >= 0 && donePart < orphanSweepParts, 'a sweep has 256 parts');
  const isFirst = fromPart === 0;
  await database.transaction(async ({ sql }) => {
    const [fence] = await Promise.all([
      fenceShard(sql, lease),
      sql`
        UPDATE orphan_sweep SET next_part = ${donePart + 1}::int % ${orphanSweepParts}::int,
          begun_ms = CASE WHEN ${isFirst}::boolean THEN ${Math.floor(begunMs)}::bigint
                     ELSE begun_ms END,
          has_failed = ${hasFailed}::boolean OR (has_failed AND NOT ${isFirst}::boolean)`,
    ]);
    requireLease(fence, lease);
    if (donePart + 1 < orphanSweepParts) return;
    // A sweep that an older version of the program began has no beginning.
    await sql`
      UPDATE orphan_sweep SET
        starts_at = greatest(clock_timestamp(),
          starts_at + ${intervalMs}::float8 * interval '1 millisecond'),
        watermark_ms = CASE WHEN has_failed OR begun_ms IS NULL THEN watermark_ms
          ELSE greatest(watermark_ms, begun_ms - ${Math.ceil(marginMs)}::bigint) END,
        begun_ms = NULL, has_failed = false`;
  });
}

export interface OrphanSweepAdvance {
  /** Parts from the first to the last are done. */
  readonly fromPart: number;
  readonly donePart: number;
  readonly intervalMs: number;
  /** Database time at which the first of them began. */
  readonly begunMs: number;
  /** Between the beginning of a sweep and the watermark that it leaves. */
  readonly marginMs: number;
  /** An orphan could not be deleted. */
  readonly hasFailed: boolean;
}

/**
 * Those of `segmentIds` that no row knows: neither a segment's nor, to be safe, the index's, nor one
 * that says that a recovery found the object and could not place it. What was born before the
 * watermark may be in a cold range nevertheless.
 */
export async function findUnknownSegments(
  database: Database,
  segmentIds: readonly string[],
): Promise<UnknownSegments> {
  const rows = await database.read(
    (sql) => sql<{ watermark_ms: number; segment_ids: string | null }[]>`
      SELECT o.watermark_ms, (SELECT string_agg(k.segment_id::text, ',') FROM unnest(${textArray(segmentIds)}::uuid[]) AS k (segment_id)
      WHERE NOT EXISTS (SELECT FROM segments s WHERE s.segment_id = k.segment_id)
        AND NOT EXISTS (SELECT FROM extents e WHERE e.segment_id = k.segment_id)
        AND NOT EXISTS (SELECT FROM unrecovered_segments u WHERE u.segment_id = k.segment_id)
      ) AS segment_ids FROM orphan_sweep o`,
  );
  const [row] = rows;
  invariant(row !== undefined, 'the schema has the row of the sweep');
  return { segmentIds: row.segment_ids?.split(',') ?? [], watermarkMs: row.watermark_ms };
}
