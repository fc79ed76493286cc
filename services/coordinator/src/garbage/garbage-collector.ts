import { segmentKey } from '@kafscale/codec';
import { invariant, limits, sleep } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import { openGarbageStore } from '@kafscale/metadata';
import type { GarbageStore, Lease, MetadataStore } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';
import type { CoordinatorLog } from '../observability.js';
import type { ShardOwner } from '../shard/shard-owner.js';
import type { GarbageMetrics } from './garbage-metrics.js';

export interface GarbageCollectorOptions {
  readonly store: MetadataStore;
  readonly objectStore: ObjectStore;
  readonly owner: ShardOwner;
  readonly clock: Clock;
  readonly log: CoordinatorLog;
  readonly metrics: GarbageMetrics;
  /**
   * For how long there have been changes that the index in the bucket lacks. What became garbage
   * since then is named by what a recovery would read: it waits until it is not. Infinity: all waits.
   */
  readonly unwrittenForMs: () => number;
  readonly waitMs?: number;
  readonly stepPauseMs?: number;
}

const { clockSkewMsMax, commitAgeMsMax, fetchWaitMsMax, garbageWaitMs } = limits;
invariant(
  garbageWaitMs > fetchWaitMsMax + limits.loadWaitMsMax + limits.storeOperationTimeoutMs,
  'the wait is longer than the longest fetch',
);
invariant(
  garbageWaitMs >= commitAgeMsMax + clockSkewMsMax,
  'after the wait a commit can not be repeated any more',
);

/**
 * Deletes the objects of segments that no index row refers to: mark, wait, delete, forget. Every step
 * is found by what the rows say, so a process that dies between two of them is nobody's problem.
 */
export class GarbageCollector {
  readonly #options: GarbageCollectorOptions;
  readonly #store: GarbageStore;
  readonly #waitMs: number;
  readonly #stepPauseMs: number;
  #leaseEpoch = -1;
  /** Of the owner's transactions: those that the last pass has seen. */
  #transactionsSeen = -1;
  #isExpecting = true;
  /** On the monotonic clock: when the next marked segment is due. */
  #dueMs = Infinity;
  #waiting = { segments: 0, bytes: 0 };

  constructor(options: GarbageCollectorOptions) {
    this.#options = options;
    this.#store = openGarbageStore(options.store);
    this.#waitMs = options.waitMs ?? garbageWaitMs;
    this.#stepPauseMs = options.stepPauseMs ?? limits.garbageStepPauseMs;
  }

  /** Index rows went in another way than by a write of the shard's owner. */
  expect(): void {
    this.#isExpecting = true;
  }

  /** Marks what has become garbage, deletes what has waited enough. Asks nothing if nothing changed. */
  async pass(signal: AbortSignal): Promise<void> {
    const { clock, owner } = this.#options;
    const { lease } = owner;
    if (lease === null || !owner.holds()) return;
    if (lease.epoch !== this.#leaseEpoch) await this.#begin(lease);
    const { transactions } = owner;
    const isChanged = this.#isExpecting || transactions !== this.#transactionsSeen;
    if (!isChanged && clock.monotonicMs() < this.#dueMs) return;
    if (isChanged) {
      this.#isExpecting = false;
      this.#transactionsSeen = transactions;
      await this.#markAll(signal).catch((error: unknown) => {
        this.#isExpecting = true;
        throw error;
      });
    }
    await this.#deleteDue(signal);
    if (!signal.aborted) await this.#schedule();
  }

  /** The shard was taken: how much of it waits already. */
  async #begin({ epoch, shardId }: Lease): Promise<void> {
    const { bytes, oldestMarkMs, segments } = await this.#store.loadState(shardId);
    this.#leaseEpoch = epoch;
    this.#isExpecting = true;
    this.#waiting = { segments, bytes };
    this.#setDue(oldestMarkMs);
  }

  async #markAll(signal: AbortSignal): Promise<void> {
    const segmentsMax = limits.garbageStepSegmentsMax;
    for (let lease = this.#lease; lease !== null && !signal.aborted; lease = this.#lease) {
      const marked = await this.#store.mark(lease, segmentsMax);
      this.#waiting.segments += marked.segments;
      this.#waiting.bytes += marked.bytes;
      if (marked.segments < segmentsMax) return;
    }
  }

  async #deleteDue(signal: AbortSignal): Promise<void> {
    const waitMs = Math.max(this.#waitMs, this.#options.unwrittenForMs());
    if (waitMs === Infinity) return;
    const request = { waitMs, segmentsMax: limits.garbageStepSegmentsMax };
    for (let lease = this.#lease; lease !== null && !signal.aborted; lease = this.#lease) {
      const due = await this.#store.findDue(lease.shardId, request);
      this.#options.metrics.waiting(this.#waiting.segments, this.#waiting.bytes, due.overdueMs);
      if (due.referencedIds.length > 0) await this.#refuse(lease, due.referencedIds);
      if (due.segmentIds.length > 0) await this.#deleteSome(lease, due.segmentIds);
      if (due.segmentIds.length + due.referencedIds.length < request.segmentsMax) return;
      await sleep(this.#stepPauseMs, signal);
    }
  }

  /** In this order: a segment whose row is gone would never be deleted by its row again. */
  async #deleteSome(lease: Lease, segmentIds: readonly string[]): Promise<void> {
    const { metrics, objectStore, owner } = this.#options;
    if (!owner.holds()) return;
    const idByKey = new Map(segmentIds.map((segmentId) => [segmentKey(segmentId), segmentId]));
    const failedKeys = new Set(await objectStore.delete([...idByKey.keys()]));
    const failedIds: string[] = [];
    const deletedIds: string[] = [];
    for (const [key, id] of idByKey) (failedKeys.has(key) ? failedIds : deletedIds).push(id);
    if (failedIds.length > 0) {
      metrics.deletesFailed(failedIds.length);
      this.#options.log.warn({ objects: failedIds.length }, 'objects could not be deleted yet');
      await this.#store.postpone(lease, failedIds);
    }
    const forgotten = await this.#store.forget(lease, deletedIds);
    this.#waiting.segments -= forgotten.segments;
    this.#waiting.bytes -= forgotten.bytes;
    metrics.deleted(forgotten.segments, forgotten.bytes);
  }

  /**
   * The safety monitor. A count says that nothing refers to a segment, and a row does: one of them is
   * wrong, and the object stays, whichever it is.
   */
  async #refuse(lease: Lease, segmentIds: readonly string[]): Promise<void> {
    const { log, metrics } = this.#options;
    metrics.refused(segmentIds.length);
    const shown = 10;
    log.error(
      { segments: segmentIds.length, segmentIds: segmentIds.slice(0, shown) },
      'segments that count as garbage are referenced: nothing of them is deleted',
    );
    await this.#store.postpone(lease, segmentIds);
  }

  async #schedule(): Promise<void> {
    const lease = this.#lease;
    if (lease === null) return;
    const oldestMarkMs =
      this.#waiting.segments === 0 ? null : await this.#store.findOldestMarkMs(lease.shardId);
    this.#setDue(oldestMarkMs);
    const overdueMs = Math.max(0, (oldestMarkMs ?? 0) - this.#waitMs);
    this.#options.metrics.waiting(this.#waiting.segments, this.#waiting.bytes, overdueMs);
  }

  #setDue(oldestMarkMs: number | null): void {
    const nowMs = this.#options.clock.monotonicMs();
    this.#dueMs = oldestMarkMs === null ? Infinity : nowMs + this.#waitMs - oldestMarkMs;
  }

  get #lease(): Lease | null {
    const { owner } = this.#options;
    return owner.holds() ? owner.lease : null;
  }
}
