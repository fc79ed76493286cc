import type postgres from 'postgres';

import { numberArray, textArray } from '../arrays.js';
import type { Sql } from '../database.js';
import { encodeAnswer } from './answer-text.js';
import type { CommitDecision, DecidedExtent, DecidedSegment, ProducerState } from './types.js';

type Statement = postgres.PendingQuery<postgres.MaybeRow[]>;

/** The statements that write a decision: at most four, whatever it holds; none when it holds nothing. */
export function saveDecision(sql: Sql, decision: CommitDecision, shardId: number): Statement[] {
  const statements: Statement[] = [];
  if (decision.segments.length > 0) {
    statements.push(insertSegments(sql, decision.segments, shardId));
  }
  if (decision.partitions.length > 0) {
    statements.push(updatePartitions(sql, decision), insertExtents(sql, decision.extents));
  }
  if (decision.producers.length > 0) statements.push(upsertProducers(sql, decision.producers));
  return statements;
}

/**
 * The offsets were decided from rows that this transaction holds locked; that nobody moved them
 * meanwhile is asserted once more, in the statement itself, because nothing else would notice.
 */
function updatePartitions(sql: Sql, { partitions }: CommitDecision): Statement {
  return sql`
    WITH updated AS (
      UPDATE partitions p SET
        next_offset = k.next_offset,
        max_timestamp_ms = k.max_timestamp_ms,
        size_bytes = p.size_bytes + k.added_bytes
      FROM unnest(
        ${numberArray(partitions.map((partition) => partition.partitionId))}::int[],
        ${numberArray(partitions.map((partition) => partition.previousOffset))}::bigint[],
        ${numberArray(partitions.map((partition) => partition.nextOffset))}::bigint[],
        ${numberArray(partitions.map((partition) => partition.maxTimestampMs))}::bigint[],
        ${numberArray(partitions.map((partition) => partition.addedBytes))}::bigint[]
      ) AS k (partition_id, previous_offset, next_offset, max_timestamp_ms, added_bytes)
      WHERE p.partition_id = k.partition_id AND p.next_offset = k.previous_offset
      RETURNING 1
    )
    SELECT kafscale_expect(count(*), ${partitions.length}::bigint, 'partitions of a commit')
    FROM updated`;
}

/** In id order: two transactions that both bring several of the same new segments never deadlock. */
function insertSegments(sql: Sql, decided: readonly DecidedSegment[], shardId: number): Statement {
  const segments = decided.map((item) => item.segment);
  return sql`
    INSERT INTO segments (segment_id, shard_id, node_id, incarnation, birth_ms, committed_at,
                          size_bytes, live_extents, answer)
    SELECT k.segment_id, ${shardId}::int, k.node_id, k.incarnation, k.birth_ms, clock_timestamp(),
           k.size_bytes, k.live_extents, k.answer
    FROM unnest(
      ${textArray(segments.map((segment) => segment.segmentId))}::uuid[],
      ${numberArray(segments.map((segment) => segment.nodeId))}::int[],
      ${numberArray(segments.map((segment) => segment.incarnation))}::int[],
      ${numberArray(segments.map((segment) => Math.floor(segment.birthMs)))}::bigint[],
      ${numberArray(segments.map((segment) => segment.sizeBytes))}::bigint[],
      ${numberArray(decided.map((item) => item.extentCount))}::int[],
      ${textArray(decided.map((item) => encodeAnswer(item.answer)))}::text[]
    ) AS k (segment_id, node_id, incarnation, birth_ms, size_bytes, live_extents, answer)
    ORDER BY k.segment_id`;
}

/** PRIMARY KEY (partition_id, base_offset) catches a lost lock. */
function insertExtents(sql: Sql, decided: readonly DecidedExtent[]): Statement {
  const extents = decided.map((item) => item.extent);
  // Their names are long, and a segment has many extents: rows carry a place in the list of names.
  const places = new Map<string, number>();
  for (const { segmentId } of extents) {
    if (!places.has(segmentId)) places.set(segmentId, places.size + 1);
  }
  const skipped = extents.map(({ skippedBatches }) =>
    skippedBatches.length === 0 ? null : numberArray(skippedBatches),
  );
  return sql`
    INSERT INTO extents (partition_id, base_offset, next_offset, segment_id, position, length,
                         skipped_batches, first_timestamp_ms, max_timestamp_ms,
                         prefix_max_timestamp_ms)
    SELECT k.partition_id, k.base_offset, k.next_offset,
           (${textArray([...places.keys()])}::uuid[])[k.segment_place], k.position, k.length,
           k.skipped_batches::int[], k.first_timestamp_ms, k.max_timestamp_ms,
           k.prefix_max_timestamp_ms
    FROM unnest(
      ${numberArray(extents.map((extent) => extent.partitionId))}::int[],
      ${numberArray(extents.map((extent) => extent.baseOffset))}::bigint[],
      ${numberArray(extents.map((extent) => extent.nextOffset))}::bigint[],
      ${numberArray(extents.map((extent) => places.get(extent.segmentId) ?? 0))}::int[],
      ${numberArray(extents.map((extent) => extent.position))}::bigint[],
      ${numberArray(extents.map((extent) => extent.length))}::bigint[],
      ${textArray(skipped)}::text[],
      ${numberArray(extents.map((extent) => extent.firstTimestampMs))}::bigint[],
      ${numberArray(extents.map((extent) => extent.maxTimestampMs))}::bigint[],
      ${numberArray(decided.map((item) => item.prefixMaxTimestampMs))}::bigint[]
    ) AS k (partition_id, base_offset, next_offset, segment_place, position, length, skipped_batches,
            first_timestamp_ms, max_timestamp_ms, prefix_max_timestamp_ms)`;
}

function upsertProducers(sql: Sql, producers: readonly ProducerState[]): Statement {
  return sql`
    INSERT INTO producers (partition_id, producer_id, producer_epoch, batches, updated_at)
    SELECT k.partition_id, k.producer_id, k.producer_epoch, k.batches::bigint[], clock_timestamp()
    FROM unnest(
      ${numberArray(producers.map((producer) => producer.partitionId))}::int[],
      ${numberArray(producers.map((producer) => producer.producerId))}::bigint[],
      ${numberArray(producers.map((producer) => producer.producerEpoch))}::smallint[],
      ${textArray(producers.map(batchNumbers))}::text[]
    ) AS k (partition_id, producer_id, producer_epoch, batches)
    ON CONFLICT (partition_id, producer_id) DO UPDATE SET
      producer_epoch = excluded.producer_epoch,
      batches = excluded.batches,
      is_restored = false,
      updated_at = excluded.updated_at`;
}

function batchNumbers({ batches }: ProducerState): string {
  let text = '';
  for (const { baseOffset, baseSequence, lastSequence, maxTimestampMs } of batches) {
    if (text !== '') text += ',';
    text += `${baseSequence},${lastSequence},${baseOffset},${maxTimestampMs}`;
  }
  return `{${text}}`;
}
