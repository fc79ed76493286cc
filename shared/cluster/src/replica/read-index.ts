import { describeError, isOperatingError, limits, OperatingError, sleep } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import { feedPositionAtLeast } from '../feed.js';
import type { FeedPosition } from '../feed.js';

export interface ReadIndexOptions {
  /** The owner's position now: {@link CoordinatorService.feedPosition}. */
  readonly ask: () => Promise<FeedPosition>;
  readonly clock: Clock;
  readonly waitMsMax?: number;
  readonly waitersMax?: number;
  readonly retryMs?: number;
}

interface Waiter {
  readonly dueMs: number;
  readonly settle: (error: OperatingError | null) => void;
  /** What must be applied; null until the owner has said. */
  target: FeedPosition | null;
}

/**
 * The barrier of the read path (design §5.2). The owner is asked after the barrier was called, never
 * before, or an acknowledged record could be missed: so at most one question is in flight, and
 * whoever comes while it is waits for the next one, together with everybody else.
 */
export class ReadIndex {
  readonly #options: Required<ReadIndexOptions>;
  /** All of them, in order of arrival, which is the order in which they are due. */
  readonly #waiters = new Set<Waiter>();
  #next: Waiter[] = [];
  #applying: Waiter[] = [];
  #applied: FeedPosition | null = null;
  #asking = false;
  #expiry: NodeJS.Timeout | undefined;
  #lastFailure = 'the owner has not answered';
  readonly #closing = new AbortController();

  constructor(options: ReadIndexOptions) {
    this.#options = {
      waitMsMax: limits.feedBarrierMsMax,
      waitersMax: limits.rpcCallsInFlightMax,
      retryMs: limits.rpcReconnectBackoffMsMin,
      ...options,
    };
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /**
   * Resolves when everything that was committed before the call has been applied. Rejects with
   * READ_INDEX_UNAVAILABLE (retriable) after `waitMsMax`, with CANCELLED when `signal` aborts.
   */
  barrier(signal?: AbortSignal): Promise<void> {
    if (this.#closing.signal.aborted) return Promise.reject(unavailable('the replica is closed'));
    if (signal?.aborted === true) return Promise.reject(cancelled());
    if (this.#waiters.size >= this.#options.waitersMax) {
      return Promise.reject(unavailable(`${this.#waiters.size} readers wait already`));
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => waiter.settle(cancelled());
      const waiter: Waiter = {
        dueMs: this.#options.clock.monotonicMs() + this.#options.waitMsMax,
        target: null,
        settle: (error) => {
          if (!this.#waiters.delete(waiter)) return;
          signal?.removeEventListener('abort', onAbort);
          if (error === null) resolve();
          else reject(error);
        },
      };
      signal?.addEventListener('abort', onAbort, { once: true });
      this.#waiters.add(waiter);
      this.#next.push(waiter);
      this.#armExpiry();
      if (!this.#asking) void this.#askWhileWanted();
    });
  }

  /** The replica has applied everything up to `position`. */
  applied(position: FeedPosition): void {
    this.#applied = position;
    if (this.#applying.length === 0) return;
    this.#applying = this.#applying.filter((waiter) => {
      if (!this.#waiters.has(waiter)) return false;
      if (!this.#isApplied(waiter.target)) return true;
      waiter.settle(null);
      return false;
    });
  }

  close(): void {
    this.#closing.abort();
    clearTimeout(this.#expiry);
    for (const waiter of this.#waiters) waiter.settle(unavailable('the replica was closed'));
    this.#next = [];
    this.#applying = [];
  }

  async #askWhileWanted(): Promise<void> {
    this.#asking = true;
    while (this.#next.length > 0) {
      const asked = this.#next;
      this.#next = [];
      await this.#askFor(asked);
    }
    this.#asking = false;
  }

  async #askFor(asked: readonly Waiter[]): Promise<void> {
    try {
      const position = await this.#options.ask();
      for (const waiter of asked) {
        waiter.target = position;
        if (this.#isApplied(position)) waiter.settle(null);
        else if (this.#waiters.has(waiter)) this.#applying.push(waiter);
      }
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      this.#lastFailure = describeError(error);
      // They came before this question, so any later answer serves them as well.
      const patient = asked.filter((waiter) => this.#waiters.has(waiter));
      this.#next = [...patient, ...this.#next];
      await sleep(this.#options.retryMs, this.#closing.signal);
      if (this.#closing.signal.aborted) this.#next = [];
      // Whoever gave up meanwhile must not keep the questions going.
      this.#next = this.#next.filter((waiter) => this.#waiters.has(waiter));
    }
  }

  #isApplied(target: FeedPosition | null): boolean {
    if (target === null || this.#applied === null) return false;
    return feedPositionAtLeast(this.#applied, target);
  }

  /** One timer for all: it looks at the oldest, and is left to run when nobody waits any more. */
  #armExpiry(): void {
    if (this.#expiry !== undefined) return;
    const [oldest] = this.#waiters;
    if (oldest === undefined) return;
    const delayMs = oldest.dueMs - this.#options.clock.monotonicMs();
    this.#expiry = setTimeout(() => this.#expire(), Math.max(1, Math.ceil(delayMs)));
    this.#expiry.unref();
  }

  #expire(): void {
    this.#expiry = undefined;
    const nowMs = this.#options.clock.monotonicMs();
    for (const waiter of this.#waiters) {
      if (waiter.dueMs > nowMs) break;
      const reason = waiter.target === null ? this.#lastFailure : 'the feed lags behind the owner';
      waiter.settle(unavailable(reason));
    }
    this.#applying = this.#applying.filter((waiter) => this.#waiters.has(waiter));
    this.#armExpiry();
  }
}

function unavailable(reason: string): OperatingError {
  return new OperatingError('READ_INDEX_UNAVAILABLE', `no read index: ${reason}`, {
    retriable: true,
  });
}

function cancelled(): OperatingError {
  return new OperatingError('CANCELLED', 'the reader went away');
}
