import type { Extent } from '@kafscale/cluster';
import { coalesce, type CoalesceLimits, type Run } from './coalesce.js';
import type { LoadedExtent } from './verify-extent.js';

/**
 * Whom a load is for: readers near the end of the log, readers far behind it, or nobody yet. Each
 * class has its own places, so that catching up never delays a tail.
 */
export type LoadClass = 'tail' | 'catchUp' | 'readAhead';

/** Most urgent first. */
export const loadClasses = ['tail', 'catchUp', 'readAhead'] as const;

export interface LoadRequest {
  readonly extent: Extent;
  /** Number of its arrival by the feed, 0 if it was looked up: whether its writer may have it. */
  readonly arrival: number;
  readonly leaderEpoch: number;
  readonly loadClass: LoadClass;
  /** Another fetch node wants it of this one: it is loaded here, whoever its owner is. */
  readonly isForPeer?: boolean;
}

export type LoadFailureKind =
  /** There is no such object. */
  | 'gone'
  /** The bytes are there and wrong, also when read anew. */
  | 'damaged'
  /** The object store does not answer. */
  | 'unavailable';

export interface LoadFailure {
  readonly kind: LoadFailureKind;
  readonly reason: string;
}

export type LoadResult = { readonly kind: 'loaded'; readonly loaded: LoadedExtent } | LoadFailure;

/** One extent that is to be read. */
export interface PendingLoad<Result> {
  readonly request: LoadRequest;
  readonly position: number;
  readonly length: number;
  /** The fetch node that loads it for this one; null: this one itself. */
  owner: number | null;
  loadClass: LoadClass;
  readonly resolve: (result: Result) => void;
}

/**
 * Loads that wait, by class, first come first served. What is taken is a run: everything that waits
 * for the same segment close by, and has the same owner, goes along, whatever its class.
 */
export class LoadQueue<Result> {
  readonly #limits: CoalesceLimits;
  // Sets, because a promoted or coalesced load leaves from the middle.
  readonly #byClass = {
    tail: new Set<PendingLoad<Result>>(),
    catchUp: new Set<PendingLoad<Result>>(),
    readAhead: new Set<PendingLoad<Result>>(),
  };
  readonly #byGroup = new Map<string, Set<PendingLoad<Result>>>();

  constructor(limits: CoalesceLimits) {
    this.#limits = limits;
  }

  get count(): number {
    return loadClasses.reduce((sum, loadClass) => sum + this.#byClass[loadClass].size, 0);
  }

  has(load: PendingLoad<Result>): boolean {
    return this.#byClass[load.loadClass].has(load);
  }

  add(load: PendingLoad<Result>): void {
    this.#byClass[load.loadClass].add(load);
    const group = groupOf(load);
    const ofGroup = this.#byGroup.get(group) ?? new Set();
    ofGroup.add(load);
    this.#byGroup.set(group, ofGroup);
  }

  /** A more urgent reader wants it too. */
  promote(load: PendingLoad<Result>, loadClass: LoadClass): void {
    if (!this.has(load)) return;
    if (loadClasses.indexOf(loadClass) >= loadClasses.indexOf(load.loadClass)) return;
    this.#byClass[load.loadClass].delete(load);
    load.loadClass = loadClass;
    this.#byClass[loadClass].add(load);
  }

  /** The run that is next in that class. It stays in the queue until it is {@link remove}d. */
  peek(loadClass: LoadClass): Run<PendingLoad<Result>> | undefined {
    for (const oldest of this.#byClass[loadClass]) {
      const neighbours = this.#byGroup.get(groupOf(oldest)) ?? [];
      return coalesce(oldest, [...neighbours], this.#limits);
    }
    return undefined;
  }

  remove(run: Run<PendingLoad<Result>>): void {
    for (const load of run.members) {
      const group = groupOf(load);
      this.#byClass[load.loadClass].delete(load);
      const ofGroup = this.#byGroup.get(group);
      ofGroup?.delete(load);
      if (ofGroup?.size === 0) this.#byGroup.delete(group);
    }
  }

  /** Takes everything out. */
  drain(): readonly PendingLoad<Result>[] {
    const loads = loadClasses.flatMap((loadClass) => [...this.#byClass[loadClass]]);
    for (const loadClass of loadClasses) this.#byClass[loadClass].clear();
    this.#byGroup.clear();
    return loads;
  }
}

function groupOf({ owner, request }: Pick<PendingLoad<unknown>, 'owner' | 'request'>): string {
  const { segmentId } = request.extent;
  return owner === null ? segmentId : `${segmentId}@${owner}`;
}
