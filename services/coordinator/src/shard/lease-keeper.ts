import { isOperatingError, limits } from '@kafscale/core';
import type { LeaseGrant, MetadataStore } from '@kafscale/metadata';
import type { CoordinatorLog, CoordinatorMetrics } from '../observability.js';
import type { ShardOwner } from './shard-owner.js';

export interface LeaseKeeperOptions {
  readonly store: MetadataStore;
  readonly owner: ShardOwner;
  readonly shardId: number;
  /** Who owns it, across restarts of the same standalone server; a fresh one for a coordinator. */
  readonly instanceId: string;
  readonly log: CoordinatorLog;
  readonly metrics: CoordinatorMetrics;
}

/**
 * Takes the lease of a shard, renews it, and takes it anew after doubt. One step at a time: a timer
 * or `wake` starts the next one when the last has ended.
 */
export class LeaseKeeper {
  readonly #options: LeaseKeeperOptions;
  #timer: NodeJS.Timeout | null = null;
  #step: Promise<void> | null = null;
  #doubted = false;
  #closed = false;

  constructor(options: LeaseKeeperOptions) {
    this.#options = options;
  }

  /** Makes the first attempt; resolves whether or not the shard is owned then. */
  async start(): Promise<void> {
    await this.#run();
  }

  /** The owner no longer trusts what it has: acquire again, which raises the epoch. */
  doubt(): void {
    this.#doubted = true;
    this.#schedule(0);
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#step;
    const { owner, store } = this.#options;
    const { lease } = owner;
    await owner.idle();
    owner.disown('the coordinator stops');
    if (lease !== null) await store.releaseShard(lease);
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#run(), delayMs);
  }

  #run(): Promise<void> {
    this.#step ??= this.#attempt().then((delayMs) => {
      this.#step = null;
      this.#schedule(this.#doubted ? 0 : delayMs);
    });
    return this.#step;
  }

  /** Returns after how long to try again. */
  async #attempt(): Promise<number> {
    const { log, metrics, owner } = this.#options;
    try {
      const { lease } = owner;
      const delayMs =
        lease === null || this.#doubted ? await this.#acquire() : await this.#renew(lease);
      metrics.leaseHeld(owner.holds());
      return delayMs;
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      log.warn({ code: error.code, message: error.message }, 'the lease could not be renewed');
      if (error.code === 'SHARD_LEASE_LOST') owner.disown('the lease is lost');
      metrics.leaseHeld(owner.holds());
      return limits.leaseRetryMs;
    }
  }

  async #acquire(): Promise<number> {
    const { instanceId, log, owner, shardId, store } = this.#options;
    const result = await store.acquireShard(shardId, instanceId, limits.leaseDurationMs);
    if (result.kind === 'held') {
      log.info({ owner: result.ownerInstanceId, expiresInMs: result.expiresInMs }, 'standing by');
      owner.disown('another coordinator owns the shard');
      this.#doubted = false;
      return Math.min(Math.max(result.expiresInMs, limits.leaseRetryMs), limits.leaseRenewMs);
    }
    this.#doubted = false;
    await owner.own(result.lease);
    return limits.leaseRenewMs;
  }

  async #renew(lease: LeaseGrant): Promise<number> {
    this.#options.owner.renewed(
      await this.#options.store.renewShard(lease, limits.leaseDurationMs),
    );
    return limits.leaseRenewMs;
  }
}
