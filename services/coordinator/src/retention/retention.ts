import { limits } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { FeedEvent } from '@kafscale/cluster';
import { openRetentionStore } from '@kafscale/metadata';
import type { MetadataStore, RetentionStore, TrimmedPartition } from '@kafscale/metadata';
import type { ShardOwner } from '../shard/shard-owner.js';
import { retentionPolicy } from '../topics/topic-configs.js';
import type { RetentionMetrics } from './retention-metrics.js';
import { RetentionPlan } from './retention-plan.js';
import type { Candidate } from './retention-plan.js';

export interface RetentionOptions {
  readonly store: MetadataStore;
  readonly owner: ShardOwner;
  readonly clock: Clock;
  readonly metrics: RetentionMetrics;
  /** Segments may have lost their last index row. */
  readonly onReleased: () => void;
  /** Brings back a piece of a partition's cold index; false: it could not be, for now. */
  readonly thaw: (partitionId: number) => Promise<boolean>;
}

/**
 * Moves log starts over what has expired and removes the index rows below them, for all topics of
 * the shard. A pass looks at the partitions that may have work without locks, then removes in small
 * transactions that take their turns with the commits.
 */
export class Retention {
  readonly #options: RetentionOptions;
  readonly #store: RetentionStore;
  readonly #plan = new RetentionPlan();
  #leaseEpoch = -1;
  #extentsCommittedBefore = 0;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#store = openRetentionStore(options.store);
  }

  /** The log starts of these partitions were moved: their rows go with the next pass. */
  expect(partitionIds: readonly number[]): void {
    this.#plan.force(partitionIds);
  }

  /** Does all that is due, or ends with an operating error; the next pass goes on where it ended. */
  async pass(signal: AbortSignal): Promise<void> {
    const { clock, metrics, owner } = this.#options;
    if (!this.#ownsShard()) return;
    const behind = await this.#findWork(signal);
    let waiting = behind.candidates;
    while (waiting.length > 0 && !signal.aborted) {
      metrics.behind(waiting.length, behind.overdueMs);
      const some = waiting.slice(0, limits.retentionStepPartitionsMax);
      const unfinished = await this.#step(some);
      // The others first, so that one long log does not hold up all of them.
      waiting = [...waiting.slice(some.length), ...unfinished];
    }
    if (signal.aborted || owner.lease === null) return;
    metrics.behind(0, 0);
    metrics.passCompleted(clock.wallMs());
  }

  #ownsShard(): boolean {
    const { owner } = this.#options;
    const { lease } = owner;
    if (lease === null || !owner.holds()) return false;
    // What another owner did in between is unknown.
    if (lease.epoch !== this.#leaseEpoch) this.#plan.clear();
    this.#leaseEpoch = lease.epoch;
    return true;
  }

  /** Page by page, without locks. */
  async #findWork(signal: AbortSignal): Promise<{ candidates: Candidate[]; overdueMs: number }> {
    const { clock, owner } = this.#options;
    const policyOf = (topicId: string) => retentionPolicy(owner.configsOf(topicId));
    const candidates = this.#plan.candidates(owner.list(), policyOf, clock.monotonicMs());
    const found: Candidate[] = [];
    let overdueMs = 0;
    for (let at = 0; at < candidates.length && !signal.aborted;) {
      const page = candidates.slice(at, at + limits.retentionProbePartitionsMax);
      at += page.length;
      const byId = new Map(page.map((candidate) => [candidate.partitionId, candidate]));
      const askedAtMs = clock.monotonicMs();
      const probes = await this.#store.probe(this.#shardId, page);
      for (const probe of probes) {
        const candidate = byId.get(probe.partitionId);
        if (candidate === undefined) continue;
        overdueMs = Math.max(overdueMs, probe.overdueMs);
        if (probe.more) found.push(candidate);
        else this.#plan.settle(candidate, askedAtMs + probe.dueInMs);
      }
    }
    return { candidates: found, overdueMs };
  }

  /** One transaction. Returns the partitions that need another one. */
  async #step(candidates: readonly Candidate[]): Promise<Candidate[]> {
    const { clock, metrics, onReleased, owner } = this.#options;
    const startedAtMs = clock.monotonicMs();
    const extentsMax = this.#extentsMax();
    const trimmed = await owner.writeInTurn(async (lease) => {
      const result = await this.#store.trim(lease, candidates, extentsMax);
      return { result, events: result.flatMap(logStartEvent) };
    });
    const extents = trimmed.reduce((sum, { deadExtents }) => sum + deadExtents, 0);
    const bytes = trimmed.reduce((sum, { deadBytes }) => sum + deadBytes, 0);
    metrics.trimmed(extents, bytes);
    if (extents > 0) onReleased();
    const byId = new Map(candidates.map((candidate) => [candidate.partitionId, candidate]));
    const unfinished: Candidate[] = [];
    for (const each of trimmed) {
      const candidate = byId.get(each.partitionId);
      if (candidate === undefined) continue;
      // What could not be brought back is left for the next pass, and holds up nobody.
      if (each.isCold && !(await this.#options.thaw(each.partitionId))) {
        this.#plan.force([each.partitionId]);
        continue;
      }
      if (each.more || each.isCold) unfinished.push(candidate);
      else this.#plan.settle(candidate, startedAtMs + each.dueInMs);
    }
    return unfinished;
  }

  /**
   * How many rows the next step may look at. A row is looked at twice, and at most one group of
   * commits runs between two steps, so four times what commits have added since the last one
   * removes at least twice as much as they add: retention can not fall behind for good.
   */
  #extentsMax(): number {
    const { extentsCommitted } = this.#options.owner;
    const added = extentsCommitted - this.#extentsCommittedBefore;
    this.#extentsCommittedBefore = extentsCommitted;
    const { retentionStepExtentsMax: most, retentionStepExtentsMin: least } = limits;
    return Math.min(most, Math.max(least, 4 * added));
  }

  get #shardId(): number {
    return this.#options.owner.shardId;
  }
}

function logStartEvent({ logStartOffset, moved, partitionId }: TrimmedPartition): FeedEvent[] {
  return moved ? [{ kind: 'logStart', partitionId, logStartOffset }] : [];
}
