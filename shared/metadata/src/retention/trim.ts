import { invariant } from '@kafscale/core';
import type postgres from 'postgres';

import { numberArray } from '../arrays.js';
import type { Database, Sql } from '../database.js';
import { fenceShard, requireLease } from '../shards.js';
import type { Lease } from '../store-types.js';
import type { RetentionPolicy, TrimDecision, TrimExtent, TrimPartition } from './decide-trim.js';
import { decideTrim } from './decide-trim.js';
import { releaseSegments } from './release-segments.js';

/** A partition and what its topic says about retention. */
export interface RetentionWish extends RetentionPolicy {
  readonly partitionId: number;
}

export interface TrimmedPartition extends TrimDecision {
  readonly partitionId: number;
  /** The log start is another one than before: tell everybody. */
  readonly moved: boolean;
  /** What goes next is in a cold range: it has to come back first. */
  readonly isCold: boolean;
}

interface PartitionRow {
  readonly partition_id: number;
  readonly log_start_offset: number;
  readonly next_offset: number;
  readonly size_bytes: number;
}

interface ExtentRow {
  readonly partition_id: number;
  readonly base_offset: number;
  readonly next_offset: number;
  readonly length: number;
  readonly timestamp_ms: number;
  /** The first extent of the oldest cold range: what is behind it is not known here. */
  readonly is_cold: boolean;
}

interface Judged {
  readonly wish: RetentionWish;
  readonly partition: TrimPartition;
  readonly decision: TrimDecision;
  readonly isCold: boolean;
}

/**
 * One step of retention for some partitions, in a transaction that looks at `extentsMax` index rows
 * at most. Partitions that do not exist (any more) are left out of the answer.
 */
export async function trimPartitions(
  database: Database,
  lease: Lease,
  request: { wishes: readonly RetentionWish[]; extentsMax: number },
): Promise<readonly TrimmedPartition[]> {
  const { extentsMax, wishes } = request;
  invariant(wishes.length > 0 && extentsMax >= wishes.length, 'a step looks at each partition');
  const perPartition = Math.floor(extentsMax / wishes.length);
  const partitionIds = numberArray(wishes.map((wish) => wish.partitionId));
  return database.transaction(async ({ sql, commitWith }) => {
    const [fence, partitions, extents, [clock]] = await Promise.all([
      fenceShard(sql, lease),
      // In id order, like commits.
      sql<PartitionRow[]>`
        SELECT partition_id, log_start_offset, next_offset, size_bytes FROM partitions
        WHERE partition_id = ANY(${partitionIds}::int[])
          AND shard_id = ${lease.shardId} AND deleted_at IS NULL
        ORDER BY partition_id FOR UPDATE`,
      selectFirstExtents(sql, partitionIds, perPartition),
      selectClock(sql),
    ]);
    requireLease(fence, lease);
    const judged = judge(wishes, partitions, extents, { nowMs: nowOf(clock), perPartition });
    await commitWith(writes(sql, judged));
    return judged.map(({ decision, isCold, partition }) => ({
      ...decision,
      partitionId: partition.partitionId,
      moved: decision.logStartOffset > partition.logStartOffset,
      isCold,
    }));
  });
}

/**
 * What a step would find, from the first row of each partition: no locks, one row per partition.
 * `more`: a step has something to do.
 */
export async function probePartitions(
  database: Database,
  shardId: number,
  wishes: readonly RetentionWish[],
): Promise<readonly (TrimDecision & { readonly partitionId: number })[]> {
  const partitionIds = numberArray(wishes.map((wish) => wish.partitionId));
  return database.transaction(async ({ sql }) => {
    // One state: a commit in between would make the size of a partition that of other rows.
    const [, partitions, extents, [clock]] = await Promise.all([
      sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`,
      sql<PartitionRow[]>`
        SELECT partition_id, log_start_offset, next_offset, size_bytes FROM partitions
        WHERE partition_id = ANY(${partitionIds}::int[])
          AND shard_id = ${shardId} AND deleted_at IS NULL`,
      selectFirstExtents(sql, partitionIds, 1),
      selectClock(sql),
    ]);
    const judged = judge(wishes, partitions, extents, { nowMs: nowOf(clock), perPartition: 1 });
    return judged.map(({ decision, partition }) => ({
      ...decision,
      partitionId: partition.partitionId,
    }));
  });
}

function judge(
  wishes: readonly RetentionWish[],
  partitions: readonly PartitionRow[],
  extents: readonly ExtentRow[],
  how: { readonly nowMs: number; readonly perPartition: number },
): Judged[] {
  const rows = new Map(partitions.map((row) => [row.partition_id, row]));
  const byPartition = groupRows(extents);
  return wishes.flatMap((wish): Judged[] => {
    const row = rows.get(wish.partitionId);
    if (row === undefined) return [];
    const first = byPartition.get(wish.partitionId) ?? [];
    return [judgeOne(wish, partitionOf(row), first, how)];
  });
}

/**
 * A cold extent can be seen to expire, and so move the log start; only rows are deleted. Once it is
 * below the log start it bars the way: the rows before it go, and then it has to come back.
 */
function judgeOne(
  wish: RetentionWish,
  partition: TrimPartition,
  first: readonly SeenExtent[],
  how: { readonly nowMs: number; readonly perPartition: number },
): Judged {
  const { nowMs } = how;
  const last = first.at(-1);
  const isBarred = last?.isCold === true && last.nextOffset <= partition.logStartOffset;
  const rows = isBarred ? first.slice(0, -1) : first;
  const isAll = last?.isCold !== true && first.length < how.perPartition;
  const decision = decideTrim(partition, rows, wish, { nowMs, isAll });
  return { wish, partition, decision, isCold: isBarred && rows.length === 0 };
}

type SeenExtent = TrimExtent & { readonly isCold: boolean };

function groupRows(extents: readonly ExtentRow[]): Map<number, SeenExtent[]> {
  const groups = new Map<number, SeenExtent[]>();
  for (const row of extents) {
    const extent: SeenExtent = {
      baseOffset: row.base_offset,
      nextOffset: row.next_offset,
      length: row.length,
      timestampMs: row.timestamp_ms,
      isCold: row.is_cold,
    };
    const group = groups.get(row.partition_id);
    if (group === undefined) groups.set(row.partition_id, [extent]);
    else group.push(extent);
  }
  return groups;
}

/**
 * Rows up to the oldest cold range, then the first extent of that. Kafka's LogSegment.largestTimestamp:
 * records without timestamps are as old as their segment.
 */
function selectFirstExtents(sql: Sql, partitionIds: string, perPartition: number) {
  return sql<ExtentRow[]>`
    SELECT k.partition_id, f.base_offset, f.next_offset, f.length,
      CASE WHEN f.max_timestamp_ms >= 0 THEN f.max_timestamp_ms
           ELSE (SELECT floor(extract(epoch FROM s.committed_at) * 1000)::bigint
                 FROM segments s WHERE s.segment_id = f.segment_id) END AS timestamp_ms,
      f.segment_id IS NULL AS is_cold
    FROM unnest(${partitionIds}::int[]) AS k (partition_id)
    LEFT JOIN LATERAL (
      SELECT c.base_offset, c.first_next_offset AS next_offset, c.first_length AS length,
        c.first_timestamp_ms AS max_timestamp_ms
      FROM cold_ranges c WHERE c.partition_id = k.partition_id AND c.state = 'live'
      ORDER BY c.base_offset LIMIT 1
    ) c ON true
    CROSS JOIN LATERAL (
      (SELECT e.base_offset, e.next_offset, e.length, e.max_timestamp_ms, e.segment_id
       FROM extents e WHERE e.partition_id = k.partition_id
         AND (c.base_offset IS NULL OR e.base_offset < c.base_offset)
       ORDER BY e.base_offset LIMIT ${perPartition}::int)
      UNION ALL
      SELECT c.base_offset, c.next_offset, c.length, c.max_timestamp_ms, NULL::uuid
      WHERE c.base_offset IS NOT NULL
      ORDER BY base_offset LIMIT ${perPartition}::int
    ) f
    ORDER BY k.partition_id, f.base_offset`;
}

interface ClockRow {
  readonly now_ms: number;
}

function selectClock(sql: Sql) {
  return sql<ClockRow[]>`
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms`;
}

function nowOf(row: ClockRow | undefined): number {
  invariant(row !== undefined, 'the database tells the time');
  return row.now_ms;
}

type Statement = postgres.PendingQuery<postgres.MaybeRow[]>;

function writes(sql: Sql, judged: readonly Judged[]): Statement[] {
  const changed = judged.filter(
    ({ decision, partition }) =>
      decision.deadExtents > 0 || decision.logStartOffset > partition.logStartOffset,
  );
  const trimmed = changed.filter(({ decision }) => decision.deadExtents > 0);
  return [
    ...(trimmed.length > 0 ? [deleteExtents(sql, trimmed)] : []),
    ...(changed.length > 0 ? [updatePartitions(sql, changed)] : []),
  ];
}

/** Everything that removes or replaces index rows holds the locks of their partitions. */
function deleteExtents(sql: Sql, trimmed: readonly Judged[]): Statement {
  const count = trimmed.reduce((sum, { decision }) => sum + decision.deadExtents, 0);
  return sql`
    WITH trimmed AS (
      SELECT * FROM unnest(
        ${numberArray(trimmed.map(({ partition }) => partition.partitionId))}::int[],
        ${numberArray(trimmed.map(({ decision }) => decision.deadEndOffset))}::bigint[]
      ) AS k (partition_id, end_offset)
    ), deleted AS (
      DELETE FROM extents e USING trimmed k
      WHERE e.partition_id = k.partition_id AND e.base_offset < k.end_offset
      RETURNING e.segment_id
    ), ${releaseSegments(sql)}
    SELECT kafscale_expect((SELECT count(*) FROM deleted), ${count}::bigint,
                           'extents of a retention step'),
           kafscale_expect((SELECT count(*) FROM released), (SELECT count(*) FROM counted),
                           'segments of a retention step')`;
}

function updatePartitions(sql: Sql, changed: readonly Judged[]): Statement {
  return sql`
    WITH updated AS (
      UPDATE partitions p SET
        log_start_offset = k.log_start_offset,
        size_bytes = p.size_bytes - k.dead_bytes
      FROM unnest(
        ${numberArray(changed.map(({ partition }) => partition.partitionId))}::int[],
        ${numberArray(changed.map(({ decision }) => decision.logStartOffset))}::bigint[],
        ${numberArray(changed.map(({ decision }) => decision.deadBytes))}::bigint[]
      ) AS k (partition_id, log_start_offset, dead_bytes)
      WHERE p.partition_id = k.partition_id
      RETURNING 1
    )
    SELECT kafscale_expect(count(*), ${changed.length}::bigint, 'partitions of a retention step')
    FROM updated`;
}

function partitionOf(row: PartitionRow): TrimPartition {
  return {
    partitionId: row.partition_id,
    logStartOffset: row.log_start_offset,
    nextOffset: row.next_offset,
    sizeBytes: row.size_bytes,
  };
}
