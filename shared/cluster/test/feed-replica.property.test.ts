import { OperatingError, systemClock } from '@kafscale/core';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { FeedReplica } from '../src/index.js';
import type { FeedMessage } from '../src/index.js';
import { extentOf, ScriptedCoordinator, topicOf } from './scripted-coordinator.js';
import { turn } from './support.js';

/**
 * An owner and one replica, between them a feed that delays, cuts, loses, repeats and changes hands.
 * Whatever happens: a reader that passed the barrier sees every record that was committed before it
 * asked (P2), the owner is asked by at most one call at a time, and in the end both agree.
 */
const partitions = [10, 11, 12];

type Step =
  | { readonly kind: 'commit'; readonly partition: number; readonly records: number }
  | {
      readonly kind:
        | 'deliver'
        | 'lose'
        | 'repeat'
        | 'cut'
        | 'failover'
        | 'read'
        | 'answer'
        | 'fail';
    };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('commit' as const),
      partition: fc.constantFrom(...partitions),
      records: fc.integer({ min: 0, max: 5 }),
    }),
  },
  { weight: 5, arbitrary: fc.constant({ kind: 'deliver' as const }) },
  { weight: 5, arbitrary: fc.constant({ kind: 'read' as const }) },
  { weight: 4, arbitrary: fc.constant({ kind: 'answer' as const }) },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      { kind: 'lose' as const },
      { kind: 'repeat' as const },
      { kind: 'cut' as const },
      { kind: 'failover' as const },
      { kind: 'fail' as const },
    ),
  },
);

class World {
  readonly owner = new ScriptedCoordinator();
  readonly heads = new Map(partitions.map((partition) => [partition, 0]));
  readonly reads: Promise<void>[] = [];
  readonly replica: FeedReplica;
  /** On their way to the replica's newest subscription. */
  #wire: FeedMessage[] = [];
  #last: FeedMessage | undefined;
  #questions: ((failure: boolean) => void)[] = [];
  mostQuestions = 0;
  readsDone = 0;

  constructor() {
    this.owner.holdsSnapshots = true;
    const subscribe = this.owner.subscribe.bind(this.owner);
    this.owner.subscribe = (options, listener) => {
      this.#showHeads();
      this.#wire = [this.owner.snapshot()];
      return subscribe(options, listener);
    };
    // The owner looks when it is asked, and its answer takes its time: whoever comes in between has
    // not been heard.
    this.owner.onFeedPosition = () => {
      const { position } = this.owner;
      return new Promise((resolve, reject) => {
        this.#questions.push((failure) => {
          if (failure) reject(new OperatingError('NOT_OWNER', 'no', { retriable: true }));
          else resolve(position);
        });
        this.mostQuestions = Math.max(this.mostQuestions, this.#questions.length);
      });
    };
    this.replica = new FeedReplica({
      coordinator: this.owner,
      commits: true,
      clock: systemClock,
      log: () => {},
      backoffMsMin: 0,
      backoffMsMax: 0,
    });
    this.replica.start();
  }

  async play(action: Step): Promise<void> {
    switch (action.kind) {
      case 'commit':
        return this.#commit(action.partition, action.records);
      case 'deliver':
        return this.#deliver();
      case 'lose':
        this.#wire.splice(1, 1);
        return;
      case 'repeat':
        if (this.#last) this.owner.deliver(this.#last);
        return;
      case 'cut':
        this.owner.cut();
        await turn();
        return;
      case 'failover':
        this.owner.position = { leaseEpoch: this.owner.position.leaseEpoch + 1, sequence: 0 };
        this.owner.cut();
        return;
      case 'read':
        this.reads.push(this.#read());
        await turn();
        return;
      case 'answer':
      case 'fail':
        this.#questions.shift()?.(action.kind === 'fail');
        await turn();
    }
  }

  /** Lets everything arrive and every question be answered. */
  async settle(): Promise<void> {
    this.#commit(partitions[0] ?? 0, 1); // shows that the message before it was lost, if it was
    const reads = { done: false };
    const all = Promise.all(this.reads).finally(() => {
      reads.done = true;
    });
    while (!reads.done || !this.#isLevel()) {
      this.#deliver();
      this.#questions.shift()?.(false);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await all;
  }

  #isLevel(): boolean {
    return this.#wire.length === 0 && this.replica.health().disconnectedForMs === null;
  }

  #commit(partition: number, records: number): void {
    const base = this.heads.get(partition) ?? 0;
    this.heads.set(partition, base + records);
    const extents = [extentOf(partition, base, records)];
    this.#wire.push(this.owner.next([{ kind: 'committed', extents }]));
  }

  #deliver(): void {
    if (this.owner.live().length === 0) return;
    const message = this.#wire.shift();
    if (message === undefined) return;
    this.#last = message;
    this.owner.deliver(message);
  }

  async #read(): Promise<void> {
    const atLeast = new Map(this.heads);
    await this.replica.barrier();
    for (const [partition, offset] of atLeast) {
      expect(this.replica.head(partition)?.highWatermark).toBeGreaterThanOrEqual(offset);
    }
    this.readsDone += 1;
  }

  #showHeads(): void {
    const heads = [...this.heads].map(([partitionId, highWatermark]) => ({
      partitionId,
      highWatermark,
    }));
    this.owner.topics = [topicOf(1, heads)];
  }
}

test('readers behind the barrier miss nothing, whatever the feed does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const world = new World();
      for (const action of steps) await world.play(action);
      await world.settle();
      expect(world.readsDone).toBe(world.reads.length);
      expect(world.mostQuestions).toBeLessThanOrEqual(1);
      for (const [partition, offset] of world.heads) {
        expect(world.replica.head(partition)?.highWatermark).toBe(offset);
      }
      world.replica.close();
    }),
    { numRuns: 150 },
  );
});
