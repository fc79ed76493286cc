import { invariant } from '@kafscale/core';
import type postgres from 'postgres';

import { numberArray } from '../arrays.js';
import type { Database } from '../database.js';
import { fenceShard, requireLease } from '../shards.js';
import type { Lease } from '../store-types.js';

export interface DeleteRecordsWish {
  readonly partitionId: number;
  /** The first offset to keep; −1: the high watermark, so that nothing is kept. */
  readonly offset: number;
}

export type DeleteRecordsOutcome =
  /** `moved` is false when the log started there, or later, already. */
  | { readonly kind: 'done'; readonly logStartOffset: number; readonly moved: boolean }
  /** Negative, or beyond the high watermark. */
  | { readonly kind: 'outOfRange' }
  /** There is no such partition (any more). */
  | { readonly kind: 'unknown' };

interface PartitionRow {
  readonly partition_id: number;
  readonly log_start_offset: number;
  readonly next_offset: number;
}

/**
 * Moves log starts; one outcome per wish. No index row goes: retention removes those below a log
 * start, and the one that it lies within stays.
 */
export async function deleteRecords(
  database: Database,
  lease: Lease,
  wishes: readonly DeleteRecordsWish[],
): Promise<readonly DeleteRecordsOutcome[]> {
  const partitionIds = wishes.map((wish) => wish.partitionId);
  invariant(new Set(partitionIds).size === partitionIds.length, 'one wish per partition');
  return database.transaction(async ({ sql, commitWith }) => {
    const [fence, rows] = await Promise.all([
      fenceShard(sql, lease),
      // In id order, like commits.
      sql<PartitionRow[]>`
        SELECT partition_id, log_start_offset, next_offset FROM partitions
        WHERE partition_id = ANY(${numberArray(partitionIds)}::int[])
          AND shard_id = ${lease.shardId} AND deleted_at IS NULL
        ORDER BY partition_id FOR UPDATE`,
    ]);
    requireLease(fence, lease);
    const partitions = new Map(rows.map((row) => [row.partition_id, row]));
    const outcomes = wishes.map((wish) => outcomeOf(wish, partitions.get(wish.partitionId)));
    const moves = wishes.flatMap(({ partitionId }, index) => {
      const outcome = outcomes[index];
      return outcome?.kind === 'done' && outcome.moved ? [{ partitionId, ...outcome }] : [];
    });
    if (moves.length === 0) return outcomes;
    const update = sql<postgres.MaybeRow[]>`
      WITH updated AS (
        UPDATE partitions p SET log_start_offset = k.log_start_offset
        FROM unnest(
          ${numberArray(moves.map((move) => move.partitionId))}::int[],
          ${numberArray(moves.map((move) => move.logStartOffset))}::bigint[]
        ) AS k (partition_id, log_start_offset)
        WHERE p.partition_id = k.partition_id AND p.log_start_offset < k.log_start_offset
        RETURNING 1
      )
      SELECT kafscale_expect(count(*), ${moves.length}::bigint, 'partitions of a DeleteRecords')
      FROM updated`;
    await commitWith([update]);
    return outcomes;
  });
}

/** Kafka: Partition.deleteRecordsOnLeader, UnifiedLog.maybeIncrementLogStartOffset. */
function outcomeOf(wish: DeleteRecordsWish, row: PartitionRow | undefined): DeleteRecordsOutcome {
  if (row === undefined) return { kind: 'unknown' };
  const offset = wish.offset === -1 ? row.next_offset : wish.offset;
  if (offset < 0 || offset > row.next_offset) return { kind: 'outOfRange' };
  const moved = offset > row.log_start_offset;
  return { kind: 'done', logStartOffset: moved ? offset : row.log_start_offset, moved };
}
