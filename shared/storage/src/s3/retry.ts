import { type Clock, InvariantError, limits, sleep } from '@kafscale/core';
import { type AttemptFailure, classifyFailure, storeError } from './s3-errors.js';

/**
 * Bounds the retries of all operations together: a burst, and beyond it a share of the requests.
 * Without it a struggling store gets several times its normal load exactly when it can't bear it.
 */
export class RetryBudget {
  #tokens: number = limits.storeRetryBurstMax;

  /** A first attempt is about to go out. */
  earn(): void {
    this.#tokens = Math.min(limits.storeRetryBurstMax, this.#tokens + limits.storeRetryShareMax);
  }

  trySpend(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

export interface RetryOptions {
  readonly clock: Clock;
  /** 0 ≤ random() < 1. */
  readonly random: () => number;
  readonly budget: RetryBudget;
  /** Of one attempt. */
  readonly requestTimeoutMs: number;
  /** Of all attempts of one operation with the waits between them. */
  readonly operationTimeoutMs: number;
  /** Whether what the store throttles is tried again; default: yes. */
  readonly retriesThrottled?: boolean;
}

/** Told of every failed attempt before it is decided whether there is another. */
export type OnFailure = (failure: AttemptFailure) => void;

/**
 * Runs `attempt` until it succeeds, fails for good, or attempts, time or the budget are used up.
 * Waits between attempts with full jitter: anything from nothing to an exponentially growing bound,
 * so that the clients of a store that comes back don't come back together.
 */
export async function withRetries<Result>(
  options: RetryOptions,
  what: string,
  attempt: (signal: AbortSignal) => Promise<Result>,
  onFailure: OnFailure = () => undefined,
): Promise<Result> {
  const { budget, clock, operationTimeoutMs, random, requestTimeoutMs } = options;
  const deadlineMs = clock.monotonicMs() + operationTimeoutMs;
  budget.earn();
  for (let attempts = 1; ; attempts += 1) {
    try {
      const leftMs = Math.max(1, deadlineMs - clock.monotonicMs());
      // oxlint-disable-next-line no-await-in-loop
      return await withDeadline(Math.min(requestTimeoutMs, leftMs), attempt);
    } catch (error) {
      if (error instanceof InvariantError) throw error;
      const failure = classifyFailure(error);
      onFailure(failure);
      const delayMs = random() * backoffBoundMs(attempts);
      const isOutOfTime = clock.monotonicMs() + delayMs >= deadlineMs;
      const isLast = attempts >= limits.storeAttemptsMax || isOutOfTime;
      const isLeftToCaller =
        failure.code === 'STORE_THROTTLED' && options.retriesThrottled === false;
      if (!failure.isRetriable || isLeftToCaller || isLast || !budget.trySpend()) {
        throw storeError(failure, error, what);
      }
      // oxlint-disable-next-line no-await-in-loop
      await sleep(delayMs);
    }
  }
}

function backoffBoundMs(attempts: number): number {
  return Math.min(limits.storeBackoffMsMax, limits.storeBackoffMsMin * 2 ** (attempts - 1));
}

/** The signal aborts after `timeoutMs`; unlike AbortSignal.timeout it leaves no timer behind. */
async function withDeadline<Result>(
  timeoutMs: number,
  attempt: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort();
  }, timeoutMs);
  try {
    return await attempt(controller.signal);
  } finally {
    clearTimeout(timer);
  }
}
