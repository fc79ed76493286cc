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
}

/**
 * Removes what deleted topics left in the metadata store, in small steps with pauses, so that no
 * commit waits for it. Woken by a deletion and at start; does nothing otherwise.
 */
export class TopicPurge {
  readonly #store: MetadataStore;
  readonly #lease: () => Lease | null;
  readonly #log: CoordinatorLog;
  readonly #onPurged: () => void;
  readonly #thaw: (partitionId: number) => Promise<boolean>;
  readonly #stop = new AbortController();
  #running: Promise<void> | null = null;
  #again = false;

  constructor(options: TopicPurgeOptions) {
    this.#store = options.store;
    this.#lease = options.lease;
    this.#log = options.log;
    this.#onPurged = options.onPurged;
    this.#thaw = options.thaw;
  }

  wake(): void {
    this.#again = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (this.#again && !signal.aborted) {
      const lease = this.#lease();
      if (lease === null) return; // the next owner wakes its own
      this.#again = false;
      try {
        if (await this.#step(lease)) {
          this.#again = true;
          this.#onPurged();
        }
      } catch (error) {
        if (!isOperatingError(error)) throw error;
        this.#log.warn({ code: error.code }, 'the purge of deleted topics stopped for now');
        return;
      }
      await sleep(limits.purgePauseMs, signal);
    }
  }

  /** One bounded step; true: there may be more. */
  async #step(lease: Lease): Promise<boolean> {
    const rowsMax = limits.metadataPurgeRowsMax;
    const partitions = await this.#store.purgeDeletedPartitions(lease, rowsMax);
    const offsets = await openGroupStore(this.#store, lease).purgeOffsetsOfDeletedTopics(rowsMax);
    if (partitions === 'more' || offsets === rowsMax) return true;
    if (partitions === 'done') return false;
    let isThawed = false;
    for (const partitionId of partitions.coldPartitionIds) {
      if (this.#stop.signal.aborted) return false;
      if (await this.#thaw(partitionId)) isThawed = true;
    }
    return isThawed;
  }
}
