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
      }[]
    >`
      SELECT o.next_part, c.incarnation,
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
  };
}

/** A part is done. After the last one the next sweep is due `intervalMs` after this one was. */
export async function advanceOrphanSweep(
  database: Database,
  lease: Lease,
  request: { donePart: number; intervalMs: number },
): Promise<void> {
  const { donePart, intervalMs } = request;
  invariant(donePart >= 0 && donePart < orphanSweepParts, 'a sweep has 256 parts');
  await database.transaction(async ({ sql }) => {
    const [fence] = await Promise.all([
      fenceShard(sql, lease),
      donePart + 1 < orphanSweepParts
        ? sql`UPDATE orphan_sweep SET next_part = ${donePart + 1}::int`
        : sql`
            UPDATE orphan_sweep SET next_part = 0, starts_at = greatest(clock_timestamp(),
              starts_at + ${intervalMs}::float8 * interval '1 millisecond')`,
    ]);
    requireLease(fence, lease);
  });
}

/**
 * Those of `segmentIds` that no row knows: neither a segment's nor, to be safe, the index's, nor one
 * that says that a recovery found the object and could not place it.
 */
export async function findUnknownSegments(
  database: Database,
  segmentIds: readonly string[],
): Promise<readonly string[]> {
  const rows = await database.read(
    (sql) => sql<{ segment_id: string }[]>`
      SELECT k.segment_id FROM unnest(${textArray(segmentIds)}::uuid[]) AS k (segment_id)
      WHERE NOT EXISTS (SELECT FROM segments s WHERE s.segment_id = k.segment_id)
        AND NOT EXISTS (SELECT FROM extents e WHERE e.segment_id = k.segment_id)
        AND NOT EXISTS (SELECT FROM unrecovered_segments u WHERE u.segment_id = k.segment_id)`,
  );
  return rows.map((row) => row.segment_id);
}
