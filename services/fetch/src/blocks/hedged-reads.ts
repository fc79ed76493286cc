import type { Clock } from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';
import type { FetchMetrics } from '../metrics.js';
import { LatencyWindow } from './latency-window.js';

export interface HedgeLimits {
  /** Second reads, as a share of all reads. */
  readonly shareMax: number;
  /** Second reads that quiet times may save up. */
  readonly burstMax: number;
  /** Reads of one size that the p99 is of, at most and at least. */
  readonly samplesMax: number;
  readonly samplesMin: number;
}

export interface HedgedReadsOptions {
  readonly store: Pick<ObjectStore, 'read'>;
  readonly limits: HedgeLimits;
  readonly clock: Clock;
  readonly metrics: FetchMetrics;
}

interface Attempt {
  readonly bytes: Promise<Buffer>;
  readonly abort: () => void;
}

/** Large reads take longer; each size has its own p99. */
const sizeBounds = [256 * 1024, 1024 * 1024, 4 * 1024 * 1024, Infinity] as const;

/**
 * Reads of a remote store: one that has not answered when 99 % of its kind had is sent a second time,
 * and whichever answers first is taken. The budget is a share of all reads, so that a store that is
 * slow as a whole does not get twice the load.
 */
export class HedgedReads {
  readonly #options: HedgedReadsOptions;
  readonly #windows: readonly LatencyWindow[];
  #tokens = 0;

  constructor(options: HedgedReadsOptions) {
    const { samplesMax, samplesMin } = options.limits;
    this.#options = options;
    this.#windows = sizeBounds.map(() => new LatencyWindow(samplesMax, samplesMin));
  }

  /**
   * As ObjectStore.read, but the bytes are in `into` only if the first read brought them: else that
   * one has been given up and may still be filling `into`.
   */
  async read(key: string, position: number, length: number, into?: Buffer): Promise<Buffer> {
    const { clock, limits, metrics } = this.#options;
    const window = this.#windows[sizeBounds.findIndex((bound) => length <= bound)];
    const startMs = clock.monotonicMs();
    this.#tokens = Math.min(limits.burstMax, this.#tokens + limits.shareMax);
    const first = this.#start(key, position, length, into);
    const patienceMs = window?.p99;
    const isLate = patienceMs !== undefined && (await isPending(first.bytes, patienceMs));
    if (!isLate || this.#tokens < 1) {
      const bytes = await first.bytes;
      window?.add(clock.monotonicMs() - startMs);
      return bytes;
    }
    this.#tokens -= 1;
    metrics.count('fetch_reads_hedged_total');
    metrics.count('fetch_store_reads_total');
    const bytes = await this.#race(first, this.#start(key, position, length));
    // Of the first, when it was given up: at least that.
    window?.add(clock.monotonicMs() - startMs);
    return bytes;
  }

  /** Rejects when both have failed, with the first one's error. */
  async #race(first: Attempt, second: Attempt): Promise<Buffer> {
    try {
      const firstBytes = first.bytes.then((bytes) => ({ bytes, loser: second }));
      const secondBytes = second.bytes.then((bytes) => ({ bytes, loser: first }));
      const { bytes, loser } = await Promise.any([firstBytes, secondBytes]);
      loser.abort();
      if (loser === first) this.#options.metrics.count('fetch_hedges_won_total');
      return bytes;
    } catch (error) {
      throw error instanceof AggregateError ? error.errors[0] : error;
    }
  }

  #start(key: string, position: number, length: number, into?: Buffer): Attempt {
    const controller = new AbortController();
    const { signal } = controller;
    const bytes = this.#options.store.read(key, position, length, { into, signal });
    // A loser fails when nobody listens any more.
    bytes.catch(() => undefined);
    return { bytes, abort: () => controller.abort() };
  }
}

async function isPending(settles: Promise<unknown>, timeoutMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(true), timeoutMs);
  });
  const settled = settles.then(
    () => false,
    () => false,
  );
  try {
    return await Promise.race([settled, late]);
  } finally {
    clearTimeout(timer);
  }
}
