import type { ColdExtent } from '@kafscale/codec';
import { invariant, OperatingError } from '@kafscale/core';

import { parseNumberArray } from '../arrays.js';
import { selectColdRanges } from '../cold/select-cold.js';
import type { ColdRangeRow } from '../cold/types.js';
import type { Sql } from '../database.js';

/** The index row of an offset, with its segment. */
export interface LocatedOffset {
  readonly topicId: string;
  readonly partitionId: number;
  readonly leaderEpoch: number;
  readonly logStartOffset: number;
  readonly nextOffset: number;
  readonly extent: {
    readonly baseOffset: number;
    readonly nextOffset: number;
    readonly position: number;
    readonly length: number;
    readonly skippedBatches: readonly number[];
    readonly absoluteOffsets: boolean;
  };
  readonly segment: {
    readonly segmentId: string;
    readonly sizeBytes: number;
    readonly nodeId: number;
    readonly incarnation: number;
    readonly birthMs: number;
    readonly committedAtMs: number;
    readonly isCompacted: boolean;
  };
}

interface PartitionRow {
  readonly topic_id: string;
  readonly partition_id: number;
  readonly leader_epoch: number;
  readonly log_start_offset: number;
  readonly next_offset: number;
}

interface ExtentRow {
  readonly base_offset: number;
  readonly next_offset: number;
  readonly position: number;
  readonly length: number;
  readonly skipped_batches: string | null;
  readonly absolute_offsets: boolean;
  readonly segment_id: string;
  readonly size_bytes: number;
  readonly node_id: number;
  readonly incarnation: number;
  readonly birth_ms: number;
  readonly committed_at_ms: number;
  readonly is_compacted: boolean;
}

/** Errors: PARTITION_UNKNOWN, OFFSET_NOT_IN_LOG, OFFSET_NOT_INDEXED (a damaged index). */
export async function locateOffset(
  sql: Sql,
  request: { topic: string; partitionIndex: number; offset: number },
  readCold: (range: ColdRangeRow) => Promise<readonly ColdExtent[]>,
): Promise<LocatedOffset> {
  const { offset, partitionIndex, topic } = request;
  invariant(Number.isSafeInteger(offset), 'an offset is an integer');
  const partition = await findPartition(sql, topic, partitionIndex);
  if (offset < partition.log_start_offset || offset >= partition.next_offset) {
    throw new OperatingError(
      'OFFSET_NOT_IN_LOG',
      `${topic}-${partitionIndex} has the offsets from ${partition.log_start_offset} to ` +
        `${partition.next_offset - 1}, not ${offset}`,
    );
  }
  const rows = await sql<ExtentRow[]>`
    SELECT e.base_offset, e.next_offset, e.position, e.length, e.absolute_offsets, e.segment_id,
      e.skipped_batches::text AS skipped_batches, s.size_bytes, s.node_id, s.incarnation,
      s.birth_ms, s.is_compacted,
      floor(extract(epoch FROM s.committed_at) * 1000)::bigint AS committed_at_ms
    FROM extents e JOIN segments s ON s.segment_id = e.segment_id
    WHERE e.partition_id = ${partition.partition_id} AND e.base_offset <= ${offset}
    ORDER BY e.base_offset DESC LIMIT 1`;
  const [row] = rows;
  if (row === undefined || row.next_offset <= offset) {
    const cold = await locateCold(sql, partition.partition_id, offset, readCold);
    if (cold !== null) return { ...partitionOf(partition), ...cold };
    throw new OperatingError(
      'OFFSET_NOT_INDEXED',
      `no row of the index covers offset ${offset} of ${topic}-${partitionIndex}: run fsck`,
    );
  }
  return locatedOf(partition, row);
}

async function findPartition(
  sql: Sql,
  topic: string,
  partitionIndex: number,
): Promise<PartitionRow> {
  const rows = await sql<PartitionRow[]>`
    SELECT p.topic_id, p.partition_id, p.leader_epoch, p.log_start_offset, p.next_offset
    FROM topics t JOIN partitions p ON p.topic_id = t.topic_id
    WHERE t.name = ${topic} AND t.deleted_at IS NULL AND p.partition_index = ${partitionIndex}`;
  const [row] = rows;
  if (row !== undefined) return row;
  throw new OperatingError('PARTITION_UNKNOWN', `there is no partition ${topic}-${partitionIndex}`);
}

type Located = Pick<LocatedOffset, 'extent' | 'segment'>;

async function locateCold(
  sql: Sql,
  partitionId: number,
  offset: number,
  readCold: (range: ColdRangeRow) => Promise<readonly ColdExtent[]>,
): Promise<Located | null> {
  const [range] = await selectColdRanges(sql, partitionId, offset);
  if (range === undefined || range.baseOffset > offset) return null;
  const extents = await readCold(range);
  const found = extents.find(({ nextOffset }) => nextOffset > offset);
  if (found === undefined) return null;
  const { baseOffset, nextOffset, position, length, skippedBatches, absoluteOffsets } = found;
  const { birthMs, committedAtMs, incarnation, isCompacted, nodeId, segmentId } = found;
  return {
    extent: { baseOffset, nextOffset, position, length, skippedBatches, absoluteOffsets },
    segment: {
      segmentId,
      nodeId,
      incarnation,
      birthMs,
      committedAtMs,
      isCompacted,
      sizeBytes: found.segmentBytes,
    },
  };
}

function partitionOf(partition: PartitionRow): Omit<LocatedOffset, 'extent' | 'segment'> {
  return {
    topicId: partition.topic_id,
    partitionId: partition.partition_id,
    leaderEpoch: partition.leader_epoch,
    logStartOffset: partition.log_start_offset,
    nextOffset: partition.next_offset,
  };
}

function locatedOf(partition: PartitionRow, row: ExtentRow): LocatedOffset {
  return {
    ...partitionOf(partition),
    extent: {
      baseOffset: row.base_offset,
      nextOffset: row.next_offset,
      position: row.position,
      length: row.length,
      skippedBatches: parseNumberArray(row.skipped_batches),
      absoluteOffsets: row.absolute_offsets,
    },
    segment: {
      segmentId: row.segment_id,
      sizeBytes: row.size_bytes,
      nodeId: row.node_id,
      incarnation: row.incarnation,
      birthMs: row.birth_ms,
      committedAtMs: row.committed_at_ms,
      isCompacted: row.is_compacted,
    },
  };
}
