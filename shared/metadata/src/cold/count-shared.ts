import type { ColdExtent } from '@kafscale/codec';
import { invariant, OperatingError } from '@kafscale/core';

import { textArray } from '../arrays.js';
import type { Sql } from '../database.js';

/** Segments of several extents keep their row, which counts those that are cold. */
export async function countShared(
  sql: Sql,
  extents: readonly ColdExtent[],
  change: 1 | -1,
): Promise<void> {
  const shared = extents.filter(({ isShared }) => isShared).map(({ segmentId }) => segmentId);
  if (shared.length === 0) return;
  const [changed] = await sql<{ segments: number; wanted: number }[]>`
    WITH counted AS (
      SELECT k.segment_id, count(*)::int AS extents
      FROM unnest(${textArray(shared)}::uuid[]) AS k (segment_id) GROUP BY k.segment_id
    ), locked AS (
      SELECT s.segment_id, c.extents FROM segments s JOIN counted c ON c.segment_id = s.segment_id
      ORDER BY s.segment_id FOR UPDATE OF s
    ), changed AS (
      UPDATE segments s SET cold_extents = s.cold_extents + ${change}::int * l.extents
      FROM locked l WHERE s.segment_id = l.segment_id RETURNING 1
    ) SELECT (SELECT count(*) FROM changed)::int AS segments,
             (SELECT count(*) FROM counted)::int AS wanted`;
  invariant(changed !== undefined, 'an aggregate has one row');
  if (changed.segments !== changed.wanted) throw superseded();
}

export function superseded(): OperatingError {
  return new OperatingError('COLD_SWAP_SUPERSEDED', 'the index is not what was read any more');
}
