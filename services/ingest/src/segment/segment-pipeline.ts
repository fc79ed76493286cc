import type { LaneBatch, LaneOptions } from './lane.js';
import { Lane } from './lane.js';
import { laneOf } from './latency-lane.js';
import type { LaneName } from './latency-lane.js';
import { UploadScheduler } from './upload-scheduler.js';
import type { UploadSchedulerOptions } from './upload-scheduler.js';

export interface SegmentPipelineOptions extends LaneOptions, UploadSchedulerOptions {
  /** For batches of topics that have none of their own; 0: group commit. */
  readonly flushIntervalMs: number;
}

export interface PipelineBatch extends LaneBatch {
  /** kafscale.flush.ms of its topic; −1: the node's. */
  readonly flushMs: number;
}

/**
 * Batches into segments, by latency lane (design §4.3). Lanes share memory and uploads and nothing
 * else: each seals, commits and answers in an order of its own.
 *
 * The batches of a partition must keep their order (P3), so a partition is in one lane at a time: when
 * its topic's flush interval changes, what comes goes where its unsettled batches are, until there are
 * none. For a partition that is written without a break that time never comes by itself: whoever
 * appends can wait for it with `laneChange`.
 */
export class SegmentPipeline {
  readonly #options: SegmentPipelineOptions;
  readonly #uploads: UploadScheduler;
  /** Those that were ever used. An idle lane has no timer and makes no call. */
  readonly #lanes = new Map<LaneName, Lane>();
  #hurried = false;

  constructor(options: SegmentPipelineOptions) {
    this.#options = options;
    this.#uploads = new UploadScheduler(options);
  }

  /** Copies the batch or holds its memory; its listener hears of it once. */
  append(batch: PipelineBatch): void {
    const flushMs = this.#flushMsOf(batch.flushMs);
    const lane = this.#lane(laneOf(flushMs, this.#options.flushIntervalMs));
    const { partitionId } = batch.target;
    (this.#holderOf(partitionId, lane) ?? lane).append(batch, flushMs);
  }

  /** False: no partition can have to change its lane. */
  get hasSeveralLanes(): boolean {
    return this.#lanes.size > 1;
  }

  /**
   * The partition's batches are on their way in another lane than the one that they belong to now: a
   * way to wait until they no longer are. Undefined in all other cases.
   */
  laneChange(partitionId: number, topicFlushMs: number): (() => Promise<void>) | undefined {
    const flushMs = this.#flushMsOf(topicFlushMs);
    const lane = this.#lane(laneOf(flushMs, this.#options.flushIntervalMs));
    const holder = this.#holderOf(partitionId, lane);
    return holder && (() => holder.leave(partitionId));
  }

  /**
   * Requests wait for memory. If all of it is in segments that are still open, it is not worth waiting
   * for the rest of their intervals.
   */
  relieve(): void {
    const lanes = [...this.#lanes.values()];
    if (lanes.every((lane) => lane.sealedSegments === 0)) for (const lane of lanes) lane.flush();
  }

  /** Shutdown has begun: from now on a segment is sealed as soon as it has something. */
  hurry(): void {
    this.#hurried = true;
    for (const lane of this.#lanes.values()) lane.hurry();
  }

  /** Seals what is open and waits until everything is settled. */
  async drain(): Promise<void> {
    this.hurry();
    await Promise.all([...this.#lanes.values()].map((lane) => lane.drained()));
  }

  /** Bytes of batches that are not settled. */
  laneBytes(name: LaneName): number {
    return this.#lanes.get(name)?.bytes ?? 0;
  }

  get uploadsLimit(): number {
    return this.#uploads.limit;
  }

  get uploadsInFlight(): number {
    return this.#uploads.uploading;
  }

  #flushMsOf(topicFlushMs: number): number {
    return topicFlushMs < 0 ? this.#options.flushIntervalMs : topicFlushMs;
  }

  #lane(name: LaneName): Lane {
    const known = this.#lanes.get(name);
    if (known !== undefined) return known;
    const lane = new Lane(name, this.#options, this.#uploads);
    if (this.#hurried) lane.hurry();
    this.#lanes.set(name, lane);
    return lane;
  }

  /** Another lane that has unsettled batches of the partition. At most one has: see above. */
  #holderOf(partitionId: number, wanted: Lane): Lane | undefined {
    // The usual case, without a look at the others: this segment has something of it already.
    if (this.#lanes.size < 2 || wanted.isCollecting(partitionId)) return undefined;
    for (const lane of this.#lanes.values()) {
      if (lane !== wanted && lane.holds(partitionId)) return lane;
    }
    return undefined;
  }
}
