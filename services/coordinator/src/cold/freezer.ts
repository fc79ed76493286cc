import { isOperatingError, limits } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import { openColdStore } from '@kafscale/metadata';
import type { ColdStore, Lease, MetadataStore } from '@kafscale/metadata';
import { BadSegments } from '../compaction/bad-segments.js';
import type { CoordinatorLog } from '../observability.js';
import type { ColdLimits } from './cold-limits.js';
import type { ColdMetrics } from './cold-metrics.js';
import type { ColdMover, ColdOwnership } from './cold-mover.js';
import { isLostOrDamaged } from './cold-objects.js';
import type { ColdObjects } from './cold-objects.js';

export interface FreezerOptions {
  readonly store: MetadataStore;
  readonly mover: ColdMover;
  readonly objects: ColdObjects;
  readonly ownership: ColdOwnership & { readonly transactions: number };
  /** See GarbageCollector: what the bucket's index may still name is not deleted. */
  readonly unwrittenForMs: () => number;
  readonly limits: ColdLimits;
  readonly clock: Clock;
  readonly log: CoordinatorLog;
  readonly metrics: ColdMetrics;
}

/**
 * Keeps the index rows of every partition to a hot window: the oldest leave for objects in the bucket,
 * neighbouring objects are merged, and objects that no range needs are deleted. Asks nothing while
 * nothing has changed and nothing waits.
 */
export class Freezer {
  readonly #options: FreezerOptions;
  readonly #store: ColdStore;
  readonly #bad: BadSegments;
  #leaseEpoch = -1;
  #startsAtMs = -Infinity;
  #transactionsSeen = -1;
  #isWaiting = true;

  constructor(options: FreezerOptions) {
    this.#options = options;
    this.#store = openColdStore(options.store);
    this.#bad = new BadSegments(options.clock, {
      countMax: limits.compactionBadSegmentsMax,
      retryAfterMs: limits.compactionBadSegmentRetryMs,
    });
  }

  async pass(signal: AbortSignal): Promise<void> {
    const { clock, limits: bounds, metrics, ownership } = this.#options;
    const lease = this.#lease;
    if (lease === null) return;
    if (lease.epoch !== this.#leaseEpoch) {
      this.#leaseEpoch = lease.epoch;
      this.#isWaiting = true;
      this.#startsAtMs = clock.monotonicMs() + bounds.startDelayMs;
    }
    if (clock.monotonicMs() < this.#startsAtMs) return;
    if (!this.#isWaiting && ownership.transactions === this.#transactionsSeen) return;
    this.#isWaiting = true;
    const areCrowded = await this.#freezeAll(lease, signal);
    await this.#mergeAll(lease, signal);
    await this.#collect(lease, signal);
    if (signal.aborted || !ownership.holds()) return;
    const counts = await this.#store.counts(lease.shardId);
    metrics.counts(counts);
    this.#isWaiting = areCrowded || counts.otherObjects > 0 || this.#bad.count > 0;
    this.#transactionsSeen = ownership.transactions;
  }

  /** Whether there are partitions with more rows than should stay. */
  async #freezeAll(lease: Lease, signal: AbortSignal): Promise<boolean> {
    const { limits: bounds, mover } = this.#options;
    const { shardId } = lease;
    const partitionsMax = limits.coldPartitionsPerPassMax;
    const crowded = await this.#store.findCrowded({ shardId, bounds, partitionsMax });
    for (const partitionId of crowded) {
      while (!signal.aborted && this.#lease !== null) {
        if ((await mover.freeze(lease, partitionId)) !== 'swapped') break;
      }
    }
    return crowded.length > 0;
  }

  async #mergeAll(lease: Lease, signal: AbortSignal): Promise<void> {
    const { fanIn, rangeExtentsMax: extentsMax } = this.#options.limits;
    const { shardId } = lease;
    while (!signal.aborted && this.#lease !== null) {
      const excludedObjectIds = this.#bad.ids();
      const request = { shardId, fanIn, extentsMax, excludedObjectIds };
      const ranges = await this.#store.findMergeable(request);
      if (ranges === null) return;
      try {
        if ((await this.#options.mover.merge(lease, ranges)) === 'superseded') return;
      } catch (error) {
        if (!isOperatingError(error) || !isLostOrDamaged(error.code)) throw error;
        this.#options.metrics.unreadable();
        const { code, message } = error;
        this.#options.log.error({ code, message }, 'a cold range is lost or damaged: run fsck');
        // All of them for now: which one it is says the next attempt with its neighbours, or fsck.
        for (const { objectId } of ranges) this.#bad.add(objectId);
      }
    }
  }

  /** In this order: an object whose row is gone would never be found again. */
  async #collect(lease: Lease, signal: AbortSignal): Promise<void> {
    const { limits: bounds, objects, unwrittenForMs } = this.#options;
    const waitMs = Math.max(bounds.waitMs, unwrittenForMs());
    if (waitMs === Infinity) return;
    const countMax = limits.coldGarbageStepMax;
    while (!signal.aborted && this.#lease !== null) {
      const request = { waitMs, plannedMsMax: bounds.plannedMsMax, countMax };
      const due = await this.#store.findGarbage(lease, request);
      if (due.length === 0 || this.#lease === null) return;
      const failed = await objects.delete(due);
      const deleted = due.filter((objectId) => !failed.has(objectId));
      await this.#store.forgetGarbage(lease, deleted);
      if (failed.size > 0) return;
    }
  }

  get #lease(): Lease | null {
    const { ownership } = this.#options;
    return ownership.holds() ? ownership.lease : null;
  }
}
