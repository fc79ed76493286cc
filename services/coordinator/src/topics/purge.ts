import { isOperatingError, limits, sleep } from '@kafscale/core';
import { openGroupStore } from '@kafscale/metadata';
import type { Lease, MetadataStore } from '@kafscale/metadata';
import type { CoordinatorLog } from '../observability.js';

export interface TopicPurgeOptions {
  readonly store: MetadataStore;
  readonly lease: () => Lease | null;
  readonly log: CoordinatorLog;
  /** Segments may have lost their last index row. */
  readonly onPurged: () => void;
  /** Brings back a piece of a partition's cold index; false: it could not be, for now. */
  readonly thaw: (partitionId: number) => Promise<boolean>;
  /** For tests. */
  readonly retryMs?: number;
}

/** `blocked`: something is left that could not be removed now. */
type StepResult = 'more' | 'done' | 'blocked';

/**
 * Removes what deleted topics left in the metadata store, in small steps with pauses, so that no
 * commit waits for it. Woken by a deletion and by a new lease, also from its wait after what could not
 * be removed; does nothing otherwise.
 */
export class TopicPurge {
  readonly #store: MetadataStore;
  readonly #lease: () => Lease | null;
  readonly #log: CoordinatorLog;
  readonly #onPurged: () => void;
  readonly #thaw: (partitionId: number) => Promise<boolean>;
  readonly #retryMs: number;
  readonly #stop = new AbortController();
  #running: Promise<void> | null = null;
  #again = false;
  #alarm = new AbortController();

  constructor(options: TopicPurgeOptions) {
    this.#store = options.store;
    this.#lease = options.lease;
    this.#log = options.log;
    this.#onPurged = options.onPurged;
    this.#thaw = options.thaw;
    this.#retryMs = options.retryMs ?? limits.purgeRetryMs;
  }

  wake(): void {
    this.#again = true;
    this.#alarm.abort();
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.#alarm.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (this.#again && !signal.aborted) {
      const lease = this.#lease();
      if (lease === null) return; // the next owner wakes its own
      this.#again = false;
      // Before the attempt: who wakes it meanwhile, as a new lease does, is not waited for afterwards.
      this.#alarm = new AbortController();
      const result = await this.#attempt(lease);
      if (result !== 'done') this.#again = true;
      if (result === 'blocked') await sleep(this.#retryMs, this.#alarm.signal);
      await sleep(limits.purgePauseMs, signal);
    }
  }

  async #attempt(lease: Lease): Promise<StepResult> {
    try {
      const result = await this.#step(lease);
      if (result === 'more') this.#onPurged();
      return result;
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      this.#log.warn({ code: error.code }, 'the purge of deleted topics stopped for now');
      return 'blocked';
    }
  }

  /** Bounded. */
  async #step(lease: Lease): Promise<StepResult> {
    const rowsMax = limits.metadataPurgeRowsMax;
    const partitions = await this.#store.purgeDeletedPartitions(lease, rowsMax);
    const offsets = await openGroupStore(this.#store, lease).purgeOffsetsOfDeletedTopics(rowsMax);
    if (partitions === 'more' || offsets === rowsMax) return 'more';
    if (partitions === 'done') return 'done';
    let result: StepResult = 'blocked';
    for (const partitionId of partitions.coldPartitionIds) {
      if (this.#stop.signal.aborted) return 'blocked';
      if (await this.#thaw(partitionId)) result = 'more';
    }
    return result;
  }
}
