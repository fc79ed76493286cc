import { invariant, OperatingError } from '@kafscale/core';
import type postgres from 'postgres';

import { numberArray } from '../arrays.js';
import type { Database, Sql } from '../database.js';
import { releaseSegments } from '../retention/release-segments.js';
import { fenceShard, requireLease } from '../shards.js';
import type { Lease } from '../store-types.js';
import { mergeRowColumns } from './types.js';
import type { MergedSegment, MergePlan, MergeRun, SwapResult } from './types.js';

/** No ingest node has the bytes of a merged segment in memory. */
const noNode = -1;
/** Nobody ever commits a merged segment. */
const noAnswer = '[]';

/** What was deleted, by run or by segment; of the other one it has null. */
interface DeletedRow {
  readonly run: number | null;
  readonly segment_id: string | null;
  readonly extents: number;
  readonly max_timestamp_ms: number;
  readonly prefix_max_timestamp_ms: number;
}

type Statement = postgres.PendingQuery<postgres.MaybeRow[]>;

export interface SwapRequest {
  readonly lease: Lease;
  readonly plan: MergePlan;
  readonly merged: MergedSegment;
  /** A segment that is older is garbage already: its object may be deleted at any moment. */
  readonly ageMsMax: number;
}

/**
 * Replaces the rows of a plan by one row per run, in one transaction, or does nothing.
 *
 * The rows are those that were read if in every run as many are deleted as were read, and of every
 * segment as many: a segment's rows are inserted with the segment and only ever deleted, so equal
 * numbers of the same segments are the same rows.
 *
 * Locks. A commit and this have nothing to wait for in one another: KEY SHARE of a partition passes
 * the NO KEY UPDATE of a commit, and rows of the past are not its business. What deletes rows (retention,
 * the purge of deleted topics) takes FOR UPDATE, so it runs before this, and then rows are missing
 * here, or after it, and then it finds the merged row. Without the lock the purge could delete the old
 * rows' partition between the two, and the merged row would stay for ever.
 */
export async function swapExtents(database: Database, request: SwapRequest): Promise<SwapResult> {
  const { lease, merged, plan } = request;
  invariant(plan.runs.length === merged.extents.length, 'every run became an extent');
  try {
    await database.transaction(async ({ sql, commitWith }) => {
      const [fence, partitions, deleted, nowMs] = await Promise.all([
        fenceShard(sql, lease),
        lockPartitions(sql, lease, plan.runs),
        deleteRows(sql, plan.runs),
        readNowMs(sql),
      ]);
      requireLease(fence, lease);
      const wanted = new Set(plan.runs.map((run) => run.partitionId));
      if (partitions.length !== wanted.size) throw superseded();
      if (nowMs - plan.birthMs > request.ageMsMax) throw superseded();
      if (!areThoseRead(plan, deleted)) throw superseded();
      await commitWith(writes(sql, request, deleted));
    });
    return 'swapped';
  } catch (error) {
    if (error instanceof OperatingError && error.code === 'MERGE_SUPERSEDED') return 'superseded';
    throw error;
  }
}

function lockPartitions(sql: Sql, lease: Lease, runs: readonly MergeRun[]) {
  const partitionIds = [...new Set(runs.map((run) => run.partitionId))];
  return sql<{ partition_id: number }[]>`
    SELECT partition_id FROM partitions
    WHERE partition_id = ANY(${numberArray(partitionIds)}::int[])
      AND shard_id = ${lease.shardId} AND deleted_at IS NULL
    ORDER BY partition_id FOR KEY SHARE`;
}

function deleteRows(sql: Sql, runs: readonly MergeRun[]) {
  return sql<DeletedRow[]>`
    WITH runs AS (
      SELECT * FROM unnest(
        ${numberArray(runs.map((run) => run.partitionId))}::int[],
        ${numberArray(runs.map((run) => run.baseOffset))}::bigint[],
        ${numberArray(runs.map((run) => run.nextOffset))}::bigint[]
      ) WITH ORDINALITY AS k (partition_id, base_offset, next_offset, run)
    ), deleted AS (
      DELETE FROM extents e USING runs k
      WHERE e.partition_id = k.partition_id
        AND e.base_offset >= k.base_offset AND e.base_offset < k.next_offset
      RETURNING k.run, e.segment_id, e.max_timestamp_ms, e.prefix_max_timestamp_ms
    ), ${releaseSegments(sql)}
    SELECT (run - 1)::int AS run, segment_id, count(*)::int AS extents,
           max(max_timestamp_ms) AS max_timestamp_ms,
           max(prefix_max_timestamp_ms) AS prefix_max_timestamp_ms
    FROM deleted GROUP BY GROUPING SETS ((run), (segment_id))`;
}

async function readNowMs(sql: Sql): Promise<number> {
  const [row] = await sql<{ now_ms: number }[]>`
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms`;
  invariant(row !== undefined, 'the database tells the time');
  return row.now_ms;
}

function areThoseRead(plan: MergePlan, deleted: readonly DeletedRow[]): boolean {
  const wantedOfSegment = new Map<string, number>();
  for (const { rows } of plan.runs) {
    for (let at = 0; at < rows.length; at += mergeRowColumns.count) {
      const segmentId = plan.segmentIds[rows[at + mergeRowColumns.segment] ?? -1];
      invariant(segmentId !== undefined, 'a row names a segment of its plan');
      wantedOfSegment.set(segmentId, (wantedOfSegment.get(segmentId) ?? 0) + 1);
    }
  }
  let runs = 0;
  let segments = 0;
  for (const { extents, run, segment_id: segmentId } of deleted) {
    if (run !== null) runs += 1;
    if (segmentId !== null) segments += 1;
    const wanted = run === null ? wantedOfSegment.get(segmentId ?? '') : plan.runs[run]?.rowCount;
    if (wanted !== extents) return false;
  }
  return runs === plan.runs.length && segments === wantedOfSegment.size;
}

function superseded(): OperatingError {
  return new OperatingError('MERGE_SUPERSEDED', 'the rows are not those that were read any more');
}

function writes(sql: Sql, request: SwapRequest, deleted: readonly DeletedRow[]): Statement[] {
  const { merged, plan } = request;
  const shrunk = plan.runs.some((run, index) => run.bytes !== merged.extents[index]?.length);
  return [
    insertSegment(sql, request),
    insertExtents(sql, request, deleted),
    ...(shrunk ? [shrinkPartitions(sql, request)] : []),
  ];
}

function insertSegment(sql: Sql, { lease, merged, plan }: SwapRequest): Statement {
  return sql`
    INSERT INTO segments (segment_id, shard_id, node_id, incarnation, birth_ms, committed_at,
                          size_bytes, live_extents, answer, is_compacted)
    VALUES (${merged.segmentId}::uuid, ${lease.shardId}::int, ${noNode}::int,
            ${plan.incarnation}::int, ${plan.birthMs}::bigint, clock_timestamp(),
            ${merged.sizeBytes}::bigint, ${merged.extents.length}::int, ${noAnswer}::text, true)`;
}

/** prefix_max_timestamp_ms ascends with the offsets, so the greatest of a run is that of its last row. */
function insertExtents(
  sql: Sql,
  { merged, plan }: SwapRequest,
  deleted: readonly DeletedRow[],
): Statement {
  const { extents } = merged;
  const byRun: DeletedRow[] = [];
  for (const row of deleted) if (row.run !== null) byRun[row.run] = row;
  return sql`
    INSERT INTO extents (partition_id, base_offset, next_offset, segment_id, position, length,
                         first_timestamp_ms, max_timestamp_ms, prefix_max_timestamp_ms,
                         absolute_offsets)
    SELECT k.partition_id, k.base_offset, k.next_offset, ${merged.segmentId}::uuid, k.position,
           k.length, k.first_timestamp_ms, k.max_timestamp_ms, k.prefix_max_timestamp_ms, true
    FROM unnest(
      ${numberArray(plan.runs.map((run) => run.partitionId))}::int[],
      ${numberArray(plan.runs.map((run) => run.baseOffset))}::bigint[],
      ${numberArray(plan.runs.map((run) => run.nextOffset))}::bigint[],
      ${numberArray(extents.map((extent) => extent.position))}::bigint[],
      ${numberArray(extents.map((extent) => extent.length))}::bigint[],
      ${numberArray(extents.map((extent) => extent.firstTimestampMs))}::bigint[],
      ${numberArray(byRun.map((row) => row.max_timestamp_ms))}::bigint[],
      ${numberArray(byRun.map((row) => row.prefix_max_timestamp_ms))}::bigint[]
    ) AS k (partition_id, base_offset, next_offset, position, length, first_timestamp_ms,
            max_timestamp_ms, prefix_max_timestamp_ms)`;
}

/** Refused batches were left behind. Rare, so commits rarely wait for the end of this transaction. */
function shrinkPartitions(sql: Sql, { merged, plan }: SwapRequest): Statement {
  const freed = new Map<number, number>();
  for (const [index, run] of plan.runs.entries()) {
    const bytes = run.bytes - (merged.extents[index]?.length ?? 0);
    invariant(bytes >= 0, 'a merge adds no bytes');
    if (bytes > 0) freed.set(run.partitionId, (freed.get(run.partitionId) ?? 0) + bytes);
  }
  return sql`
    UPDATE partitions p SET size_bytes = p.size_bytes - k.bytes
    FROM unnest(${numberArray([...freed.keys()])}::int[], ${numberArray([...freed.values()])}::bigint[])
      AS k (partition_id, bytes)
    WHERE p.partition_id = k.partition_id`;
}
