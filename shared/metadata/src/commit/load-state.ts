import type { SegmentAnswer, SegmentCommit } from '@kafscale/cluster';
import { invariant } from '@kafscale/core';

import { numberArray, parseNumberArray, textArray } from '../arrays.js';
import type { Sql } from '../database.js';
import { fenceShard, requireLease } from '../shards.js';
import type { Lease } from '../store-types.js';
import { decodeAnswer } from './answer-text.js';
import type { CommitState, KeptBatch, PartitionState, ProducerState } from './types.js';

interface PartitionRow {
  readonly partition_id: number;
  readonly log_start_offset: number;
  readonly next_offset: number;
  readonly max_timestamp_ms: number;
  readonly producer_state_floor: number;
}

interface ProducerRow {
  readonly partition_id: number;
  readonly producer_id: number;
  readonly producer_epoch: number;
  readonly batches: string;
  readonly is_restored: boolean;
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
    partitions: new Map(partitions.map((row) => [row.partition_id, partitionOf(row)])),
    producers: producers.map(producerOf),
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
  return sql<PartitionRow[]>`
    SELECT partition_id, log_start_offset, next_offset, max_timestamp_ms, producer_state_floor
    FROM partitions
    WHERE partition_id = ANY(${numberArray([...partitionIds])}::int[])
      AND shard_id = ${lease.shardId} AND deleted_at IS NULL
    ORDER BY partition_id FOR NO KEY UPDATE`;
}

function selectAnswers(sql: Sql, segments: readonly SegmentCommit[]) {
  const segmentIds = segments.map((segment) => segment.segmentId);
  return sql<{ segment_id: string; answer: string }[]>`
    SELECT segment_id, answer FROM segments WHERE segment_id = ANY(${textArray(segmentIds)}::uuid[])`;
}

function selectProducers(sql: Sql, segments: readonly SegmentCommit[]) {
  const { partitionIds, producerIds } = producerKeys(segments);
  return sql<ProducerRow[]>`
    SELECT p.partition_id, p.producer_id, p.producer_epoch, p.batches::text AS batches,
      p.is_restored
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

function partitionOf(row: PartitionRow): PartitionState {
  return {
    partitionId: row.partition_id,
    logStartOffset: row.log_start_offset,
    nextOffset: row.next_offset,
    maxTimestampMs: row.max_timestamp_ms,
    producerStateFloor: row.producer_state_floor,
  };
}

const numbersPerBatch = 4;

function producerOf(row: ProducerRow): ProducerState {
  const numbers = parseNumberArray(row.batches);
  invariant(numbers.length > 0, 'a producer row has a batch');
  invariant(numbers.length % numbersPerBatch === 0, 'a kept batch has four numbers');
  const batches: KeptBatch[] = [];
  for (let index = 0; index < numbers.length; index += numbersPerBatch) {
    const [baseSequence = 0, lastSequence = 0, baseOffset = 0, maxTimestampMs = 0] = numbers.slice(
      index,
      index + numbersPerBatch,
    );
    batches.push({ baseSequence, lastSequence, baseOffset, maxTimestampMs });
  }
  return {
    partitionId: row.partition_id,
    producerId: row.producer_id,
    producerEpoch: row.producer_epoch,
    isRestored: row.is_restored,
    batches,
  };
}
