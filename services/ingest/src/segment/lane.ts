import { randomUUID } from 'node:crypto';
import type { CoordinatorService } from '@kafscale/cluster';
import { invariant, limits } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import { CommitQueue } from '../commit/commit-queue.js';
import type { QueuedSegment } from '../commit/commit-queue.js';
import type { IngestLog, IngestMetrics } from '../observability.js';
import type { ChunkPool } from './chunk-pool.js';
import { FlushPolicy } from './flush-policy.js';
import { GatherGuess } from './gather-guess.js';
import type { LaneName } from './latency-lane.js';
import { OpenSegment } from './open-segment.js';
import type { RecentSegments } from './recent-segments.js';
import { SealedSegment } from './sealed-segment.js';
import type { WriterIdentity } from './sealed-segment.js';
import type { UploadScheduler, UploadSource } from './upload-scheduler.js';

/** A batch on its way into a lane. */
export interface LaneBatch extends Readonly<Parameters<OpenSegment['append']>[0]> {
  /** Own monotonic time at which it is appended. */
  readonly arrivedAtMs: number;
  /** How long its client waits for the answer. */
  readonly timeoutMs: number;
}

export interface LaneOptions {
  readonly coordinator: Pick<CoordinatorService, 'commitSegments'>;
  readonly writer: () => WriterIdentity;
  readonly databaseNowMs: () => number;
  readonly clock: Clock;
  readonly pool: ChunkPool;
  readonly recent: RecentSegments;
  /** Segments of a lane between seal and settling, where batches wait for no interval. */
  readonly flushInFlightMax: number;
  /** What an open segment must have to be sealed while others are under way. */
  readonly flushOverlapBytesMin: number;
  /** How long to wait for what answered producers send next. */
  readonly flushGatherMsMax: number;
  readonly segmentBytes: number;
  readonly log: IngestLog;
  readonly metrics: IngestMetrics;
  /** Bytes of settled segments: their share of the ingest budget is free again. */
  readonly onSettled: (bytes: number) => void;
}

/** The open segment, and when it is to be sealed. Times are the node's own monotonic ones. */
interface Collecting {
  readonly segment: OpenSegment;
  /** The earliest that one of its batches wants to be under way. */
  dueAtMs: number;
  /** The least of its batches. */
  flushMs: number;
  giveUpAtMs: number;
  /** It is to be sealed as soon as an upload may begin. */
  isDue: boolean;
}

/**
 * One latency lane: the path of its segments, open → sealed → uploaded → committed → answered (design
 * §4.3–4.5). It keeps its own seal order, and never waits for another lane, but for a free upload.
 */
export class Lane implements UploadSource {
  readonly name: LaneName;
  readonly #options: LaneOptions;
  readonly #uploads: UploadScheduler;
  readonly #queue: CommitQueue;
  #open: Collecting | null = null;
  #ageTimer: NodeJS.Timeout | null = null;
  #gatherTimer: NodeJS.Timeout | null = null;
  /** Of segments that wait for their interval. */
  readonly #flushPolicy = new FlushPolicy();
  #returnTimer: NodeJS.Timeout | null = null;
  #sealImmediate: NodeJS.Immediate | null = null;
  #settledAtMs = -Infinity;
  /** Of the segments that were settled together last. */
  #settledBytes = 0;
  /** Of the open segment at that moment: what comes back is added to it. */
  #openBytesAtSettling = 0;
  readonly #gatherGuess = new GatherGuess();
  /** What was answered last is likely to come back at once. */
  #gathers = true;
  #hurried = false;
  readonly #progressWaiters: (() => void)[] = [];

  constructor(name: LaneName, options: LaneOptions, uploads: UploadScheduler) {
    this.name = name;
    this.#options = options;
    this.#uploads = uploads;
    const { clock, coordinator, log, metrics, recent } = options;
    this.#queue = new CommitQueue({
      lane: name,
      coordinator,
      recent,
      clock,
      log,
      metrics,
      sealOpen: () => this.#seal(),
      onSettled: (segment) => this.#settled(segment),
      onProgress: () => this.#progressed(),
    });
    uploads.add(this);
  }

  /** Copies the batch or holds its memory; its listener hears of it once. */
  append(batch: LaneBatch, flushMs: number): void {
    const { segmentBytes } = this.#options;
    const { records, target } = batch;
    if (this.#open?.segment.hasRoom(records.length, target.partitionId, segmentBytes) === false) {
      this.#sealFull();
    }
    const open = (this.#open ??= this.#startCollecting(batch.arrivedAtMs));
    open.segment.append(batch);
    this.#expect(open, batch, flushMs);
    if (open.segment.bytes >= segmentBytes) this.#sealFull();
    else if (this.#sealsAtOnce(open)) this.#scheduleSeal();
    else this.#sealEarly(open, batch);
  }

  /** Whether something of the partition is not settled. */
  holds(partitionId: number): boolean {
    return this.isCollecting(partitionId) || this.#queue.holds(partitionId);
  }

  isCollecting(partitionId: number): boolean {
    return this.#open?.segment.partitions.has(partitionId) ?? false;
  }

  get isIdle(): boolean {
    return this.#open === null && this.#queue.length === 0;
  }

  get sealedSegments(): number {
    return this.#queue.length;
  }

  get bytes(): number {
    return (this.#open?.segment.bytes ?? 0) + this.#queue.bytes;
  }

  /** Resolves when nothing of the partition is unsettled; what is open of it is not kept open. */
  async leave(partitionId: number): Promise<void> {
    while (this.holds(partitionId)) {
      if (this.isCollecting(partitionId)) this.flush();
      await this.#progress();
    }
  }

  /** What is open is due now. */
  flush(): void {
    if (this.#open === null) return;
    this.#open.isDue = true;
    this.#uploads.pump();
  }

  /** Shutdown has begun: from now on a segment is sealed as soon as it has something. */
  hurry(): void {
    this.#hurried = true;
    this.#seal();
    this.#uploads.pump();
  }

  /** Resolves when everything is settled; `hurry` first. */
  async drained(): Promise<void> {
    while (!this.isIdle) await this.#progress();
  }

  // --- for the scheduler ------------------------------------------------------------------------

  get uploadTurnMs(): number {
    const waiting = this.#queue.firstWaiting;
    if (waiting !== undefined) return waiting.turnMs;
    const open = this.#open;
    return open?.isDue === true ? open.dueAtMs + open.flushMs : Infinity;
  }

  takeUpload(): QueuedSegment {
    if (this.#queue.firstWaiting === undefined) this.#seal();
    const waiting = this.#queue.firstWaiting;
    invariant(waiting !== undefined, 'the lane has something to upload');
    return waiting;
  }

  uploadEnded(): void {
    this.#queue.advance();
  }

  // --- when to seal -----------------------------------------------------------------------------

  #startCollecting(nowMs: number): Collecting {
    const { databaseNowMs, pool } = this.#options;
    const segment = new OpenSegment({
      segmentId: randomUUID(),
      birthMs: databaseNowMs(),
      openedAtMs: nowMs,
      pool,
    });
    return { segment, dueAtMs: Infinity, flushMs: Infinity, giveUpAtMs: -Infinity, isDue: false };
  }

  /** The segment is due when the first of its batches is; it is given up when the last of them is. */
  #expect(open: Collecting, batch: LaneBatch, flushMs: number): void {
    const { arrivedAtMs, timeoutMs } = batch;
    const giveUpAtMs = arrivedAtMs + Math.min(timeoutMs, limits.uploadWaitMsMax);
    if (giveUpAtMs > open.giveUpAtMs) open.giveUpAtMs = giveUpAtMs;
    if (flushMs < open.flushMs) open.flushMs = flushMs;
    const dueAtMs = arrivedAtMs + flushMs;
    if (dueAtMs >= open.dueAtMs) return;
    open.dueAtMs = dueAtMs;
    if (this.#sealsAtOnce(open)) return;
    // Rarely more than once per segment: only a topic with a shorter interval comes to be due earlier.
    if (this.#ageTimer !== null) clearTimeout(this.#ageTimer);
    this.#ageTimer = setTimeout(() => this.flush(), flushMs);
  }

  #sealsAtOnce(open: Collecting): boolean {
    return this.#hurried || open.flushMs === 0;
  }

  /**
   * Group commit: what arrived in one turn of the event loop rides together. While segments are under
   * way, another is sealed only if it is worth its own sync and transaction; else it grows until one
   * of them has settled. So a light load has the least latency, and a heavy one the fewest segments.
   *
   * Just after a segment has settled, its producers have been answered and are sending what comes
   * next, all of them at once. Waiting a moment, for about as much as was answered, saves the segment
   * that would carry only the first request: with one producer of small requests every second one
   * (27 instead of 33 MB/s, and a fifth more CPU per GB). See GatherGuess for those who don't.
   */
  #scheduleSeal(): void {
    if (!this.#mayOverlap()) return;
    const { clock, flushGatherMsMax } = this.#options;
    const sinceSettledMs = clock.monotonicMs() - this.#settledAtMs;
    const gathers =
      this.#gathers &&
      sinceSettledMs < flushGatherMsMax &&
      this.#returnedBytes < this.#settledBytes;
    if (!gathers) this.#sealImmediate ??= setImmediate(() => this.#sealNow());
    else if (this.#sealImmediate === null)
      this.#gatherTimer ??= setTimeout(() => this.#gatherEnded(), flushGatherMsMax);
  }

  #gatherEnded(): void {
    this.#gatherTimer = null;
    this.#gatherGuess.ended(this.#returnedBytes > this.#settledBytes / 2);
    this.#sealNow();
  }

  /** Appended since the last answer. */
  get #returnedBytes(): number {
    return (this.#open?.segment.bytes ?? 0) - this.#openBytesAtSettling;
  }

  /** Before its interval is over, if nothing more can come (see FlushPolicy). */
  #sealEarly({ segment }: Collecting, { arrivedAtMs, records }: LaneBatch): void {
    this.#flushPolicy.appended(records.length, arrivedAtMs);
    this.#sealIfNoMoreComes(segment);
  }

  #sealIfNoMoreComes(segment: OpenSegment): void {
    // There it would cost what the topic asked to save: an object per answer instead of per interval.
    if (this.name === 'economy' || this.#queue.length > 0) return;
    const early = this.#flushPolicy.earlySeal(segment.bytes);
    // At the end of the turn: the other batches of the request belong in the same segment.
    if (early === 'now') this.#sealImmediate ??= setImmediate(() => this.#sealNow());
    else if (early === 'later') this.#sealWhenQuiet(limits.flushReturnGapMsMax);
  }

  #sealWhenQuiet(waitMs: number): void {
    this.#returnTimer ??= setTimeout(() => {
      this.#returnTimer = null;
      if (this.#open === null || this.#queue.length > 0) return;
      if (this.#flushPolicy.earlySeal(this.#open.segment.bytes) === 'no') return;
      const leftMs = this.#flushPolicy.quietLeftMs(this.#options.clock.monotonicMs());
      if (leftMs > 0) this.#sealWhenQuiet(leftMs);
      else this.flush();
    }, waitMs);
  }

  #sealNow(): void {
    if (this.#gatherTimer !== null) {
      clearTimeout(this.#gatherTimer);
      this.#gatherTimer = null;
      this.#gatherGuess.ended(true);
    }
    if (this.#sealImmediate !== null) clearImmediate(this.#sealImmediate);
    this.#sealImmediate = null;
    if (this.#mayOverlap()) this.flush();
  }

  #mayOverlap(): boolean {
    if (this.#queue.length === 0) return true;
    if (this.#queue.length >= this.#options.flushInFlightMax) return false;
    return (this.#open?.segment.bytes ?? 0) >= this.#options.flushOverlapBytesMin;
  }

  #sealFull(): void {
    this.#seal('full');
    this.#uploads.pump();
  }

  #seal(why: 'full' | 'due' = 'due'): void {
    const open = this.#open;
    if (open === null) return;
    const { segment } = open;
    invariant(segment.batchCount > 0, 'an empty segment is never sealed');
    this.#open = null;
    this.#openBytesAtSettling = 0;
    if (this.#ageTimer !== null) clearTimeout(this.#ageTimer);
    this.#ageTimer = null;
    if (this.#returnTimer !== null) clearTimeout(this.#returnTimer);
    this.#returnTimer = null;
    // They were for what is sealed now; what opens next schedules its own.
    if (this.#sealImmediate !== null) clearImmediate(this.#sealImmediate);
    this.#sealImmediate = null;
    if (this.#gatherTimer !== null) clearTimeout(this.#gatherTimer);
    this.#gatherTimer = null;
    if (why === 'full') this.#flushPolicy.filled();
    else this.#flushPolicy.sealed();
    const { clock, metrics, writer } = this.#options;
    const sealedAtMs = clock.monotonicMs();
    this.#queue.push({
      segment: new SealedSegment(segment, writer()),
      sealedAtMs,
      turnMs: sealedAtMs + open.flushMs,
      giveUpAtMs: open.giveUpAtMs,
      state: 'waiting',
    });
    const { batchCount: batches, bytes, openedAtMs } = segment;
    metrics.segmentSealed(this.name, { bytes, batches, openMs: sealedAtMs - openedAtMs });
  }

  // --- what became of it ------------------------------------------------------------------------

  #settled(segment: OpenSegment): void {
    const { clock, flushGatherMsMax, metrics, onSettled } = this.#options;
    const nowMs = clock.monotonicMs();
    const isSameGroup = nowMs - this.#settledAtMs < flushGatherMsMax / 2;
    this.#settledBytes = (isSameGroup ? this.#settledBytes : 0) + segment.bytes;
    this.#settledAtMs = nowMs;
    this.#openBytesAtSettling = this.#open?.segment.bytes ?? 0;
    if (!isSameGroup) this.#gathers = this.#gatherGuess.isWorthIt();
    this.#flushPolicy.answered(segment.bytes, nowMs);
    metrics.segmentSettled(this.name, nowMs - segment.openedAtMs);
    onSettled(segment.bytes);
  }

  #progressed(): void {
    const open = this.#open;
    if (open !== null) {
      if (this.#sealsAtOnce(open)) this.#scheduleSeal();
      else this.#sealIfNoMoreComes(open.segment);
    }
    this.#uploads.pump();
    for (const resolve of this.#progressWaiters.splice(0)) resolve();
  }

  #progress(): Promise<void> {
    return new Promise((resolve) => {
      this.#progressWaiters.push(resolve);
    });
  }
}
