import { ByteBudget, invariant } from '@kafscale/core';
import type { Run } from '../blocks/coalesce.js';
import {
  type LoadClass,
  loadClasses,
  type LoadQueue,
  type LoadResult,
  type PendingLoad,
} from '../blocks/load-queue.js';
import type { OwnerSource } from './owner-source.js';

type Pending = PendingLoad<LoadResult>;

export interface OwnerLoadsOptions {
  readonly source: OwnerSource;
  readonly queue: LoadQueue<LoadResult>;
  /** Questions at the same time, by class. */
  readonly readsMax: Readonly<Record<LoadClass, number>>;
  /** Asked for and not answered yet. */
  readonly bytesInFlightMax: number;
}

/**
 * Loads that wait for their owners. They have places and a budget of their own, apart from those of
 * the reads of the store: two nodes that wait for one another would hold each other's places for ever.
 * So a read of the store never waits for another node, and a question to one waits for reads only.
 */
export class OwnerLoads {
  readonly #options: OwnerLoadsOptions;
  readonly #asking: Record<LoadClass, number> = { tail: 0, catchUp: 0, readAhead: 0 };
  readonly #budget: ByteBudget;
  readonly #onLeft: (load: Pending) => void;
  #isScheduled = false;

  /** `onLeft` takes what has to be loaded directly. */
  constructor(options: OwnerLoadsOptions, onLeft: (load: Pending) => void) {
    this.#options = options;
    this.#budget = new ByteBudget(options.bytesInFlightMax);
    this.#onLeft = onLeft;
  }

  add(load: Pending): void {
    this.#options.queue.add(load);
    this.#schedule();
  }

  promote(load: Pending, loadClass: LoadClass): void {
    this.#options.queue.promote(load, loadClass);
    this.#schedule();
  }

  /** Takes out what has not been asked for yet. */
  drain(): readonly Pending[] {
    return this.#options.queue.drain();
  }

  /** As in the loader: what this turn wants of one owner and segment is one question. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#start();
    });
  }

  #start(): void {
    const { queue, readsMax } = this.#options;
    for (const loadClass of loadClasses) {
      while (this.#asking[loadClass] < readsMax[loadClass]) {
        const run = queue.peek(loadClass);
        if (run === undefined) break;
        const bytes = run.members.reduce((sum, { length }) => sum + length, 0);
        // An answer, or its timeout, makes room.
        if (!this.#budget.tryTake(bytes)) return;
        queue.remove(run);
        this.#asking[loadClass]++;
        void this.#ask(run, loadClass, bytes);
      }
    }
  }

  async #ask(run: Run<Pending>, loadClass: LoadClass, bytes: number): Promise<void> {
    const { source } = this.#options;
    const owner = run.members[0]?.owner ?? null;
    invariant(owner !== null, 'what waits for an owner has one');
    const wanted = run.members.map(({ request }) => request);
    const found = await source.read(owner, { wanted, urgency: loadClass }, () => {
      this.#budget.give(bytes);
      this.#schedule();
    });
    source.keep(found);
    for (const [index, load] of run.members.entries()) {
      const loaded = found[index] ?? null;
      if (loaded === null) this.#onLeft(load);
      else load.resolve({ kind: 'loaded', loaded });
    }
    this.#asking[loadClass]--;
    this.#schedule();
  }
}
