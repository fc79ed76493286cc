import { invariant } from '@kafscale/core';

/** Why a long poll went on. */
export type WakeReason = 'bytes' | 'changed' | 'timeout' | 'aborted';

export interface WaitOptions {
  readonly partitionIds: readonly number[];
  /** New bytes in those partitions, all together, that end the wait. */
  readonly bytes: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

interface Waiter {
  readonly partitionIds: readonly number[];
  bytesMissing: number;
  readonly wake: (reason: WakeReason) => void;
}

/**
 * The long polls. A waiting request is a timer and an entry per partition; it costs nothing until a
 * commit, a change of one of its partitions, its timeout or its connection's end wakes it.
 */
export class Waiters {
  readonly #entriesMax: number;
  readonly #byPartition = new Map<number, Set<Waiter>>();
  readonly #all = new Set<Waiter>();
  #entries = 0;
  #isClosed = false;

  /** `entriesMax`: partitions over all waiting requests. */
  constructor(entriesMax: number) {
    this.#entriesMax = entriesMax;
  }

  get count(): number {
    return this.#all.size;
  }

  /** Partitions over all waiting requests that are registered to be woken by them. */
  get entries(): number {
    return this.#entries;
  }

  /**
   * Registers before it returns, so that no event between the caller's last look at the heads and
   * the wait is lost. Beyond the bound a request is not registered: it waits for its timeout only,
   * which is slower and still right.
   */
  wait(options: WaitOptions): Promise<WakeReason> {
    invariant(options.bytes > 0, 'a request that has enough does not wait');
    return new Promise((resolve) => {
      if (options.signal.aborted) return resolve('aborted');
      if (this.#isClosed) return resolve('timeout');
      const abort = (): void => waiter.wake('aborted');
      const waiter: Waiter = {
        partitionIds: options.partitionIds,
        bytesMissing: options.bytes,
        wake: (reason) => {
          if (!this.#all.delete(waiter)) return;
          clearTimeout(timer);
          options.signal.removeEventListener('abort', abort);
          if (isRegistered) this.#deregister(waiter);
          resolve(reason);
        },
      };
      const isRegistered = this.#entries + waiter.partitionIds.length <= this.#entriesMax;
      const timer = setTimeout(() => waiter.wake('timeout'), options.timeoutMs);
      options.signal.addEventListener('abort', abort, { once: true });
      this.#all.add(waiter);
      if (isRegistered) this.#register(waiter);
    });
  }

  /** Bytes were committed. */
  addBytes(partitionId: number, bytes: number): void {
    // Waking removes from the set that is walked: a Set iterator allows it.
    for (const waiter of this.#byPartition.get(partitionId) ?? []) {
      waiter.bytesMissing -= bytes;
      if (waiter.bytesMissing <= 0) waiter.wake('bytes');
    }
  }

  /** Something else about the partition changed: its topic was deleted, its log start moved. */
  wakePartition(partitionId: number): void {
    for (const waiter of this.#byPartition.get(partitionId) ?? []) waiter.wake('changed');
  }

  wakeAll(): void {
    for (const waiter of this.#all) waiter.wake('changed');
  }

  /** Nobody waits from now on: all are answered with what there is. */
  close(): void {
    this.#isClosed = true;
    for (const waiter of this.#all) waiter.wake('timeout');
  }

  #register(waiter: Waiter): void {
    for (const partitionId of waiter.partitionIds) {
      const waiters = this.#byPartition.get(partitionId) ?? new Set();
      waiters.add(waiter);
      this.#byPartition.set(partitionId, waiters);
    }
    this.#entries += waiter.partitionIds.length;
  }

  #deregister(waiter: Waiter): void {
    for (const partitionId of waiter.partitionIds) {
      const waiters = this.#byPartition.get(partitionId);
      waiters?.delete(waiter);
      if (waiters?.size === 0) this.#byPartition.delete(partitionId);
    }
    this.#entries -= waiter.partitionIds.length;
  }
}
