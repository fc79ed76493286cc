import { OperatingError, systemClock } from '@kafscale/core';
import { describe, expect, it } from 'vitest';
import { RetryBudget, type RetryOptions, withRetries } from '../src/s3/retry.js';
import { TruncatedBodyError } from '../src/s3/s3-errors.js';

const options = (changed: Partial<RetryOptions> = {}): RetryOptions => ({
  clock: systemClock,
  random: () => 0,
  budget: new RetryBudget(),
  requestTimeoutMs: 30_000,
  operationTimeoutMs: 60_000,
  ...changed,
});

function never(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      reject(Object.assign(new Error('aborted'), { name: 'AbortError' }));
    });
  });
}

describe('retries', () => {
  it('end with the first success', async () => {
    let attempts = 0;
    const result = await withRetries(options(), 'x', () => {
      attempts += 1;
      if (attempts < 3) throw new TruncatedBodyError('cut');
      return Promise.resolve(attempts);
    });
    expect(result).toBe(3);
  });

  it('end at once with what is not on the list', async () => {
    let attempts = 0;
    const attempt = (): never => {
      attempts += 1;
      throw new TypeError('a bug');
    };
    await expect(withRetries(options(), 'x', attempt)).rejects.toMatchObject({
      code: 'STORE_REFUSED',
    });
    expect(attempts).toBe(1);
  });

  it('leave an operating error as it is', async () => {
    const error = new OperatingError('RANGE_NOT_SATISFIABLE', 'short');
    await expect(withRetries(options(), 'x', () => Promise.reject(error))).rejects.toBe(error);
  });

  it('abort an attempt that hangs, and count it as ambiguous', async () => {
    let attempts = 0;
    const failures: boolean[] = [];
    const result = await withRetries(
      options({ requestTimeoutMs: 10 }),
      'x',
      (signal) => {
        attempts += 1;
        return attempts === 1 ? never(signal) : Promise.resolve('done');
      },
      (failure) => failures.push(failure.isAmbiguous),
    );
    expect(result).toBe('done');
    expect(failures).toEqual([true]);
  });

  it('end with the operation’s time', async () => {
    let nowMs = 0;
    const clock = { monotonicMs: () => nowMs, wallMs: () => nowMs };
    let attempts = 0;
    const attempt = (): never => {
      attempts += 1;
      nowMs += 40_000;
      throw new TruncatedBodyError('cut');
    };
    await expect(withRetries(options({ clock }), 'x', attempt)).rejects.toMatchObject({
      code: 'STORE_UNREACHABLE',
      retriable: true,
    });
    expect(attempts).toBe(2);
  });

  it('have a budget that refills with requests', () => {
    const budget = new RetryBudget();
    for (let spent = 0; spent < 20; spent += 1) expect(budget.trySpend()).toBe(true);
    expect(budget.trySpend()).toBe(false);
    for (let requests = 0; requests < 9; requests += 1) budget.earn();
    expect(budget.trySpend()).toBe(false);
    budget.earn();
    budget.earn();
    expect(budget.trySpend()).toBe(true);
    expect(budget.trySpend()).toBe(false);
  });
});
