import { isOperatingError, limits, OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { QueuedSegment } from '../commit/commit-queue.js';
import type { IngestLog, IngestMetrics } from '../observability.js';
import type { SealJob, StoredSegment } from '../seal/seal-job.js';
import type { LaneName } from './latency-lane.js';
import type { RecentSegments } from './recent-segments.js';
import { UploadLimit } from './upload-limit.js';

const storeThrottles = new OperatingError('STORE_THROTTLED', 'the store takes too few requests');

/** A lane as the scheduler sees it. */
export interface UploadSource {
  readonly name: LaneName;
  /** Whose turn it is: the least goes first. Infinity: there is nothing to upload. */
  readonly uploadTurnMs: number;
  /** The next segment to upload; seals the open one if there is no other. */
  takeUpload(): QueuedSegment;
  /** It is stored, failed for good, or waits again. */
  uploadEnded(): void;
}

export interface UploadSchedulerOptions {
  /** Rejects with STORE_THROTTLED when the store has too many requests, else for good. */
  readonly upload: (job: SealJob) => Promise<StoredSegment>;
  readonly uploadsMax: number;
  readonly segmentKey: (segmentId: string) => string;
  readonly softwareVersion: string;
  readonly recent: RecentSegments;
  readonly clock: Clock;
  readonly log: IngestLog;
  readonly metrics: IngestMetrics;
}

/**
 * Shares the uploads that may be under way among the lanes.
 *
 * While there is no free one, lanes leave their due segments open, up to segment.bytes: fewer uploads
 * become larger ones, and the byte budget holds the sockets back. What the store throttles waits for
 * its turn again, as long as a client waits for it; with each refusal in a row the next upload is
 * begun later.
 */
export class UploadScheduler {
  readonly #options: UploadSchedulerOptions;
  readonly #limit: UploadLimit;
  readonly #sources: UploadSource[] = [];
  #uploading = 0;
  #throttlesInRow = 0;
  #throttledAtMs = -Infinity;
  #pause: NodeJS.Timeout | null = null;

  constructor(options: UploadSchedulerOptions) {
    this.#options = options;
    this.#limit = new UploadLimit(options.uploadsMax);
  }

  get limit(): number {
    return this.#limit.uploads;
  }

  get uploading(): number {
    return this.#uploading;
  }

  add(source: UploadSource): void {
    this.#sources.push(source);
  }

  /** Begins what may be begun. To be called whenever a lane has something, or an upload ended. */
  pump(): void {
    while (this.#pause === null && this.#uploading < this.#limit.uploads) {
      const source = this.#next();
      if (source === null) return;
      const queued = source.takeUpload();
      if (!this.#isInTheWay(queued)) void this.#upload(source, queued);
      else {
        this.#fail(source, queued, storeThrottles);
        source.uploadEnded();
      }
    }
  }

  #next(): UploadSource | null {
    let next: UploadSource | null = null;
    let turnMs = Infinity;
    for (const source of this.#sources) {
      const { uploadTurnMs } = source;
      if (uploadTurnMs >= turnMs) continue;
      next = source;
      turnMs = uploadTurnMs;
    }
    return next;
  }

  async #upload(source: UploadSource, queued: QueuedSegment): Promise<void> {
    const { clock, segmentKey, softwareVersion, upload } = this.#options;
    const { segment } = queued;
    const startedAtMs = clock.monotonicMs();
    queued.state = 'uploading';
    this.#uploading += 1;
    try {
      const key = segmentKey(segment.source.segmentId);
      this.#stored(source, queued, await upload(segment.job(key, softwareVersion)));
    } catch (error) {
      this.#refused(source, queued, { error, startedAtMs });
    }
    this.#uploading -= 1;
    source.uploadEnded();
    this.pump();
  }

  #stored(source: UploadSource, queued: QueuedSegment, stored: StoredSegment): void {
    const { clock, metrics, recent } = this.#options;
    queued.segment.uploaded(stored);
    queued.state = 'uploaded';
    this.#limit.succeeded();
    this.#throttlesInRow = 0;
    recent.show(queued.segment);
    const { putMs, sealMs, sizeBytes } = stored;
    const totalMs = clock.monotonicMs() - queued.sealedAtMs;
    metrics.segmentUploaded(source.name, { sizeBytes, sealMs, putMs, totalMs });
  }

  #refused(
    source: UploadSource,
    queued: QueuedSegment,
    { error, startedAtMs }: { error: unknown; startedAtMs: number },
  ): void {
    if (!isOperatingError(error) || error.code !== 'STORE_THROTTLED') {
      return this.#fail(source, queued, error);
    }
    const { clock, metrics } = this.#options;
    this.#throttledAtMs = clock.monotonicMs();
    this.#limit.throttled(startedAtMs, this.#throttledAtMs);
    metrics.uploadThrottled();
    this.#throttlesInRow += 1;
    this.#pauseAWhile();
    if (this.#isLate(queued)) return this.#fail(source, queued, error);
    queued.state = 'waiting';
  }

  /**
   * The store throttles, and nobody waits for it any more: others are waited for. What was begun after
   * the last refusal is tried all the same. If it were not, then clients whose timeout is shorter than
   * the flush interval would have nothing tried, and nobody would learn that the store takes puts again.
   */
  #isInTheWay(queued: QueuedSegment): boolean {
    if (this.#throttlesInRow === 0) return false;
    return queued.segment.source.openedAtMs <= this.#throttledAtMs && this.#isLate(queued);
  }

  #isLate(queued: QueuedSegment): boolean {
    return this.#options.clock.monotonicMs() >= queued.giveUpAtMs;
  }

  /** Whether or not the object is there: it is never committed, so nothing was written. */
  #fail(source: UploadSource, queued: QueuedSegment, error: unknown): void {
    const { log, metrics } = this.#options;
    queued.state = 'failed';
    metrics.uploadFailed();
    const { segmentId } = queued.segment.source;
    log.error({ err: error, segmentId, lane: source.name }, 'segment upload failed');
  }

  /** With full jitter, so that the nodes of a store that comes back don't come back together. */
  #pauseAWhile(): void {
    if (this.#pause !== null) return;
    const ceilingMs = Math.min(
      limits.storeBackoffMsMax,
      limits.storeBackoffMsMin * 2 ** (this.#throttlesInRow - 1),
    );
    this.#pause = setTimeout(() => {
      this.#pause = null;
      this.pump();
    }, Math.random() * ceilingMs);
  }
}
