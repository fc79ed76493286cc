import {
  crc32cCombine,
  emptyBatchHeader,
  encodeSegmentFooter,
  nextBatchPosition,
  readBatchHeader,
} from '@kafscale/codec';
import type { BatchIndexEntry, SegmentExtent } from '@kafscale/codec';
import { invariant, limits } from '@kafscale/core';
import type { MergedSegment, MergeRun } from '@kafscale/metadata';
import { crc32c } from '@node-rs/crc32';
import type { MergeJob } from './merge-job.js';
import type { MergePiece } from './merge-reads.js';

export interface BuiltMerge {
  readonly chunks: readonly Uint8Array[];
  /** Of all the chunks together. */
  readonly crc32c: number;
  readonly merged: MergedSegment;
}

/** Merged segments have no ingest node. */
const noNode = -1;

/** Extents without gaps, and the footer, from the batches that were copied to `memory`. */
export function buildMerged(
  job: MergeJob,
  pieces: readonly MergePiece[],
  memory: Buffer,
): BuiltMerge {
  const { plan, segmentId, softwareVersion } = job;
  const body = new BodyBuilder(memory);
  let next = 0;
  for (const run of plan.runs) {
    body.addRun(run, pieces.slice(next, next + run.rowCount));
    next += run.rowCount;
  }
  invariant(next === pieces.length, 'every piece belongs to a run');
  const { batchIndex, extents } = body;
  const { birthMs, incarnation } = plan;
  const writer = { nodeId: noNode, incarnation, birthMs, segmentId, softwareVersion };
  const footer = encodeSegmentFooter({ extents, writer, batchIndex });
  return {
    chunks: [...body.chunks(), footer],
    crc32c: crc32cCombine(body.crc, crc32c(footer), footer.length),
    merged: {
      segmentId,
      sizeBytes: body.length + footer.length,
      extents: extents.map(({ firstTimestampMs, length, position }) => {
        return { position, length, firstTimestampMs };
      }),
    },
  };
}

class BodyBuilder {
  readonly extents: SegmentExtent[] = [];
  readonly batchIndex: BatchIndexEntry[] = [];
  length = 0;
  crc = 0;
  readonly #memory: Buffer;
  /** Spans of the memory, start and end: one, unless refused batches left holes. */
  readonly #spans: { start: number; end: number }[] = [];

  constructor(memory: Buffer) {
    this.#memory = memory;
  }

  chunks(): Uint8Array[] {
    return this.#spans.map(({ start, end }) => this.#memory.subarray(start, end));
  }

  addRun(run: MergeRun, pieces: readonly MergePiece[]): void {
    const walk = new ExtentWalk(this.length, run.baseOffset);
    let crc = 0;
    for (const { kept, target } of pieces) {
      if (kept === 0) continue;
      const bytes = this.#memory.subarray(target, target + kept);
      walk.add(bytes);
      crc = crc32c(bytes, crc);
      this.#addSpan(target, target + kept);
    }
    invariant(walk.nextOffset === run.nextOffset, 'a run holds the offsets of its rows');
    const { topicId, partitionIndex } = run;
    this.extents.push({ topicId, partitionIndex, crc32c: crc, ...walk.entry() });
    if (walk.parts.length > 1) this.batchIndex.push(...walk.parts);
    this.crc = crc32cCombine(this.crc, crc, walk.length);
    this.length += walk.length;
  }

  #addSpan(start: number, end: number): void {
    const last = this.#spans.at(-1);
    if (last?.end === start) last.end = end;
    else this.#spans.push({ start, end });
  }
}

/** Sums up the batches of an extent, and divides it into parts. */
class ExtentWalk {
  readonly parts: BatchIndexEntry[] = [];
  nextOffset: number;
  length = 0;
  readonly #position: number;
  readonly #baseOffset: number;
  readonly #header = emptyBatchHeader();
  #partBytes = 0;
  #batchCount = 0;
  #recordCount = 0;
  #firstTimestampMs = -1;
  #maxTimestampMs = -1;

  constructor(position: number, baseOffset: number) {
    this.#position = position;
    this.#baseOffset = baseOffset;
    this.nextOffset = baseOffset;
  }

  add(bytes: Buffer): void {
    let end: number;
    for (let at = 0; at < bytes.length; at = end) {
      end = nextBatchPosition(bytes, at, bytes.length);
      invariant(end > at, 'what was copied is whole batches');
      readBatchHeader(bytes, at, this.#header);
      invariant(this.#header.baseOffset === this.nextOffset, 'batches follow one another');
      this.#addBatch();
    }
  }

  entry() {
    return {
      position: this.#position,
      length: this.length,
      recordCount: this.#recordCount,
      batchCount: this.#batchCount,
      firstTimestampMs: this.#firstTimestampMs,
      maxTimestampMs: this.#maxTimestampMs,
      baseOffset: this.#baseOffset,
    };
  }

  #addBatch(): void {
    const { firstTimestampMs, maxTimestampMs, recordCount, sizeBytes } = this.#header;
    const part = this.parts.at(-1);
    if (part === undefined || this.#partBytes + sizeBytes > limits.batchIndexPartBytes) {
      const position = this.#position + this.length;
      this.parts.push({ position, baseOffset: this.nextOffset, maxTimestampMs });
      this.#partBytes = 0;
    } else if (maxTimestampMs > part.maxTimestampMs) {
      this.parts[this.parts.length - 1] = { ...part, maxTimestampMs };
    }
    if (this.#batchCount === 0) this.#firstTimestampMs = firstTimestampMs;
    this.#maxTimestampMs =
      this.#batchCount === 0 ? maxTimestampMs : Math.max(this.#maxTimestampMs, maxTimestampMs);
    this.#batchCount += 1;
    this.#recordCount += recordCount;
    this.#partBytes += sizeBytes;
    this.length += sizeBytes;
    this.nextOffset += recordCount;
  }
}
