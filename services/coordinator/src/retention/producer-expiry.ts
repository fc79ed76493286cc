import { limits, sleep } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import { openRetentionStore } from '@kafscale/metadata';
import type { MetadataStore, ProducerKey, RetentionStore } from '@kafscale/metadata';
import type { ShardOwner } from '../shard/shard-owner.js';
import type { RetentionMetrics } from './retention-metrics.js';

export interface ProducerExpiryOptions {
  readonly store: MetadataStore;
  readonly owner: ShardOwner;
  readonly clock: Clock;
  readonly metrics: RetentionMetrics;
  /** producer.id.expiration.ms */
  readonly idleMsMax?: number;
}

/**
 * Forgets idempotent producers that have been silent for days, so that the table of them does not
 * grow with history. Walks all of them, page by page, and then not again before the one that has
 * been silent for longest can have expired.
 */
export class ProducerExpiry {
  readonly #options: ProducerExpiryOptions;
  readonly #store: RetentionStore;
  readonly #idleMsMax: number;
  #leaseEpoch = -1;
  #dueMs = -Infinity;

  constructor(options: ProducerExpiryOptions) {
    this.#options = options;
    this.#store = openRetentionStore(options.store);
    this.#idleMsMax = options.idleMsMax ?? limits.producerIdExpirationMs;
  }

  async pass(signal: AbortSignal): Promise<void> {
    const { clock, owner } = this.#options;
    const { lease } = owner;
    if (lease === null || !owner.holds()) return;
    if (lease.epoch !== this.#leaseEpoch) this.#dueMs = -Infinity;
    this.#leaseEpoch = lease.epoch;
    const startedAtMs = clock.monotonicMs();
    if (startedAtMs < this.#dueMs) return;
    let idleMsMax = 0;
    let after: ProducerKey | null = null;
    do {
      const page = await this.#store.findIdleProducers({
        after,
        idleMsMax: this.#idleMsMax,
        rowsMax: limits.producerExpiryRowsMax,
      });
      idleMsMax = Math.max(idleMsMax, page.idleMsMax);
      if (page.expired.length > 0) await this.#expire(page.expired);
      after = page.last;
      if (after !== null) await sleep(limits.purgePauseMs, signal);
    } while (after !== null && !signal.aborted);
    if (!signal.aborted) this.#dueMs = startedAtMs + this.#idleMsMax - idleMsMax;
  }

  async #expire(producers: readonly ProducerKey[]): Promise<void> {
    const { metrics, owner } = this.#options;
    const { lease } = owner;
    if (lease === null) return;
    metrics.producersExpired(await this.#store.expireProducers(lease, producers, this.#idleMsMax));
  }
}
