import { randomUUID } from 'node:crypto';
import type { OffsetRange } from '@kafscale/cluster';
import { describeError, isOperatingError, limits, sleep } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { CompactionStore, Lease, MergePlan } from '@kafscale/metadata';
import type { CoordinatorLog } from '../observability.js';
import { BadSegments } from './bad-segments.js';
import type { CompactionMetrics } from './compaction-metrics.js';
import { defaultCompactionLimits } from './compaction-limits.js';
import type { CompactionLimits } from './compaction-limits.js';
import type { MergeExecutor } from './merge-job.js';

/** The shard, as far as compaction needs it: ShardOwner. */
export interface CompactionOwnership {
  readonly lease: Lease | null;
  holds(): boolean;
  /** Tells readers to look again; does nothing when the lease has passed on. */
  announceSwap(lease: Lease, ranges: readonly OffsetRange[]): void;
}

/** Without commits the index is looked at once in this part of the grace. */
const quietLookShare = 1 / 2;

export interface CompactorOptions {
  readonly store: CompactionStore;
  readonly ownership: CompactionOwnership;
  readonly executor: MergeExecutor;
  readonly softwareVersion: string;
  readonly clock: Clock;
  readonly log: CoordinatorLog;
  readonly metrics: CompactionMetrics;
  readonly limits?: Partial<CompactionLimits>;
}

/**
 * Segment compaction of the shard that this coordinator owns: plan, merge, swap, and again while there
 * is something to do. Nothing of it is kept anywhere but in the index: whoever owns the shard next
 * plans from what it finds there.
 *
 * The index is read and swapped in short transactions; between them no lock is held and no
 * transaction is open, so a merge may take its time, fail, or be outrun by retention.
 */
export class Compactor {
  readonly #options: CompactorOptions;
  readonly #limits: CompactionLimits;
  readonly #bad: BadSegments;
  readonly #stop = new AbortController();
  /** Merges under way, with the segments that other plans must leave alone. */
  readonly #underWay = new Map<Promise<void>, readonly string[]>();
  #running: Promise<void> | null = null;
  /** Commits until then may have left something that is not older than the grace yet. */
  #activeUntilMs = 0;
  /** Something was committed since the last plan began. */
  #isWoken = false;
  #failuresInARow = 0;
  #freshInARow = 0;

  constructor(options: CompactorOptions) {
    this.#options = options;
    this.#limits = { ...defaultCompactionLimits, ...options.limits };
    this.#bad = new BadSegments(options.clock, {
      countMax: limits.compactionBadSegmentsMax,
      retryAfterMs: limits.compactionBadSegmentRetryMs,
    });
    options.metrics.badSegments(() => this.#bad.count);
  }

  /** Something was committed, or the shard is owned: there is, or will be, something to look at. */
  wake(): void {
    if (this.#stop.signal.aborted) return;
    this.#isWoken = true;
    const { graceMs, intervalMs } = this.#limits;
    this.#activeUntilMs = this.#options.clock.monotonicMs() + graceMs + 2 * intervalMs;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
  }

  /** Merges under way are abandoned: what they have stored is garbage. */
  async close(): Promise<void> {
    this.#stop.abort();
    await this.#options.executor.close();
    await this.#running;
    await Promise.all(this.#underWay.keys());
  }

  async #run(): Promise<void> {
    const { ownership } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const { lease } = ownership;
      const isOwner = lease !== null && ownership.holds();
      // A plan leaves out what is under way, so finding nothing then does not mean the end.
      const isComplete = this.#underWay.size === 0;
      this.#isWoken = false;
      const plan = isOwner ? await this.#plan(lease) : null;
      if (signal.aborted) return;
      if (plan !== null && lease !== null) this.#start(lease, plan);
      else if (isComplete && !this.#isActive()) return;
      if (plan === null) await this.#rest();
      else if (this.#underWay.size >= this.#limits.jobsInFlightMax) await this.#oneDone();
      if (this.#failuresInARow > 0) await sleep(this.#backoffMs(), signal);
    }
  }

  #isActive(): boolean {
    return this.#failuresInARow > 0 || this.#options.clock.monotonicMs() <= this.#activeUntilMs;
  }

  /** The next thing to merge; null: nothing now. */
  async #plan(lease: Lease): Promise<MergePlan | null> {
    try {
      // A long backlog of fresh segments must not starve the later merges for ever.
      const isTurnOfSmall = this.#freshInARow >= this.#limits.freshInARowMax;
      const first = isTurnOfSmall ? this.#planSmall(lease) : this.#planFresh(lease);
      return (await first) ?? (await (isTurnOfSmall ? this.#planFresh : this.#planSmall)(lease));
    } catch (error) {
      this.#failed(error, 'the index could not be read for compaction');
      return null;
    }
  }

  #planFresh = async ({ shardId }: Lease): Promise<MergePlan | null> => {
    const { metrics, store } = this.#options;
    const plan = await store.planFreshMerge({ ...this.#bounds(), shardId });
    if (plan !== null) this.#freshInARow += 1;
    metrics.backlog(await store.backlog({ shardId, graceMs: this.#limits.graceMs }));
    return plan;
  };

  #planSmall = async ({ shardId }: Lease): Promise<MergePlan | null> => {
    this.#freshInARow = 0;
    return this.#options.store.planSmallMerge({ ...this.#bounds(), shardId });
  };

  #bounds() {
    const excludedSegmentIds = [...this.#bad.ids(), ...[...this.#underWay.values()].flat()];
    return { ...this.#limits, excludedSegmentIds };
  }

  #start(lease: Lease, plan: MergePlan): void {
    const task = this.#mergeAndSwap(lease, plan).finally(() => this.#underWay.delete(task));
    this.#underWay.set(task, plan.segmentIds);
  }

  async #mergeAndSwap(lease: Lease, plan: MergePlan): Promise<void> {
    const { clock, executor, log, metrics, softwareVersion } = this.#options;
    const startedAtMs = clock.monotonicMs();
    const segmentId = randomUUID();
    try {
      const outcome = await executor.merge({ plan, segmentId, softwareVersion });
      if (this.#stop.signal.aborted) return;
      if (outcome.kind === 'unreadable') {
        const { kind: _, ...what } = outcome;
        this.#bad.add(outcome.segmentId);
        metrics.unreadable();
        log.error(what, 'a segment is lost or damaged; compaction leaves it alone');
        return;
      }
      if (outcome.kind === 'failed') {
        const { kind: _, ...what } = outcome;
        metrics.failed();
        this.#failuresInARow += 1;
        log.warn(what, 'a merge of segments failed');
        return;
      }
      await this.#swap(lease, plan, outcome.merged);
      metrics.mergeSeconds(clock.monotonicMs() - startedAtMs);
    } catch (error) {
      this.#failed(error, 'the index could not be swapped for a merged segment');
      // It may have been swapped all the same, and telling readers too much does no harm.
      this.#announce(lease, plan);
    }
  }

  async #swap(
    lease: Lease,
    plan: MergePlan,
    merged: Parameters<CompactionStore['swap']>[1]['merged'],
  ): Promise<void> {
    const { metrics, store } = this.#options;
    const { ageMsMax } = this.#limits;
    const result = await store.swap(lease, { plan, merged, ageMsMax });
    this.#failuresInARow = 0;
    if (result === 'superseded') {
      metrics.superseded();
      return;
    }
    this.#announce(lease, plan);
    metrics.merged({
      kind: plan.kind,
      rowsBefore: plan.rowCount,
      rowsAfter: plan.runs.length,
      bytes: merged.sizeBytes,
    });
  }

  #announce(lease: Lease, plan: MergePlan): void {
    const ranges = plan.runs.map(({ baseOffset, nextOffset, partitionId }) => {
      return { partitionId, baseOffset, nextOffset };
    });
    this.#options.ownership.announceSwap(lease, ranges);
  }

  #failed(error: unknown, message: string): void {
    if (!isOperatingError(error)) throw error;
    this.#options.metrics.failed();
    this.#failuresInARow += 1;
    const { code, outcome } = error;
    this.#options.log.warn({ code, outcome, reason: describeError(error) }, message);
  }

  /**
   * Until a merge is done or the next look is due: soon while there are commits; a few times more
   * while the last of them grow older than the grace.
   */
  async #rest(): Promise<void> {
    const { graceMs, intervalMs } = this.#limits;
    const { clock } = this.#options;
    const pause = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, pause.signal]);
    const untilMs = clock.monotonicMs() + Math.max(intervalMs, graceMs * quietLookShare);
    do {
      await Promise.race([sleep(intervalMs, signal), ...this.#underWay.keys()]);
    } while (this.#isQuiet && clock.monotonicMs() < untilMs && !signal.aborted);
    pause.abort();
  }

  get #isQuiet(): boolean {
    return !this.#isWoken && this.#underWay.size === 0 && this.#failuresInARow === 0;
  }

  async #oneDone(): Promise<void> {
    await Promise.race(this.#underWay.keys());
  }

  #backoffMs(): number {
    const { compactionBackoffMsMax, compactionBackoffMsMin } = limits;
    const ceilingMs = compactionBackoffMsMin * 2 ** Math.min(this.#failuresInARow - 1, 30);
    return Math.min(ceilingMs, compactionBackoffMsMax) * (0.5 + Math.random() / 2);
  }
}
