import type {
  IndexColdRange,
  IndexExtent,
  IndexGroup,
  IndexPartition,
  IndexProducer,
  IndexSegment,
  IndexTopic,
} from '@kafscale/codec';
import { invariant, limits } from '@kafscale/core';

import type { Sql } from '../database.js';
import { requireLease } from '../shards.js';
import type { MetadataStore } from '../store.js';
import type { Lease } from '../store-types.js';
import { coldRangesOf, coldRangesRetiredSince, liveColdRanges } from './read-cold.js';
import { extentsCommittedSince, extentsOfRanges, liveExtents } from './read-extents.js';
import type { OffsetRange } from './read-extents.js';
import { groupIdsChangedSince, groupsOf, liveGroups } from './read-groups.js';
import { changedProducers, liveProducers } from './read-producers.js';
import { liveSegments, segmentsOf } from './read-segments.js';
import { partitionsOf, topicsOf } from './read-topics.js';

/** What of the cluster belongs to every entry of the index in the bucket. */
export interface ShardState {
  readonly clusterId: string;
  readonly incarnation: number;
  readonly shardEpoch: number;
  /** Not before the state was seen. */
  readonly databaseTimeMs: number;
  readonly nextProducerId: number;
  /** Producer ids that are from before a recovery; −1: there was none. */
  readonly recoveryFloor: number;
}

type Pages<T> = AsyncGenerator<readonly T[], void>;

/**
 * Everything of one shard, as of one moment, page by page: for the index in the bucket. Deleted
 * topics, and what they left, are not part of it.
 */
export class ShardSnapshot {
  readonly state: ShardState;
  readonly #sql: Sql;
  readonly #shardId: number;

  constructor(sql: Sql, shardId: number, state: ShardState) {
    this.#sql = sql;
    this.#shardId = shardId;
    this.state = state;
  }

  /** Those of `topicIds` that exist, or all. */
  topics(topicIds: readonly string[] | null): Pages<IndexTopic> {
    return topicsOf(this.#sql, this.#shardId, topicIds);
  }

  /** Those of `partitionIds` that exist, or all. */
  partitions(partitionIds: readonly number[] | null): Pages<IndexPartition> {
    return partitionsOf(this.#sql, this.#shardId, partitionIds);
  }

  liveExtents(): Pages<IndexExtent> {
    return liveExtents(this.#sql, this.#shardId);
  }

  /** Those that begin in one of the ranges. */
  extentsOfRanges(ranges: readonly OffsetRange[]): Pages<IndexExtent> {
    return extentsOfRanges(this.#sql, ranges);
  }

  extentsCommittedSince(databaseTimeMs: number): Pages<IndexExtent> {
    return extentsCommittedSince(this.#sql, this.#shardId, databaseTimeMs);
  }

  /** Pieces of the index that are in objects of their own. */
  coldRanges(): Pages<IndexColdRange> {
    return liveColdRanges(this.#sql, this.#shardId);
  }

  /** Those that begin in one of the ranges. */
  coldRangesOf(ranges: readonly OffsetRange[]): Pages<IndexColdRange> {
    return coldRangesOf(this.#sql, ranges);
  }

  coldRangesRetiredSince(databaseTimeMs: number): Promise<readonly OffsetRange[]> {
    return coldRangesRetiredSince(this.#sql, this.#shardId, databaseTimeMs);
  }

  /** Segments that index rows refer to. */
  liveSegments(): Pages<IndexSegment> {
    return liveSegments(this.#sql, this.#shardId);
  }

  segmentsOf(segmentIds: readonly string[]): Promise<readonly IndexSegment[]> {
    return segmentsOf(this.#sql, segmentIds);
  }

  liveProducers(): Pages<IndexProducer> {
    return liveProducers(this.#sql, this.#shardId);
  }

  /** Written since; of `partitionIds`, or of all. */
  changedProducers(
    partitionIds: readonly number[] | null,
    sinceDatabaseTimeMs: number,
  ): Pages<IndexProducer> {
    return changedProducers(this.#sql, {
      shardId: this.#shardId,
      partitionIds,
      sinceDatabaseTimeMs,
    });
  }

  liveGroups(): Pages<IndexGroup> {
    return liveGroups(this.#sql, this.#shardId);
  }

  /** A group that is no more is marked deleted. */
  groupsOf(groupIds: readonly string[]): Pages<IndexGroup> {
    return groupsOf(this.#sql, this.#shardId, groupIds);
  }

  /** Whether there is anything to keep at all. */
  async isEmpty(): Promise<boolean> {
    const rows = await this.#sql<{ is_empty: boolean }[]>`
      SELECT NOT EXISTS (SELECT FROM topics WHERE shard_id = ${this.#shardId} AND deleted_at IS NULL)
        AND NOT EXISTS (SELECT FROM consumer_groups WHERE shard_id = ${this.#shardId}) AS is_empty`;
    return rows[0]?.is_empty === true;
  }

  groupIdsChangedSince(databaseTimeMs: number): Promise<readonly string[]> {
    return groupIdsChangedSince(this.#sql, this.#shardId, databaseTimeMs);
  }
}

/**
 * Runs `work` on one state of the shard: a REPEATABLE READ transaction that locks nothing and that
 * only an owner of `lease` gets. Errors: SHARD_LEASE_LOST, METADATA_*.
 */
export async function readShard<T>(
  store: MetadataStore,
  lease: Lease,
  work: (snapshot: ShardSnapshot) => Promise<T>,
): Promise<T> {
  return store.database.transaction(
    async ({ sql }) => {
      await sql.unsafe(`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
        SET LOCAL idle_in_transaction_session_timeout = ${limits.indexTransactionMsMax}`);
      const state = await readState(sql, lease);
      return work(new ShardSnapshot(sql, lease.shardId, state));
    },
    { timeoutMs: limits.indexTransactionMsMax },
  );
}

interface StateRow {
  readonly cluster_id: string;
  readonly incarnation: number;
  readonly epoch: number;
  readonly now_ms: number;
  readonly next_producer_id: number;
  readonly producer_state_floor: number;
}

/** The first statement of the transaction: it fixes what all the others see. */
async function readState(sql: Sql, lease: Lease): Promise<ShardState> {
  const rows = await sql<StateRow[]>`
    SELECT c.cluster_id, c.incarnation, s.epoch, p.next_producer_id, c.producer_state_floor,
      floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms
    FROM cluster c, shards s, producer_ids p
    WHERE s.shard_id = ${lease.shardId} AND s.epoch = ${lease.epoch}`;
  requireLease(rows, lease);
  const [row] = rows;
  invariant(row !== undefined, 'a lease that holds has a row');
  return {
    clusterId: row.cluster_id,
    incarnation: row.incarnation,
    shardEpoch: row.epoch,
    databaseTimeMs: row.now_ms,
    nextProducerId: row.next_producer_id,
    recoveryFloor: row.producer_state_floor,
  };
}
