import { errorCodes } from '@kafscale/codec';
import type { CoordinatorService, SegmentAnswer } from '@kafscale/cluster';
import { invariant, limits } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { IngestLog, IngestMetrics } from '../observability.js';
import type { LaneName } from '../segment/latency-lane.js';
import type { BatchOutcome, OpenSegment, SegmentBatch } from '../segment/open-segment.js';
import type { RecentSegments } from '../segment/recent-segments.js';
import type { SealedSegment } from '../segment/sealed-segment.js';
import { commitUntilAnswered } from './commit-driver.js';
import { LostBatches } from './lost-batches.js';

/** `waiting` for an upload, for the first time or again. */
type UploadState = 'waiting' | 'uploading' | 'uploaded' | 'failed';

/** A sealed segment until it is settled. Times are the node's own monotonic ones. */
export interface QueuedSegment {
  readonly segment: SealedSegment;
  readonly sealedAtMs: number;
  /** Orders uploads among lanes: the least goes first. */
  readonly turnMs: number;
  /** From here on no client waits for it any more. */
  readonly giveUpAtMs: number;
  state: UploadState;
}

export interface CommitQueueOptions {
  readonly lane: LaneName;
  readonly coordinator: Pick<CoordinatorService, 'commitSegments'>;
  readonly recent: RecentSegments;
  readonly clock: Clock;
  readonly log: IngestLog;
  readonly metrics: IngestMetrics;
  /** Seals what is open in the lane: it goes to the end of this queue. */
  readonly sealOpen: () => void;
  /** A segment was settled. */
  readonly onSettled: (segment: OpenSegment) => void;
  /** Segments were settled, and the queue may be empty. */
  readonly onProgress: () => void;
}

/**
 * The sealed segments of one lane. Commits leave in seal order, all that are ready in one call, one
 * call at a time. So offsets follow arrival order, and while a call is under way the next group forms.
 */
export class CommitQueue {
  readonly #options: CommitQueueOptions;
  readonly #lost = new LostBatches();
  /** In seal order. Bounded by the ingest byte budget. */
  readonly #queue: QueuedSegment[] = [];
  #bytes = 0;
  #committing = false;

  constructor(options: CommitQueueOptions) {
    this.#options = options;
  }

  get length(): number {
    return this.#queue.length;
  }

  /** Of batches. */
  get bytes(): number {
    return this.#bytes;
  }

  push(queued: QueuedSegment): void {
    this.#queue.push(queued);
    this.#bytes += queued.segment.source.bytes;
  }

  /** Whether something of the partition is not settled. */
  holds(partitionId: number): boolean {
    return this.#queue.some(({ segment }) => segment.source.partitions.has(partitionId));
  }

  /** The first that is to be uploaded. */
  get firstWaiting(): QueuedSegment | undefined {
    return this.#queue.find(({ state }) => state === 'waiting');
  }

  /** To be called when an upload ended. */
  advance(): void {
    if (!this.#committing) void this.#commitReady();
  }

  async #commitReady(): Promise<void> {
    this.#committing = true;
    for (;;) {
      const head = this.#queue[0];
      if (head === undefined || head.state === 'waiting' || head.state === 'uploading') break;
      if (head.state === 'failed') this.#settleLost(head.segment, notWritten);
      else if (head.segment.isEmpty) this.#settleCorrupt(head.segment);
      else await this.#commitGroup(this.#uploadedHead());
      this.#options.onProgress();
    }
    this.#committing = false;
  }

  #uploadedHead(): SealedSegment[] {
    const group: SealedSegment[] = [];
    for (const { segment, state } of this.#queue) {
      if (state !== 'uploaded' || segment.isEmpty) break;
      if (group.length === limits.commitSegmentsPerTransactionMax) break;
      group.push(segment);
    }
    return group;
  }

  async #commitGroup(group: readonly SealedSegment[]): Promise<void> {
    const { clock, coordinator, lane, log, metrics } = this.#options;
    const startedAtMs = clock.monotonicMs();
    for (const segment of group) this.#excludeBehindCorrupt(segment);
    const outcome = await commitUntilAnswered({
      coordinator,
      segments: group.map((segment) =>
        segment.commit((batch) => this.#lost.isLost(segment.source, batch)),
      ),
      clock,
      onRetry: (error) => log.warn({ code: error.code, outcome: error.outcome }, 'commit repeated'),
    });
    const answered = outcome.kind === 'answered' ? group.length : 0;
    metrics.segmentsCommitted(lane, answered, clock.monotonicMs() - startedAtMs);
    if (outcome.kind === 'answered') {
      invariant(outcome.answers.length === group.length, 'an answer per segment');
      group.forEach((segment, index) => this.#settleAnswered(segment, outcome.answers[index]));
      return;
    }
    log.error({ code: outcome.error.code, segments: group.length }, `commit ${outcome.kind}`);
    for (const segment of group) {
      this.#settleLost(segment, outcome.kind === 'unknown' ? { kind: 'unknown' } : notWritten);
    }
  }

  /**
   * A batch with a wrong CRC is lost like one whose segment failed: so is what follows it. Looked up
   * when its segment is about to be committed: whatever shares the call with it is there by then.
   */
  #excludeBehindCorrupt(segment: SealedSegment): void {
    const corrupt = segment.batches.filter((_, index) => segment.isCorrupt(index));
    if (corrupt.length === 0) return;
    this.#lost.add(corrupt, [segment.source, ...this.#behind(segment)]);
  }

  /** The uncommitted segments behind one in the queue. */
  #behind(segment: SealedSegment): OpenSegment[] {
    const index = this.#queue.findIndex((queued) => queued.segment === segment);
    invariant(index >= 0, 'the segment is not settled');
    return this.#queue.slice(index + 1).map((queued) => queued.segment.source);
  }

  #settleAnswered(segment: SealedSegment, answer: SegmentAnswer | undefined): void {
    invariant(answer !== undefined, 'an answer per segment');
    if (answer.kind !== 'committed') {
      this.#options.log.warn({ segmentId: segment.source.segmentId }, `commit ${answer.kind}`);
      this.#settleLost(segment, notWritten);
      return;
    }
    const lost: SegmentBatch[] = [];
    segment.forEachAnswer(answer.extents, (batch, given) => {
      if (given === null || given.errorCode === errorCodes.KAFKA_STORAGE_ERROR) lost.push(batch);
      if (given === null) settle(batch, refused(errorCodes.CORRUPT_MESSAGE));
      else if (given.errorCode === 0) settle(batch, { kind: 'written', ...given });
      else settle(batch, { kind: 'refused', ...given });
    });
    this.#loseBehindHead(lost);
    this.#options.recent.keep(segment);
    this.#finish(segment);
  }

  #settleCorrupt(segment: SealedSegment): void {
    this.#loseBehindHead(segment.batches);
    for (const batch of segment.batches) settle(batch, refused(errorCodes.CORRUPT_MESSAGE));
    this.#options.recent.drop(segment);
    this.#finish(segment);
  }

  /**
   * Not written, or nobody can tell: either way nothing that its producers sent behind it may be
   * written, or a batch could be shut out by its successor.
   */
  #settleLost(segment: SealedSegment, outcome: BatchOutcome): void {
    invariant(this.#queue[0]?.segment === segment, 'segments settle in seal order');
    this.#loseBehindHead(segment.batches);
    for (const batch of segment.batches) settle(batch, outcome);
    this.#options.recent.drop(segment);
    this.#finish(segment);
  }

  /** Batches of the head are lost: what their producers have in later segments is lost with them. */
  #loseBehindHead(lost: readonly SegmentBatch[]): void {
    if (lost.length === 0) return;
    const head = this.#queue[0];
    invariant(head !== undefined, 'a segment is settled while it is at the head');
    // What they send from now on is a new attempt and must not share a segment with what is excluded.
    this.#options.sealOpen();
    this.#lost.add(lost, this.#behind(head.segment));
  }

  #finish(segment: SealedSegment): void {
    const finished = this.#queue.shift();
    invariant(finished?.segment === segment, 'segments settle in seal order');
    this.#bytes -= segment.source.bytes;
    this.#lost.forget(segment.source);
    this.#options.onSettled(segment.source);
  }
}

function refused(errorCode: number): BatchOutcome {
  return { kind: 'refused', errorCode, logStartOffset: -1 };
}

/** The one retriable "not written" answer of the storage path. */
const notWritten = refused(errorCodes.KAFKA_STORAGE_ERROR);

function settle(batch: SegmentBatch, outcome: BatchOutcome): void {
  batch.listener.settled(outcome);
}
