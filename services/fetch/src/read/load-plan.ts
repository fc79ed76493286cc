import type { BlockLoader, LoadResult } from '../blocks/block-loader.js';
import type { LoadFailure } from '../blocks/load-queue.js';
import type { LoadedExtent } from '../blocks/verify-extent.js';
import type { PartitionPlan } from './plan-reads.js';

export interface LoadPatience {
  /** After this, partitions whose bytes are there do not wait for the others any longer. */
  readonly graceMs: number;
  /** After this the response goes out with what there is, be it nothing. */
  readonly giveUpMs: number;
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
  patience: LoadPatience,
  signal: AbortSignal,
): Promise<readonly LoadedPlan[]> {
  const results = plans.map(({ extents }): (LoadResult | undefined)[] => extents.map(() => undefined));
  const loads: Promise<void>[] = [];
  for (const [index, { read, extents }] of plans.entries()) {
    const ofPlan = results[index] ?? [];
    for (const [at, { extent, arrival, isTail }] of extents.entries()) {
      const loaded = loader.find(extent);
      if (loaded !== undefined) {
        ofPlan[at] = { kind: 'loaded', loaded };
        continue;
      }
      const loadClass = isTail ? 'tail' : 'catchUp';
      const { leaderEpoch } = read;
      loads.push(
        loader.load({ extent, arrival, leaderEpoch, loadClass }).then((result) => {
          ofPlan[at] = result;
        }),
      );
    }
  }
  if (loads.length > 0) {
    const isServable = (): boolean => results.some(([head]) => head?.kind === 'loaded');
    await waitForLoads(loads, isServable, patience, signal);
  }
  return plans.map((plan, index) => ({ plan, ...servablePart(results[index] ?? []) }));
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

function waitForLoads(
  loads: readonly Promise<void>[],
  isServable: () => boolean,
  patience: LoadPatience,
  signal: AbortSignal,
): Promise<void> {
  return new Promise((resolve) => {
    let isPatient = true;
    let left = loads.length;
    const done = (): void => {
      clearTimeout(grace);
      clearTimeout(giveUp);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const grace = setTimeout(() => {
      isPatient = false;
      if (isServable()) done();
    }, patience.graceMs);
    const giveUp = setTimeout(done, patience.giveUpMs);
    signal.addEventListener('abort', done, { once: true });
    for (const load of loads) {
      // A load resolves whatever happens; a rejection is a bug and must not pass unseen.
      void load.then(() => {
        left--;
        if (left === 0 || (!isPatient && isServable())) done();
      });
    }
  });
}
