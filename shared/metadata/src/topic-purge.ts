import { invariant } from '@kafscale/core';

import { numberArray } from './arrays.js';
import type { Database, Sql } from './database.js';
import { releaseSegments } from './retention/release-segments.js';
import { fenceShard, requireLease } from './shards.js';
import type { Lease } from './store-types.js';

const partitionsPerStep = 100;

/** `coldPartitionIds`: index in objects of the bucket has to come back before it can go. */
export type PurgeResult = 'more' | 'done' | { readonly coldPartitionIds: readonly number[] };

/**
 * Removes what deleted topics left behind, at most `rowsMax` rows of a kind per call, so that no
 * transaction grows with the size of a topic. A segment whose last index row goes this way becomes
 * garbage; its object is the garbage collector's.
 */
export async function purgeDeletedPartitions(
  database: Database,
  lease: Lease,
  rowsMax: number,
): Promise<PurgeResult> {
  invariant(rowsMax > 0, 'a purge removes something');
  return database.transaction(async ({ sql }) => {
    const [fence, doomed] = await Promise.all([
      fenceShard(sql, lease),
      sql<{ partition_id: number }[]>`
        SELECT partition_id FROM partitions
        WHERE shard_id = ${lease.shardId} AND deleted_at IS NOT NULL
        ORDER BY partition_id LIMIT ${partitionsPerStep}::int FOR UPDATE`,
    ]);
    requireLease(fence, lease);
    if (doomed.length === 0) return 'done';
    const partitionIds = numberArray(doomed.map((row) => row.partition_id));
    if ((await deleteExtents(sql, partitionIds, rowsMax)) === rowsMax) return 'more';
    if ((await deleteProducers(sql, partitionIds, rowsMax)) === rowsMax) return 'more';
    const cold = await findCold(sql, partitionIds);
    const gone = numberArray(
      doomed.map((row) => row.partition_id).filter((partitionId) => !cold.includes(partitionId)),
    );
    await sql`DELETE FROM leader_epochs WHERE partition_id = ANY(${gone}::int[])`;
    await sql`DELETE FROM partitions WHERE partition_id = ANY(${gone}::int[])`;
    return cold.length === 0 ? 'more' : { coldPartitionIds: cold };
  });
}

async function findCold(sql: Sql, partitionIds: string): Promise<readonly number[]> {
  const rows = await sql<{ partition_id: number }[]>`
    SELECT DISTINCT partition_id FROM cold_ranges
    WHERE partition_id = ANY(${partitionIds}::int[]) AND state = 'live'`;
  return rows.map((row) => row.partition_id);
}

async function deleteExtents(sql: Sql, partitionIds: string, rowsMax: number): Promise<number> {
  const rows = await sql<{ deleted: number }[]>`
    WITH doomed AS (
      SELECT partition_id, base_offset FROM extents
      WHERE partition_id = ANY(${partitionIds}::int[]) LIMIT ${rowsMax}::int
    ), deleted AS (
      DELETE FROM extents e USING doomed d
      WHERE e.partition_id = d.partition_id AND e.base_offset = d.base_offset
      RETURNING e.segment_id
    ), ${releaseSegments(sql)}
    SELECT count(*)::int AS deleted FROM deleted`;
  return rows[0]?.deleted ?? 0;
}

async function deleteProducers(sql: Sql, partitionIds: string, rowsMax: number): Promise<number> {
  const rows = await sql<{ deleted: number }[]>`
    WITH doomed AS (
      SELECT partition_id, producer_id FROM producers
      WHERE partition_id = ANY(${partitionIds}::int[]) LIMIT ${rowsMax}::int
    ), deleted AS (
      DELETE FROM producers p USING doomed d
      WHERE p.partition_id = d.partition_id AND p.producer_id = d.producer_id
      RETURNING 1
    )
    SELECT count(*)::int AS deleted FROM deleted`;
  return rows[0]?.deleted ?? 0;
}
