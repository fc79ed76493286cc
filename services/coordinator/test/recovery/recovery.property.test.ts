import * as fc from 'fast-check';
import { systemClock } from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';
import { expect, it } from 'vitest';
import { checkStore } from '../../src/recovery/check/check-store.js';
import { recover } from '../../src/recovery/recover/recover.js';
import { usePostgres } from '../shard/world.js';
import { contentOf, keysUnder, openStore, RecoveryWorld } from './world.js';

const { database } = usePostgres();

type Action =
  | { readonly kind: 'create' }
  | { readonly kind: 'delete'; readonly at: number }
  | { readonly kind: 'alter'; readonly at: number; readonly bytes: number }
  | { readonly kind: 'append'; readonly at: number; readonly batches: readonly BatchAction[] }
  | { readonly kind: 'trim'; readonly at: number; readonly share: number }
  | { readonly kind: 'merge'; readonly at: number; readonly rows: number }
  | { readonly kind: 'offset'; readonly at: number; readonly group: number; readonly share: number }
  | { readonly kind: 'flush' }
  | { readonly kind: 'refuse' }
  | { readonly kind: 'loseAnswer' }
  | { readonly kind: 'doubt' }
  | { readonly kind: 'restart' };

interface BatchAction {
  readonly records: number;
  readonly producer: number | null;
  readonly excluded: boolean;
}

const at = fc.nat(2);
const batch = fc.record({
  records: fc.integer({ min: 1, max: 4 }),
  producer: fc.option(fc.nat(2), { nil: null }),
  excluded: fc.boolean(),
});
const actions: fc.Arbitrary<Action[]> = fc.array(
  fc.oneof(
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('create' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), at }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('alter' as const),
        at,
        bytes: fc.integer({ min: 1, max: 9_999 }),
      }),
    },
    {
      weight: 12,
      arbitrary: fc.record({
        kind: fc.constant('append' as const),
        at,
        batches: fc.array(batch, { minLength: 1, maxLength: 3 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('trim' as const), at, share: fc.nat(100) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('merge' as const),
        at,
        rows: fc.integer({ min: 2, max: 5 }),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('offset' as const),
        at,
        group: fc.nat(2),
        share: fc.nat(100),
      }),
    },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('flush' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('refuse' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('loseAnswer' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('doubt' as const) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('restart' as const) }) },
  ),
  { minLength: 10, maxLength: 40 },
);

/** Carries out actions; what does not apply right now does nothing. */
class Driver {
  world: RecoveryWorld;
  readonly #manifestsPerSnapshotMax: number;
  readonly #sequences = new Map<string, number>();
  #topics = 0;

  constructor(world: RecoveryWorld, manifestsPerSnapshotMax: number) {
    this.world = world;
    this.#manifestsPerSnapshotMax = manifestsPerSnapshotMax;
  }

  async act(action: Action): Promise<void> {
    const { owner } = this.world.process;
    const topics = [...owner.list()].sort((left, right) => left.name.localeCompare(right.name));
    const topic = 'at' in action ? topics[action.at % topics.length] : undefined;
    if ('at' in action && topic === undefined) return;
    const head = topic?.partitions[0];
    switch (action.kind) {
      case 'create':
        this.#topics += 1;
        await this.world.createTopic(`topic-${this.#topics}`, 1 + (this.#topics % 2));
        return;
      case 'delete':
        await owner.delete(topic!.topicId);
        return;
      case 'alter': {
        const value = String(action.bytes);
        await owner.alterConfigs(topic!.topicId, () => new Map([['max.message.bytes', value]]));
        return;
      }
      case 'append':
        await this.#append(head!.partitionId, action.batches);
        return;
      case 'trim': {
        const length = head!.highWatermark - head!.logStartOffset;
        const offset = head!.logStartOffset + Math.floor((length * action.share) / 100);
        await owner.deleteRecords([{ partitionId: head!.partitionId, offset }]);
        return;
      }
      case 'merge':
        await this.world.merge(head!.partitionId, action.rows);
        return;
      case 'offset': {
        const offset = BigInt(Math.floor((head!.highWatermark * action.share) / 100));
        await this.world.commitOffset(
          `group-${action.group}`,
          topic!.topicId,
          offset,
          `m${offset}`,
        );
        return;
      }
      case 'flush':
        await this.world.flush();
        return;
      case 'refuse':
        this.world.faults.push('refused');
        return;
      case 'loseAnswer':
        this.world.faults.push('lost answer');
        return;
      case 'doubt':
        await this.#doubt(head?.partitionId);
        return;
      case 'restart':
        this.world = await this.world.restart(this.#manifestsPerSnapshotMax);
        return;
    }
  }

  async #append(partitionId: number, batches: readonly BatchAction[]): Promise<void> {
    const produced = batches.map(({ excluded, producer, records }) => {
      if (producer === null) return { records, excluded };
      const key = `${partitionId} ${producer}`;
      const sequence = this.#sequences.get(key) ?? 0;
      if (!excluded) this.#sequences.set(key, sequence + records);
      return { records, excluded, producer: { id: producer, epoch: 0, sequence } };
    });
    await this.world.append(partitionId, ...produced);
  }

  /** A commit is carried out, and its answer is lost: the shard is taken again under a new epoch. */
  async #doubt(partitionId: number | undefined): Promise<void> {
    if (partitionId === undefined) return;
    const { owner } = this.world.process;
    const epoch = owner.lease!.epoch;
    this.world.process.answersToLose = 1;
    await expect(this.world.append(partitionId, { records: 1 })).rejects.toMatchObject({
      outcome: 'unknown',
    });
    await expect.poll(() => owner.holds() && owner.lease!.epoch > epoch).toBe(true);
    this.world.writer.ownershipChanged();
  }
}

/** false: there is only one. */
async function loseNewestSnapshot(objects: ObjectStore): Promise<boolean> {
  const keys = await keysUnder(objects, 'v1/index/');
  const snapshots = keys.filter((key) => key.endsWith('-snapshot.idx'));
  if (snapshots.length < 2) return false;
  await objects.delete(snapshots.slice(-1));
  return true;
}

it('gives back what was there, whatever happened on the way', { timeout: 400_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(actions, fc.integer({ min: 1, max: 4 }), async (list, perSnapshot) => {
      const objects = await openStore('files');
      const options = { manifestsPerSnapshotMax: perSnapshot };
      const driver = new Driver(
        await RecoveryWorld.start(await database(), objects, options),
        perSnapshot,
      );
      const create = { kind: 'create' } as const;
      for (const action of [create, ...list, create]) await driver.act(action);
      const { world } = driver;
      await world.flush();
      const metadataUrl = await database();
      const report = await recover({ objects, metadataUrl, dryRun: false, clock: systemClock });
      expect(await contentOf(metadataUrl)).toEqual(await contentOf(world.url));
      expect(report).toMatchObject({
        damage: [],
        lostBeginnings: { total: 0 },
        lostRanges: { total: 0 },
        gaps: { total: 0 },
        clampedOffsets: { total: 0 },
      });
      for (const url of [world.url, metadataUrl]) {
        const onProgress = (): void => undefined;
        const check = await checkStore({ objects, metadataUrl: url, deep: true, onProgress });
        const { problems, wrongCounts, wrongOffsets } = check;
        expect({ problems, wrongCounts, wrongOffsets }).toEqual({
          problems: { total: 0, items: [] },
          wrongCounts: { total: 0, items: [] },
          wrongOffsets: { total: 0, items: [] },
        });
      }
      // The manifests from an older snapshot on lead to the same state.
      if (await loseNewestSnapshot(objects)) {
        const another = await database();
        const again = { objects, metadataUrl: another, dryRun: false, clock: systemClock };
        expect((await recover(again)).damage).toEqual([]);
        expect(await contentOf(another)).toEqual(await contentOf(world.url));
      }
      await world.crash();
    }),
    { numRuns: 15, endOnFailure: true },
  );
});
