import type { SegmentAnswer, SegmentCommit } from '@kafscale/cluster';
import { invariant } from '@kafscale/core';

import { numberArray, parseNumberArray, parseSafeIntegers, textArray } from '../arrays.js';
import type { Sql } from '../database.js';
import { fenceShard, requireLease } from '../shards.js';
import type { Lease } from '../store-types.js';
import { decodeAnswer } from './answer-text.js';
import type { CommitState, KeptBatch, PartitionState, ProducerState } from './types.js';

/**
 * Columns as arrays, in one row: a row of its own for each partition and producer costs the driver
 * four times as much as the array costs to parse. Null when there is none.
 */
interface PartitionColumns {
  readonly partition_ids: string | null;
  readonly log_start_offsets: string | null;
  readonly next_offsets: string | null;
  readonly max_timestamps_ms: string | null;
  readonly producer_state_floors: string | null;
}

interface ProducerColumns {
  readonly partition_ids: string | null;
  readonly producer_ids: string | null;
  readonly producer_epochs: string | null;
  /** 1 or 0 each. */
  readonly restored: string | null;
  /** How many numbers each producer has in `batches`. */
  readonly lengths: string | null;
  /** Of all producers, one after the other. */
  readonly batches: string | null;
}

interface ClusterRow {
  readonly incarnation: number;
  readonly now_ms: number;
}

/**
 * Takes the locks of a commit and reads what its decision needs, in one round trip. Each statement is
 * one of its own, and their order is the point: under READ COMMITTED a statement sees everything that
 * was committed before it *started*, so all that comes after the locks sees what the locks waited for.
 *
 * Why the stored answers and the time are read last. A commit was sent on a connection that hangs,
 * and is repeated on another. Had the second one read "no stored answer" and the time before it
 * waited for the first one's locks, it would say tooOld (or append again) although the first one
 * then commits. After the locks, either the first has committed, and its answer is found, or it will
 * wait for the second, and read a later time.
 */
export async function loadCommitState(
  sql: Sql,
  request: { lease: Lease; segments: readonly SegmentCommit[]; commitAgeMsMax: number },
): Promise<CommitState> {
  const { lease, segments } = request;
  const [fence, nodes, partitions, stored, cluster, producers] = await Promise.all([
    fenceShard(sql, lease),
    lockNodes(sql, segments),
    lockPartitions(sql, lease, segments),
    selectAnswers(sql, segments),
    sql<ClusterRow[]>`
      SELECT incarnation, (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms
      FROM cluster`,
    selectProducers(sql, segments),
  ]);
  requireLease(fence, lease);
  const [clusterRow] = cluster;
  invariant(clusterRow !== undefined, 'there is a cluster row');
  return {
    databaseTimeMs: clusterRow.now_ms,
    commitAgeMsMax: request.commitAgeMsMax,
    incarnation: clusterRow.incarnation,
    liveNodeIds: new Set(nodes.map((row) => row.node_id)),
    storedAnswers: new Map(
      stored.map((row): [string, SegmentAnswer] => [row.segment_id, decodeAnswer(row.answer)]),
    ),
    partitions: partitionsOf(partitions[0]),
    producers: producersOf(producers[0]),
  };
}

/** KEY SHARE: a heartbeat passes, a declaration of death (FOR UPDATE) waits for this commit. */
function lockNodes(sql: Sql, segments: readonly SegmentCommit[]) {
  const nodeIds = [...new Set(segments.map((segment) => segment.nodeId))];
  return sql<{ node_id: number }[]>`
    SELECT node_id FROM nodes
    WHERE node_id = ANY(${numberArray(nodeIds)}::int[]) AND state = 'live'
    ORDER BY node_id FOR KEY SHARE`;
}

/**
 * In id order, as everywhere, so that commits that cross wait for each other and never deadlock.
 * NO KEY UPDATE is all that an UPDATE needs, and passes the KEY SHARE of a swap of merged rows.
 */
function lockPartitions(sql: Sql, lease: Lease, segments: readonly SegmentCommit[]) {
  const partitionIds = new Set<number>();
  for (const segment of segments) {
    for (const extent of segment.extents) partitionIds.add(extent.partitionId);
  }
  return sql<PartitionColumns[]>`
    SELECT array_agg(partition_id)::text AS partition_ids,
      array_agg(log_start_offset)::text AS log_start_offsets,
      array_agg(next_offset)::text AS next_offsets,
      array_agg(max_timestamp_ms)::text AS max_timestamps_ms,
      array_agg(producer_state_floor)::text AS producer_state_floors
    FROM (
      SELECT partition_id, log_start_offset, next_offset, max_timestamp_ms, producer_state_floor
      FROM partitions
      WHERE partition_id = ANY(${numberArray([...partitionIds])}::int[])
        AND shard_id = ${lease.shardId} AND deleted_at IS NULL
      ORDER BY partition_id FOR NO KEY UPDATE
    ) AS locked`;
}

function selectAnswers(sql: Sql, segments: readonly SegmentCommit[]) {
  const segmentIds = segments.map((segment) => segment.segmentId);
  return sql<{ segment_id: string; answer: string }[]>`
    SELECT segment_id, answer FROM segments WHERE segment_id = ANY(${textArray(segmentIds)}::uuid[])`;
}

function selectProducers(sql: Sql, segments: readonly SegmentCommit[]) {
  const { partitionIds, producerIds } = producerKeys(segments);
  return sql<ProducerColumns[]>`
    SELECT array_agg(p.partition_id)::text AS partition_ids,
      array_agg(p.producer_id)::text AS producer_ids,
      array_agg(p.producer_epoch)::text AS producer_epochs,
      array_agg(p.is_restored::int)::text AS restored,
      array_agg(cardinality(p.batches))::text AS lengths,
      '{' || string_agg(array_to_string(p.batches, ','), ',') || '}' AS batches
    FROM unnest(${numberArray(partitionIds)}::int[], ${numberArray(producerIds)}::bigint[])
      AS k (partition_id, producer_id)
    JOIN producers p ON p.partition_id = k.partition_id AND p.producer_id = k.producer_id`;
}

/** The distinct (partition, producer) pairs, as two columns. */
function producerKeys(segments: readonly SegmentCommit[]): {
  partitionIds: number[];
  producerIds: number[];
} {
  const partitionIds: number[] = [];
  const producerIds: number[] = [];
  const seen = new Map<number, Set<number>>();
  for (const { partitionId, batches } of segments.flatMap((segment) => segment.extents)) {
    let producers = seen.get(partitionId);
    if (producers === undefined) {
      producers = new Set();
      seen.set(partitionId, producers);
    }
    for (const { producerId } of batches) {
      if (producerId < 0 || producers.has(producerId)) continue;
      producers.add(producerId);
      partitionIds.push(partitionId);
      producerIds.push(producerId);
    }
  }
  return { partitionIds, producerIds };
}

function partitionsOf(columns: PartitionColumns | undefined): Map<number, PartitionState> {
  invariant(columns !== undefined, 'an aggregate has a row');
  const partitionIds = parseNumberArray(columns.partition_ids);
  const logStartOffsets = parseSafeIntegers(columns.log_start_offsets);
  const nextOffsets = parseSafeIntegers(columns.next_offsets);
  const maxTimestampsMs = parseSafeIntegers(columns.max_timestamps_ms);
  const producerStateFloors = parseSafeIntegers(columns.producer_state_floors);
  const partitions = new Map<number, PartitionState>();
  for (const [index, partitionId] of partitionIds.entries()) {
    partitions.set(partitionId, {
      partitionId,
      logStartOffset: at(logStartOffsets, index),
      nextOffset: at(nextOffsets, index),
      maxTimestampMs: at(maxTimestampsMs, index),
      producerStateFloor: at(producerStateFloors, index),
    });
  }
  return partitions;
}

const numbersPerBatch = 4;

function producersOf(columns: ProducerColumns | undefined): ProducerState[] {
  invariant(columns !== undefined, 'an aggregate has a row');
  const producerIds = parseSafeIntegers(columns.producer_ids);
  const producerEpochs = parseNumberArray(columns.producer_epochs);
  const restored = parseNumberArray(columns.restored);
  const lengths = parseNumberArray(columns.lengths);
  const numbers = parseSafeIntegers(columns.batches);
  let from = 0;
  const producers = parseNumberArray(columns.partition_ids).map((partitionId, index) => {
    const to = from + at(lengths, index);
    const batches = keptBatches(numbers, from, to);
    from = to;
    return {
      partitionId,
      producerId: at(producerIds, index),
      producerEpoch: at(producerEpochs, index),
      isRestored: at(restored, index) === 1,
      batches,
    };
  });
  invariant(from === numbers.length, 'every number belongs to a producer');
  return producers;
}

function keptBatches(numbers: readonly number[], from: number, to: number): KeptBatch[] {
  invariant(to > from, 'a producer row has a batch');
  invariant((to - from) % numbersPerBatch === 0, 'a kept batch has four numbers');
  const batches: KeptBatch[] = [];
  for (let index = from; index < to; index += numbersPerBatch) {
    batches.push({
      baseSequence: at(numbers, index),
      lastSequence: at(numbers, index + 1),
      baseOffset: at(numbers, index + 2),
      maxTimestampMs: at(numbers, index + 3),
    });
  }
  return batches;
}

function at(numbers: readonly number[], index: number): number {
  const value = numbers[index];
  invariant(value !== undefined, 'columns of one statement are equally long');
  return value;
}
