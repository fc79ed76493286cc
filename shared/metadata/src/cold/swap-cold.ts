import type { ColdExtent } from '@kafscale/codec';
import { OperatingError } from '@kafscale/core';

import { numberArray, textArray } from '../arrays.js';
import type { Database, Sql } from '../database.js';
import { fenceShard, requireLease } from '../shards.js';
import type { Lease } from '../store-types.js';
import { countShared, superseded } from './count-shared.js';
import { insertThawed } from './insert-thawed.js';
import type { ColdRangeRow, ColdSwapResult } from './types.js';

/**
 * A change of where a piece of the index is, in one transaction or not at all:
 *
 * - freeze: `leaving` rows become the range `becomes`;
 * - merge: the ranges `retires` become one;
 * - thaw: of one range the first extents become rows (`returning`), and the rest a smaller range.
 *
 * Locks. Commits are not touched: KEY SHARE of the partition passes their NO KEY UPDATE. Retention and the
 * purge of deleted topics hold FOR UPDATE, so they run before this, and then rows or ranges are missing
 * here, or after it, and then they find what this has made. Against a compaction swap, which also
 * holds KEY SHARE, the rows themselves decide: whoever deletes second finds fewer than it read. Two
 * changes of one range wait for each other's row of cold_ranges, and the second finds it retired.
 */
export interface ColdSwap {
  readonly partitionId: number;
  readonly leaving?: readonly ColdExtent[];
  readonly retires?: readonly string[];
  readonly returning?: readonly ColdExtent[];
  /** Announced before, with `planColdRange`. */
  readonly becomes?: ColdRangeRow;
  /** Of freezing: a younger segment may still be asked for its answer. */
  readonly ageMs: number;
}

export async function swapCold(
  database: Database,
  lease: Lease,
  swap: ColdSwap,
): Promise<ColdSwapResult> {
  try {
    await database.transaction(async ({ sql }) => {
      const [fence, partition] = await Promise.all([
        fenceShard(sql, lease),
        // Of a deleted topic too: a range has to come back before it can be removed.
        sql<{ is_deleted: boolean }[]>`
          SELECT deleted_at IS NOT NULL AS is_deleted FROM partitions
          WHERE partition_id = ${swap.partitionId} AND shard_id = ${lease.shardId} FOR KEY SHARE`,
      ]);
      requireLease(fence, lease);
      const [row] = partition;
      if (row === undefined) throw superseded();
      const isThaw = swap.returning !== undefined;
      if (row.is_deleted && !isThaw) throw superseded();
      if (swap.leaving !== undefined) await takeRows(sql, swap.leaving, swap);
      await retire(sql, swap.retires ?? []);
      if (swap.becomes !== undefined) await enliven(sql, swap.becomes);
      if (swap.returning !== undefined)
        await insertThawed(sql, lease, swap.partitionId, swap.returning);
    });
    return 'swapped';
  } catch (error) {
    if (error instanceof OperatingError && error.code === 'COLD_SWAP_SUPERSEDED') {
      return 'superseded';
    }
    throw error;
  }
}

/** Before its object is stored: so that one that never comes into use is found again. */
export async function planColdRange(
  database: Database,
  lease: Lease,
  range: ColdRangeRow,
): Promise<void> {
  await database.transaction(async ({ sql }) => {
    const [fence] = await Promise.all([
      fenceShard(sql, lease),
      sql`
        INSERT INTO cold_ranges (object_id, shard_id, partition_id, base_offset, next_offset,
          extents, size_bytes, max_timestamp_ms, prefix_max_timestamp_ms, first_next_offset,
          first_length, first_timestamp_ms, state, changed_at)
        VALUES (${range.objectId}::uuid, ${lease.shardId}::int, ${range.partitionId}::int,
          ${range.baseOffset}::bigint, ${range.nextOffset}::bigint, ${range.extents}::int,
          ${range.sizeBytes}::bigint, ${range.maxTimestampMs}::bigint,
          ${range.prefixMaxTimestampMs}::bigint, ${range.first.nextOffset}::bigint,
          ${range.first.length}::bigint, ${range.first.timestampMs}::bigint, 'planned',
          clock_timestamp())`,
    ]);
    requireLease(fence, lease);
  });
}

/** The rows that were read, and no others; segments that had no other extent go with them. */
async function takeRows(
  sql: Sql,
  extents: readonly ColdExtent[],
  { ageMs, partitionId }: ColdSwap,
): Promise<void> {
  const [taken] = await sql<{ extents: number }[]>`
    WITH taken AS (
      DELETE FROM extents e USING unnest(
        ${numberArray(extents.map((each) => each.baseOffset))}::bigint[],
        ${numberArray(extents.map((each) => each.nextOffset))}::bigint[],
        ${textArray(extents.map((each) => each.segmentId))}::uuid[],
        ${numberArray(extents.map((each) => each.position))}::bigint[],
        ${numberArray(extents.map((each) => each.length))}::bigint[]
      ) AS k (base_offset, next_offset, segment_id, position, length)
      WHERE e.partition_id = ${partitionId} AND e.base_offset = k.base_offset
        AND e.next_offset = k.next_offset AND e.segment_id = k.segment_id
        AND e.position = k.position AND e.length = k.length
      RETURNING 1
    ) SELECT count(*)::int AS extents FROM taken`;
  if (taken?.extents !== extents.length) throw superseded();
  await takeSegments(sql, extents, ageMs);
  await countShared(sql, extents, 1);
}

/**
 * The condition on the watermark is what keeps the sweep away from what has no row: it deletes only what
 * was born since the watermark, which it reads in the statement that finds no row.
 */
async function takeSegments(
  sql: Sql,
  extents: readonly ColdExtent[],
  ageMs: number,
): Promise<void> {
  const own = extents.filter(({ isShared }) => !isShared).map(({ segmentId }) => segmentId);
  if (own.length === 0) return;
  const [taken] = await sql<{ segments: number }[]>`
    WITH locked AS (
      SELECT segment_id FROM segments WHERE segment_id = ANY(${textArray(own)}::uuid[])
      ORDER BY segment_id FOR UPDATE
    ), taken AS (
      DELETE FROM segments s USING locked l
      WHERE s.segment_id = l.segment_id AND s.live_extents = 1 AND s.cold_extents = 0
        AND s.birth_ms < (SELECT watermark_ms FROM orphan_sweep)
        AND s.birth_ms < extract(epoch FROM clock_timestamp()) * 1000 - ${ageMs}::float8
      RETURNING 1
    ) SELECT count(*)::int AS segments FROM taken`;
  if (taken?.segments !== own.length) throw superseded();
}

async function retire(sql: Sql, objectIds: readonly string[]): Promise<void> {
  if (objectIds.length === 0) return;
  const rows = await sql`
    UPDATE cold_ranges SET state = 'retired', changed_at = clock_timestamp()
    WHERE object_id = ANY(${textArray(objectIds)}::uuid[]) AND state = 'live'
    RETURNING object_id`;
  if (rows.length !== objectIds.length) throw superseded();
}

/** Not if it was planned so long ago that its object counts as garbage. */
async function enliven(sql: Sql, range: ColdRangeRow): Promise<void> {
  const rows = await sql`
    UPDATE cold_ranges SET state = 'live', changed_at = clock_timestamp()
    WHERE object_id = ${range.objectId} AND state = 'planned' RETURNING object_id`;
  if (rows.length !== 1) throw superseded();
}
