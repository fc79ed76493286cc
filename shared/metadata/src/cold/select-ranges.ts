import { textArray } from '../arrays.js';
import type { Database } from '../database.js';
import { coldColumns, coldRangeOf } from './select-cold.js';
import type { ColdRow } from './select-cold.js';
import type { ColdPlace, ColdRangeRow } from './types.js';

export interface MergeableRequest {
  readonly shardId: number;
  readonly fanIn: number;
  readonly extentsMax: number;
  /** Those that could not be read a moment ago. */
  readonly excludedObjectIds: readonly string[];
}

/**
 * `fanIn` neighbours, none of which is more than twice as large as the smallest, whose sum is within
 * the bound. As each merge makes a range at least twice as large as any of its parts, a partition keeps
 * O(log) ranges, and one per `extentsMax` extents beyond it. None of a deleted topic: no merge of it can
 * succeed, and all the others would wait for it.
 */
export async function findMergeableRanges(
  database: Database,
  request: MergeableRequest,
): Promise<readonly ColdRangeRow[] | null> {
  const { excludedObjectIds, extentsMax, fanIn, shardId } = request;
  const rows = await database.read(
    (sql) => sql<ColdRow[]>`
      WITH seen AS (
        SELECT partition_id, base_offset,
          count(*) OVER ahead AS ranges, sum(extents) OVER ahead AS extents,
          max(extents) OVER ahead AS most, min(extents) OVER ahead AS least,
          max(next_offset) OVER ahead AS end_offset,
          sum(next_offset - base_offset) OVER ahead AS covered
        FROM cold_ranges c
        WHERE shard_id = ${shardId} AND state = 'live'
          AND EXISTS (SELECT FROM partitions p
                      WHERE p.partition_id = c.partition_id AND p.deleted_at IS NULL)
          AND extents <= ${Math.floor(extentsMax / fanIn)}::int
          AND object_id <> ALL(${textArray(excludedObjectIds)}::uuid[])
        WINDOW ahead AS (PARTITION BY partition_id ORDER BY base_offset
                         ROWS BETWEEN CURRENT ROW AND ${fanIn - 1}::int FOLLOWING)
      ), chosen AS (
        SELECT partition_id, base_offset, end_offset FROM seen
        WHERE ranges = ${fanIn}::int AND most <= 2 * least
          AND extents <= ${extentsMax}::int
          AND covered = end_offset - base_offset
        ORDER BY partition_id, base_offset LIMIT 1
      )
      SELECT ${coldColumns(sql)} FROM chosen k
      JOIN cold_ranges c ON c.partition_id = k.partition_id AND c.state = 'live'
        AND c.base_offset >= k.base_offset AND c.next_offset <= k.end_offset
      ORDER BY c.base_offset`,
  );
  return rows.length === 0 ? null : rows.map(coldRangeOf);
}

export async function readFirstColdRange(
  database: Database,
  partitionId: number,
): Promise<ColdRangeRow | null> {
  const rows = await database.read(
    (sql) => sql<ColdRow[]>`
      SELECT ${coldColumns(sql)} FROM cold_ranges c
      WHERE c.partition_id = ${partitionId} AND c.state = 'live'
      ORDER BY c.base_offset LIMIT 1`,
  );
  return rows[0] === undefined ? null : coldRangeOf(rows[0]);
}

export async function readColdPlace(
  database: Database,
  partitionId: number,
): Promise<ColdPlace | null> {
  const rows = await database.read(
    (sql) => sql<{ cluster_id: string; topic_id: string; partition_index: number }[]>`
      SELECT c.cluster_id, p.topic_id, p.partition_index FROM partitions p, cluster c
      WHERE p.partition_id = ${partitionId}`,
  );
  const [row] = rows;
  if (row === undefined) return null;
  const { cluster_id: clusterId, partition_index: partitionIndex, topic_id: topicId } = row;
  return { clusterId, topicId, partitionIndex, partitionId };
}
