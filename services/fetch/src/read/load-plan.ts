import type { BlockLoader } from '../blocks/block-loader.js';
import type { Holder } from '../blocks/lease.js';
import type { LoadFailure, LoadRequest, LoadResult } from '../blocks/load-queue.js';
import type { LoadedExtent } from '../blocks/verify-extent.js';
import type { PartitionPlan } from './plan-reads.js';

export interface LoadPatience {
  /** After this, partitions whose bytes are there do not wait for the others any longer. */
  readonly graceMs: number;
  /** After this the response goes out with what there is, be it nothing. */
  readonly giveUpMs: number;
}

export interface LoadWish {
  readonly patience: LoadPatience;
  readonly signal: AbortSignal;
  /** Holds what is loaded. */
  readonly holder: Holder;
}

/** What became of one partition's extents: those that can be served, and why no more. */
export interface LoadedPlan {
  readonly plan: PartitionPlan;
  /** From the wanted offset on, without a gap. */
  readonly extents: readonly LoadedExtent[];
  /** Of the extent after them; null if there is none, or if it is still being loaded. */
  readonly failure: LoadFailure | null;
}

/** Bytes that have to be read for a plan. */
export function unloadedBytes(plans: readonly PartitionPlan[], loader: BlockLoader): number {
  let bytes = 0;
  for (const { extents } of plans) {
    for (const { extent } of extents) if (!loader.isCached(extent)) bytes += extent.length;
  }
  return bytes;
}

/**
 * Loads what the plans name. One partition's slow object delays the others by the grace period
 * only; its load goes on, and a later request finds it in the cache.
 */
export async function loadPlans(
  plans: readonly PartitionPlan[],
  loader: BlockLoader,
  { patience, signal, holder }: LoadWish,
): Promise<readonly LoadedPlan[]> {
  const loads = new PlanLoads(plans, loader, holder);
  await loads.settle(patience, signal);
  return plans.map((plan, index) => ({ plan, ...servablePart(loads.results[index] ?? []) }));
}

function servablePart(
  results: readonly (LoadResult | undefined)[],
): Pick<LoadedPlan, 'extents' | 'failure'> {
  const extents: LoadedExtent[] = [];
  for (const result of results) {
    if (result === undefined) return { extents, failure: null };
    if (result.kind !== 'loaded') return { extents, failure: result };
    extents.push(result.loaded);
  }
  return { extents, failure: null };
}

/** The loads of one request, by plan and extent. */
class PlanLoads {
  readonly results: readonly (LoadResult | undefined)[][];
  readonly #loader: BlockLoader;
  readonly #holder: Holder;
  #pending = 0;
  #onSettled: () => void = () => undefined;

  constructor(plans: readonly PartitionPlan[], loader: BlockLoader, holder: Holder) {
    this.#loader = loader;
    this.#holder = holder;
    this.results = plans.map(({ read, extents }) => {
      const results: (LoadResult | undefined)[] = [];
      for (const [at, { extent, arrival, isTail }] of extents.entries()) {
        const loaded = loader.find(extent, holder);
        results.push(loaded && { kind: 'loaded', loaded });
        if (loaded !== undefined) continue;
        const loadClass = isTail ? 'tail' : 'catchUp';
        const request = { extent, arrival, leaderEpoch: read.leaderEpoch, loadClass } as const;
        // A load resolves whatever happens; a rejection is a bug and must not pass unseen.
        void this.#load(request, results, at);
      }
      return results;
    });
  }

  settle(patience: LoadPatience, signal: AbortSignal): Promise<void> {
    if (this.#pending === 0 || signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      let isPatient = true;
      const done = (): void => {
        clearTimeout(grace);
        clearTimeout(giveUp);
        signal.removeEventListener('abort', done);
        this.#onSettled = () => undefined;
        resolve();
      };
      const look = (): void => {
        if (this.#pending === 0 || (!isPatient && this.#isServable())) done();
      };
      const grace = setTimeout(() => {
        isPatient = false;
        look();
      }, patience.graceMs);
      const giveUp = setTimeout(done, patience.giveUpMs);
      signal.addEventListener('abort', done, { once: true });
      this.#onSettled = look;
    });
  }

  async #load(
    request: LoadRequest,
    results: (LoadResult | undefined)[],
    at: number,
  ): Promise<void> {
    this.#pending++;
    results[at] = await this.#loader.load(request, this.#holder);
    this.#pending--;
    this.#onSettled();
  }

  #isServable(): boolean {
    return this.results.some(([first]) => first?.kind === 'loaded');
  }
}
