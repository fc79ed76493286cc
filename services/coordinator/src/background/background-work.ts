import { limits } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { MetadataStore } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';
import type { ColdIndex } from '../cold/cold-index.js';
import type { ColdLimits } from '../cold/cold-limits.js';
import type { ColdMetrics } from '../cold/cold-metrics.js';
import { GarbageCollector } from '../garbage/garbage-collector.js';
import type { GarbageMetrics } from '../garbage/garbage-metrics.js';
import { OrphanSweep } from '../garbage/orphan-sweep.js';
import type { CoordinatorLog } from '../observability.js';
import { ProducerExpiry } from '../retention/producer-expiry.js';
import { Retention } from '../retention/retention.js';
import type { RetentionMetrics } from '../retention/retention-metrics.js';
import type { ShardOwner } from '../shard/shard-owner.js';
import { TimedTask } from './timed-task.js';

/** What retention and garbage collection need beside the coordinator's own parts. */
export interface BackgroundOptions {
  /** Where the segments are. The caller closes it, after the coordinator. */
  readonly objectStore: ObjectStore;
  readonly metrics: {
    readonly retention: RetentionMetrics;
    readonly garbage: GarbageMetrics;
    readonly cold: ColdMetrics;
  };
  /** For tests; the defaults are in limits. */
  readonly times?: BackgroundTimes;
}

export interface BackgroundTimes {
  readonly checkIntervalMs?: number;
  readonly garbageWaitMs?: number;
  readonly orphanGraceMs?: number;
  readonly orphanSweepIntervalMs?: number;
  readonly producerIdExpirationMs?: number;
  /** Between the steps of garbage collection and sweeps. */
  readonly pauseMs?: number;
  readonly cold?: Partial<ColdLimits>;
}

interface BackgroundContext extends BackgroundOptions {
  readonly store: MetadataStore;
  readonly owner: ShardOwner;
  readonly clock: Clock;
  readonly log: CoordinatorLog;
  /** See IndexWriter; 0 without one. */
  readonly unwrittenForMs: () => number;
  readonly coldIndex: ColdIndex;
}

/** What the owner of a shard does when nobody asks: each part in its own time, none in a request. */
export class BackgroundWork {
  readonly #retention: Retention;
  readonly #garbage: GarbageCollector;
  readonly #retentionTask: TimedTask;
  readonly #tasks: readonly TimedTask[];

  constructor(context: BackgroundContext) {
    const { log, metrics, times = {} } = context;
    const { checkIntervalMs, garbageWaitMs, orphanGraceMs, pauseMs } = times;
    const { orphanSweepIntervalMs, producerIdExpirationMs } = times;
    this.#garbage = new GarbageCollector({
      ...context,
      metrics: metrics.garbage,
      ...(garbageWaitMs !== undefined && { waitMs: garbageWaitMs }),
      ...(pauseMs !== undefined && { stepPauseMs: pauseMs }),
    });
    this.#retention = new Retention({
      ...context,
      metrics: metrics.retention,
      onReleased: () => this.#garbage.expect(),
      thaw: context.coldIndex.thaw,
    });
    const sweep = new OrphanSweep({
      ...context,
      metrics: metrics.garbage,
      ...(orphanGraceMs !== undefined && { graceMs: orphanGraceMs }),
      ...(orphanSweepIntervalMs !== undefined && { intervalMs: orphanSweepIntervalMs }),
      ...(pauseMs !== undefined && { pauseMs }),
    });
    const producers = new ProducerExpiry({
      ...context,
      metrics: metrics.retention,
      ...(producerIdExpirationMs !== undefined && { idleMsMax: producerIdExpirationMs }),
    });
    const task = (name: string, intervalMs: number, run: TimedTaskRun): TimedTask =>
      new TimedTask({ name, intervalMs: checkIntervalMs ?? intervalMs, run, log });
    this.#retentionTask = task('retention', limits.retentionCheckIntervalMs, (signal) =>
      this.#retention.pass(signal),
    );
    this.#tasks = [
      this.#retentionTask,
      task('garbage collection', limits.garbageCheckIntervalMs, (signal) =>
        this.#garbage.pass(signal),
      ),
      task('cold index', limits.coldCheckIntervalMs, (signal) =>
        context.coldIndex.freezer.pass(signal),
      ),
      task('orphan sweep', limits.garbageCheckIntervalMs, (signal) => sweep.pass(signal)),
      task('producer expiry', limits.producerExpiryCheckMs, (signal) => producers.pass(signal)),
    ];
  }

  start(): void {
    for (const task of this.#tasks) task.start();
  }

  async close(): Promise<void> {
    await Promise.all(this.#tasks.map((task) => task.close()));
  }

  /** The shard was taken, or given up: what is due is due now. */
  ownershipChanged(): void {
    for (const task of this.#tasks) task.wake();
  }

  /** DeleteRecords has moved log starts. */
  recordsDeleted(partitionIds: readonly number[]): void {
    this.#retention.expect(partitionIds);
    this.#retentionTask.wake();
  }

  topicAltered(): void {
    this.#retentionTask.wake();
  }

  /** Index rows of a deleted topic are gone. */
  topicPurged(): void {
    this.#garbage.expect();
  }
}

type TimedTaskRun = (signal: AbortSignal) => Promise<void>;
