import { segmentIdFromKey, segmentsPrefix } from '@kafscale/codec';
import { invariant, limits, sleep } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import { openGarbageStore, orphanSweepParts } from '@kafscale/metadata';
import type { GarbageStore, MetadataStore, OrphanSweepState } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';
import type { CoordinatorLog } from '../observability.js';
import type { ShardOwner } from '../shard/shard-owner.js';
import type { GarbageMetrics, KeptReason } from './garbage-metrics.js';
import { judgeOrphan } from './judge-orphan.js';
import type { ListedSegment, Orphan, OrphanBounds } from './judge-orphan.js';

export interface OrphanSweepOptions {
  readonly store: MetadataStore;
  readonly objectStore: ObjectStore;
  readonly owner: ShardOwner;
  readonly clock: Clock;
  readonly log: CoordinatorLog;
  readonly metrics: GarbageMetrics;
  /**
   * Infinity: this process has not written the index in the bucket yet. It refuses to when the bucket
   * is ahead of the metadata store (a restored backup): then objects without rows are no orphans.
   */
  readonly unwrittenForMs: () => number;
  readonly graceMs?: number;
  readonly intervalMs?: number;
  readonly pauseMs?: number;
}

const { clockSkewMsMax, commitAgeMsMax, commitTimeoutMs, orphanGraceMs } = limits;
invariant(
  orphanGraceMs >= commitAgeMsMax + commitTimeoutMs + clockSkewMsMax,
  'an object is an orphan only when it can not be committed any more',
);

/**
 * Deletes objects that were uploaded and never committed. Once a day it lists the bucket, in 256
 * parts with pauses, and asks the index about all objects that are old enough. How far it has come is
 * in the database, to a few parts: a restart goes on, and does not begin anew.
 *
 * A segment in a cold range has no row. What keeps it is the watermark: only segments that were born
 * before it lose their row, and only what was born since is deleted here, by a watermark that is read in
 * the statement that finds no row. So, however long this process was paused in between: if a segment
 * has lost its row by then, the watermark is beyond its birth by then.
 */
export class OrphanSweep {
  readonly #options: OrphanSweepOptions;
  readonly #store: GarbageStore;
  readonly #graceMs: number;
  readonly #intervalMs: number;
  readonly #pauseMs: number;
  #leaseEpoch = -1;
  #dueMs = -Infinity;
  #kept = noneKept();
  /** In this step. */
  #hasFailed = false;

  constructor(options: OrphanSweepOptions) {
    this.#options = options;
    this.#store = openGarbageStore(options.store);
    this.#graceMs = options.graceMs ?? orphanGraceMs;
    this.#intervalMs = options.intervalMs ?? limits.orphanSweepIntervalMs;
    this.#pauseMs = options.pauseMs ?? limits.orphanSweepPauseMs;
  }

  /** The rest of the sweep that is due; nothing, and no query, if none is. */
  async pass(signal: AbortSignal): Promise<void> {
    const { clock, owner } = this.#options;
    const { lease } = owner;
    if (lease === null || !owner.holds()) return;
    if (lease.epoch !== this.#leaseEpoch) this.#dueMs = -Infinity;
    this.#leaseEpoch = lease.epoch;
    if (clock.monotonicMs() < this.#dueMs) return;
    if (this.#options.unwrittenForMs() === Infinity) return;
    while (!signal.aborted && owner.holds()) {
      const state = await this.#store.loadOrphanSweep();
      this.#dueMs = clock.monotonicMs() + state.dueInMs;
      if (state.dueInMs > 0) return;
      await this.#sweepSome(state, signal);
    }
  }

  /** Ends where its progress is written down. */
  async #sweepSome(state: OrphanSweepState, signal: AbortSignal): Promise<void> {
    const { clock, metrics, owner } = this.#options;
    const partsMax = limits.orphanSweepPartsPerStepMax;
    this.#hasFailed = false;
    const end = Math.min(state.nextPart + partsMax, orphanSweepParts);
    for (let part = state.nextPart; part < end; part += 1) {
      if (part === 0) this.#kept = noneKept();
      await this.#sweepPart(part, state, signal);
      await sleep(this.#pauseMs, signal);
      if (signal.aborted || !owner.holds()) return;
    }
    const { lease } = owner;
    if (lease === null) return;
    await this.#store.advanceOrphanSweep(lease, {
      fromPart: state.nextPart,
      donePart: end - 1,
      intervalMs: this.#intervalMs,
      begunMs: state.databaseTimeMs,
      // Never less than that of real life: a test's may be none.
      marginMs: 2 * Math.max(this.#graceMs, orphanGraceMs),
      hasFailed: this.#hasFailed,
    });
    metrics.orphansKept(this.#kept);
    if (end === orphanSweepParts) metrics.sweepCompleted(clock.wallMs());
  }

  async #sweepPart(part: number, state: OrphanSweepState, signal: AbortSignal): Promise<void> {
    const { objectStore } = this.#options;
    // Its birth, which decides, is not much later.
    const judgedFromMs = state.watermarkMs - clockSkewMsMax;
    const bounds: OrphanBounds = {
      youngestMs: state.databaseTimeMs - this.#graceMs,
      incarnation: state.incarnation,
      nodeIdMax: state.nodeIdMax,
    };
    const prefix = `${segmentsPrefix}${part.toString(16).padStart(2, '0')}/`;
    let some: ListedSegment[] = [];
    for await (const { key, lastModifiedMs, sizeBytes } of objectStore.list(prefix)) {
      if (signal.aborted) return;
      const segmentId = segmentIdFromKey(key);
      if (segmentId === undefined) this.#keep('unrecognized');
      else if (lastModifiedMs <= bounds.youngestMs && lastModifiedMs >= judgedFromMs) {
        some.push({ segmentId, key, sizeBytes, lastModifiedMs });
      }
      if (some.length < limits.garbageStepSegmentsMax) continue;
      await this.#judgeSome(some, bounds);
      some = [];
      await sleep(this.#pauseMs, signal);
    }
    if (some.length > 0) await this.#judgeSome(some, bounds);
  }

  /** One query for all of them; only those that it does not know are opened. */
  async #judgeSome(listed: readonly ListedSegment[], bounds: OrphanBounds): Promise<void> {
    const byId = new Map(listed.map((segment) => [segment.segmentId, segment]));
    const orphans: Orphan[] = [];
    const { segmentIds } = await this.#store.findUnknownSegments([...byId.keys()]);
    for (const segmentId of segmentIds) {
      const segment = byId.get(segmentId);
      invariant(segment !== undefined, 'the answer is among what was asked');
      const verdict = await judgeOrphan(this.#options.objectStore, segment, bounds);
      if (verdict.kind === 'kept') this.#keep(verdict.reason);
      if (verdict.kind === 'orphan') orphans.push(verdict.orphan);
    }
    if (orphans.length > 0) await this.#delete(orphans);
  }

  /** Asks the index once more: what it named meanwhile is no orphan, however that came about. */
  async #delete(orphans: readonly Orphan[]): Promise<void> {
    const { log, metrics, objectStore, owner } = this.#options;
    const ids = orphans.map(({ segmentId }) => segmentId);
    const { segmentIds, watermarkMs } = await this.#store.findUnknownSegments(ids);
    const unknown = new Set(segmentIds);
    const doomed = orphans.filter(
      ({ birthMs, segmentId }) => unknown.has(segmentId) && birthMs >= watermarkMs,
    );
    if (doomed.length === 0 || !owner.holds()) return;
    const failed = new Set(await objectStore.delete(doomed.map(({ key }) => key)));
    const deleted = doomed.filter(({ key }) => !failed.has(key));
    const bytes = deleted.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    metrics.orphansDeleted(deleted.length, bytes);
    metrics.deletesFailed(failed.size);
    if (failed.size > 0) this.#hasFailed = true;
    log.info({ objects: deleted.length, bytes, failed: failed.size }, 'orphans deleted');
  }

  #keep(reason: KeptReason): void {
    this.#kept[reason] += 1;
  }
}

function noneKept(): Record<KeptReason, number> {
  return { unrecognized: 0, incarnation: 0, node: 0 };
}
