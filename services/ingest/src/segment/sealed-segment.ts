import { invariant } from '@kafscale/core';
import type { BatchAnswer, BatchCommit, ExtentCommit, SegmentCommit } from '@kafscale/cluster';
import { batchFields, partitionFields } from '../seal/seal-job.js';
import type { SealJob, SealResult } from '../seal/seal-job.js';
import type { OpenSegment, SegmentBatch, SegmentPartition } from './open-segment.js';

/** Who writes: goes into the footer and the commit, and is what a fence checks. */
export interface WriterIdentity {
  readonly nodeId: number;
  readonly incarnation: number;
}

/** A segment that takes no more batches, with the order in which its batches lie in the object. */
export class SealedSegment {
  readonly source: OpenSegment;
  readonly writer: WriterIdentity;
  /** Sorted by (topic id, partition index). */
  readonly partitions: readonly SegmentPartition[];
  /** Of the object's batches, in object order: partition by partition. */
  readonly batches: readonly SegmentBatch[];
  #result: SealResult | null = null;
  #corrupt: ReadonlySet<number> = new Set();

  constructor(source: OpenSegment, writer: WriterIdentity) {
    this.source = source;
    this.writer = writer;
    this.partitions = [...source.partitions.values()].sort(comparePartitions);
    this.batches = this.partitions.flatMap((partition) => partition.batches);
    invariant(this.batches.length === source.batchCount, 'sealing keeps every batch');
  }

  get result(): SealResult {
    invariant(this.#result !== null, 'the segment has been uploaded');
    return this.#result;
  }

  /** Every batch was corrupt: there is no object and nothing to commit. */
  get isEmpty(): boolean {
    return this.result.sizeBytes === 0;
  }

  job(key: string, softwareVersion: string): SealJob {
    const batches = new Float64Array(this.batches.length * batchFields);
    // Numbers, because objects are cloned one by one on both sides (1 µs per partition).
    const partitions = new Int32Array(this.partitions.length * partitionFields);
    const topicIds: string[] = [];
    let index = 0;
    this.partitions.forEach((partition, slot) => {
      if (topicIds.at(-1) !== partition.topicId) topicIds.push(partition.topicId);
      partitions[slot * partitionFields] = topicIds.length - 1;
      partitions[slot * partitionFields + 1] = partition.partitionIndex;
      for (const batch of partition.batches) {
        batches[index] = slot;
        batches[index + 1] = batch.chunk;
        batches[index + 2] = batch.position;
        batches[index + 3] = batch.length;
        batches[index + 4] = batch.logAppendTimeMs;
        index += batchFields;
      }
    });
    return {
      segmentId: this.source.segmentId,
      key,
      nodeId: this.writer.nodeId,
      incarnation: this.writer.incarnation,
      birthMs: this.source.birthMs,
      softwareVersion,
      chunks: this.source.chunks.map(sharedMemoryOf),
      topicIds,
      partitions,
      batches,
    };
  }

  uploaded(result: SealResult): void {
    invariant(result.extents.length === this.partitions.length * 2, 'an extent per partition');
    this.#result = result;
    this.#corrupt = new Set(result.corruptBatches);
  }

  isCorrupt(batchIndex: number): boolean {
    return this.#corrupt.has(batchIndex);
  }

  /** The commit of this segment; `isLost` names batches that must not be written any more. */
  commit(isLost: (batch: SegmentBatch) => boolean): SegmentCommit {
    const { sizeBytes, extents } = this.result;
    const committed: ExtentCommit[] = [];
    let batchIndex = 0;
    this.partitions.forEach((partition, slot) => {
      const batches: BatchCommit[] = [];
      for (const batch of partition.batches) {
        if (!this.#corrupt.has(batchIndex)) batches.push(batchCommit(batch, isLost(batch)));
        batchIndex += 1;
      }
      if (batches.length === 0) return;
      committed.push({
        partitionId: partition.partitionId,
        position: extents[slot * 2] ?? 0,
        length: extents[slot * 2 + 1] ?? 0,
        batches,
      });
    });
    const { segmentId, birthMs } = this.source;
    return { segmentId, ...this.writer, birthMs, sizeBytes, extents: committed };
  }

  /** Pairs every batch with its answer; null for one whose CRC was wrong (it was not committed). */
  forEachAnswer(
    answers: readonly (readonly BatchAnswer[])[],
    visit: (batch: SegmentBatch, answer: BatchAnswer | null) => void,
  ): void {
    let extentIndex = 0;
    let batchIndex = 0;
    for (const partition of this.partitions) {
      let answerIndex = 0;
      for (const batch of partition.batches) {
        if (this.#corrupt.has(batchIndex)) visit(batch, null);
        else {
          const answer = answers[extentIndex]?.[answerIndex];
          invariant(answer !== undefined, 'a commit answers every batch');
          visit(batch, answer);
          answerIndex += 1;
        }
        batchIndex += 1;
      }
      if (answerIndex > 0) extentIndex += 1;
    }
    invariant(extentIndex === answers.length, 'a commit answers every extent');
  }
}

function batchCommit(batch: SegmentBatch, excluded: boolean): BatchCommit {
  return {
    recordCount: batch.recordCount,
    firstTimestampMs: batch.firstTimestampMs,
    maxTimestampMs: batch.maxTimestampMs,
    producerId: batch.producerId,
    producerEpoch: batch.producerEpoch,
    baseSequence: batch.baseSequence,
    excluded,
  };
}

function comparePartitions(left: SegmentPartition, right: SegmentPartition): number {
  if (left.topicId !== right.topicId) return left.topicId < right.topicId ? -1 : 1;
  return left.partitionIndex - right.partitionIndex;
}

function sharedMemoryOf(chunk: Buffer): SharedArrayBuffer {
  const memory = chunk.buffer;
  invariant(memory instanceof SharedArrayBuffer, 'chunks are shared memory');
  return memory;
}
