import { textArray } from '../arrays.js';
import type { Database } from '../database.js';
import { fenceShard, requireLease } from '../shards.js';
import type { Lease } from '../store-types.js';

export interface ColdCounts {
  readonly ranges: number;
  /** In cold ranges, and rows. */
  readonly coldExtents: number;
  /** Objects that were announced, or wait to be deleted. */
  readonly otherObjects: number;
  readonly extentRows: number;
  readonly segmentRows: number;
}

/**
 * Objects that no range needs: retired `waitMs` ago. What was planned long ago and never came into
 * use is retired now, so that its object, should it be about to be stored, is waited for.
 */
export async function findColdGarbage(
  database: Database,
  lease: Lease,
  request: { waitMs: number; plannedMsMax: number; countMax: number },
): Promise<readonly string[]> {
  const { countMax, plannedMsMax, waitMs } = request;
  return database.transaction(async ({ sql }) => {
    const [fence, , due] = await Promise.all([
      fenceShard(sql, lease),
      sql`
        UPDATE cold_ranges SET state = 'retired', changed_at = clock_timestamp()
        WHERE shard_id = ${lease.shardId} AND state = 'planned'
          AND changed_at < clock_timestamp() - ${plannedMsMax}::float8 * interval '1 millisecond'`,
      sql<{ object_id: string }[]>`
        SELECT object_id FROM cold_ranges
        WHERE shard_id = ${lease.shardId} AND state = 'retired'
          AND changed_at < clock_timestamp() - ${waitMs}::float8 * interval '1 millisecond'
        ORDER BY changed_at LIMIT ${countMax}::int`,
    ]);
    requireLease(fence, lease);
    return due.map((row) => row.object_id);
  });
}

/** Their objects have been deleted. */
export async function forgetColdGarbage(
  database: Database,
  lease: Lease,
  objectIds: readonly string[],
): Promise<void> {
  await database.transaction(async ({ sql }) => {
    const [fence] = await Promise.all([
      fenceShard(sql, lease),
      sql`
        DELETE FROM cold_ranges
        WHERE object_id = ANY(${textArray(objectIds)}::uuid[]) AND state = 'retired'`,
    ]);
    requireLease(fence, lease);
  });
}

/**
 * Gives up a range whose object can't be read, if nobody may read its offsets any more: they lie below
 * the log start, or the topic is deleted. false: they do not. Its segments stay in the bucket.
 */
export async function dropColdRange(
  database: Database,
  lease: Lease,
  range: { readonly objectId: string; readonly partitionId: number },
): Promise<boolean> {
  return database.transaction(async ({ sql }) => {
    const [fence, , dropped] = await Promise.all([
      fenceShard(sql, lease),
      sql`SELECT FROM partitions WHERE partition_id = ${range.partitionId} FOR UPDATE`,
      sql<{ size_bytes: number }[]>`
        UPDATE cold_ranges c SET state = 'retired', changed_at = clock_timestamp()
        FROM partitions p
        WHERE c.object_id = ${range.objectId} AND c.state = 'live'
          AND p.partition_id = c.partition_id AND p.shard_id = ${lease.shardId}
          AND (p.deleted_at IS NOT NULL OR p.log_start_offset >= c.next_offset)
        RETURNING c.size_bytes`,
    ]);
    requireLease(fence, lease);
    const [row] = dropped;
    if (row === undefined) return false;
    await sql`
      UPDATE partitions SET size_bytes = size_bytes - ${row.size_bytes}::bigint
      WHERE partition_id = ${range.partitionId}`;
    return true;
  });
}

export async function countCold(database: Database, shardId: number): Promise<ColdCounts> {
  const rows = await database.read(
    (sql) => sql<
      {
        ranges: number;
        cold_extents: number;
        other_objects: number;
        extent_rows: number;
        segment_rows: number;
      }[]
    >`
      SELECT count(*) FILTER (WHERE state = 'live')::int AS ranges,
        coalesce(sum(extents) FILTER (WHERE state = 'live'), 0)::bigint AS cold_extents,
        count(*) FILTER (WHERE state <> 'live')::int AS other_objects,
        (SELECT greatest(reltuples, 0)::float8 FROM pg_class WHERE oid = 'extents'::regclass)
          AS extent_rows,
        (SELECT greatest(reltuples, 0)::float8 FROM pg_class WHERE oid = 'segments'::regclass)
          AS segment_rows
      FROM cold_ranges WHERE shard_id = ${shardId}`,
  );
  const [row] = rows;
  return {
    ranges: row?.ranges ?? 0,
    coldExtents: row?.cold_extents ?? 0,
    otherObjects: row?.other_objects ?? 0,
    extentRows: row?.extent_rows ?? 0,
    segmentRows: row?.segment_rows ?? 0,
  };
}
