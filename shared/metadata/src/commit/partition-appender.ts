import type { BatchCommit, ExtentCommit, SegmentCommit } from '@kafscale/cluster';
import { addSafe, invariant } from '@kafscale/core';

import type { DecidedExtent, DecidedPartition, PartitionState } from './types.js';

/** Gives out the offsets of one partition, extent by extent. */
export class PartitionAppender {
  readonly #initial: PartitionState;
  #nextOffset: number;
  #maxTimestampMs: number;
  #addedBytes = 0;

  // Of the current extent.
  #ordinal = 0;
  #baseOffset = 0;
  #skipped: number[] = [];
  #firstTimestampMs = -1;
  #extentMaxTimestampMs = -1;

  constructor(initial: PartitionState) {
    invariant(initial.logStartOffset <= initial.nextOffset, 'the log starts before its end');
    this.#initial = initial;
    this.#nextOffset = initial.nextOffset;
    this.#maxTimestampMs = initial.maxTimestampMs;
  }

  get partitionId(): number {
    return this.#initial.partitionId;
  }

  get logStartOffset(): number {
    return this.#initial.logStartOffset;
  }

  get producerStateFloor(): number {
    return this.#initial.producerStateFloor;
  }

  get nextOffset(): number {
    return this.#nextOffset;
  }

  get changed(): boolean {
    return this.#nextOffset > this.#initial.nextOffset;
  }

  beginExtent(): void {
    this.#ordinal = 0;
    this.#baseOffset = this.#nextOffset;
    this.#skipped = [];
  }

  /** The current extent's next batch is not part of the log. */
  skip(): void {
    this.#skipped.push(this.#ordinal);
    this.#ordinal += 1;
  }

  /** The current extent's next batch is written; returns its base offset. */
  append(batch: BatchCommit): number {
    const baseOffset = this.#nextOffset;
    const first = baseOffset === this.#baseOffset;
    if (first) this.#firstTimestampMs = batch.firstTimestampMs;
    this.#extentMaxTimestampMs = first
      ? batch.maxTimestampMs
      : Math.max(this.#extentMaxTimestampMs, batch.maxTimestampMs);
    this.#nextOffset = addSafe(baseOffset, batch.recordCount);
    this.#ordinal += 1;
    return baseOffset;
  }

  /** The index row of the current extent, or null when nothing of it was written. */
  endExtent(segment: SegmentCommit, extent: ExtentCommit): DecidedExtent | null {
    invariant(this.#ordinal === extent.batches.length, 'every batch was appended or skipped');
    if (this.#nextOffset === this.#baseOffset) return null;
    this.#maxTimestampMs = Math.max(this.#maxTimestampMs, this.#extentMaxTimestampMs);
    this.#addedBytes = addSafe(this.#addedBytes, extent.length);
    return {
      prefixMaxTimestampMs: this.#maxTimestampMs,
      extent: {
        partitionId: this.partitionId,
        baseOffset: this.#baseOffset,
        nextOffset: this.#nextOffset,
        segmentId: segment.segmentId,
        position: extent.position,
        length: extent.length,
        skippedBatches: this.#skipped,
        firstTimestampMs: this.#firstTimestampMs,
        maxTimestampMs: this.#extentMaxTimestampMs,
        absoluteOffsets: false,
        writerNodeId: segment.nodeId,
      },
    };
  }

  decided(): DecidedPartition {
    invariant(this.changed, 'only a changed partition is written');
    return {
      partitionId: this.partitionId,
      previousOffset: this.#initial.nextOffset,
      nextOffset: this.#nextOffset,
      maxTimestampMs: this.#maxTimestampMs,
      addedBytes: this.#addedBytes,
    };
  }
}
