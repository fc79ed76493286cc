import { coldRangeKey, segmentKey } from '@kafscale/codec';
import type { Extent, SegmentCommit } from '@kafscale/cluster';
import { OperatingError } from '@kafscale/core';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { folderStore, GarbageWorld } from '../garbage/world.js';
import { query, usePostgres } from '../shard/world.js';

const { database } = usePostgres();
const minuteMs = 60_000;
const partitions = 2;

/** Where a process dies, the next time that it comes there. */
const deaths = ['beforePut', 'afterPut', 'beforeAnnounce', 'beforeDelete', 'afterDelete'] as const;

type Step =
  | { readonly kind: 'write'; readonly partitions: readonly number[]; readonly count: number }
  | { readonly kind: 'upload' }
  | { readonly kind: 'deleteRecords'; readonly partition: number; readonly offset: number }
  | { readonly kind: 'alter'; readonly retentionBytes: number }
  | { readonly kind: 'replaceTopic' | 'freeze' | 'pass' | 'collect' | 'sweep' | 'restart' }
  | { readonly kind: 'die'; readonly where: (typeof deaths)[number] }
  | { readonly kind: 'wait'; readonly minutes: number };

const partition = fc.nat(partitions - 1);
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      partitions: fc.uniqueArray(partition, { minLength: 1 }),
      count: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('upload' as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('deleteRecords' as const),
      partition,
      offset: fc.integer({ min: -1, max: 120 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('alter' as const),
      retentionBytes: fc.integer({ min: -1, max: 1000 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('die' as const), where: fc.constantFrom(...deaths) }),
  },
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        ...([
          'freeze',
          'freeze',
          'freeze',
          'pass',
          'collect',
          'sweep',
          'restart',
          'replaceTopic',
        ] as const),
      ),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      minutes: fc.constantFrom(12, 70, 150),
    }),
  },
);

/** Carries out the steps, and keeps what was written where. */
class Run {
  w: GarbageWorld;
  readonly #uploaded: { segment: SegmentCommit; ageMs: number }[] = [];
  #logs = new Map<number, { base: number; next: number; segmentId: string }[]>();
  #partitionIds: number[] = [];
  #topicId = '';
  #topics = 0;
  frozen = 0;

  constructor(w: GarbageWorld) {
    this.w = w;
  }

  async newTopic(): Promise<void> {
    this.#topics += 1;
    const configs = { 'retention.ms': '-1' };
    const topic = await this.w.createTopic(`topic-${this.#topics}`, configs, partitions);
    ({ topicId: this.#topicId, partitionIds: this.#partitionIds } = topic);
    this.#logs = new Map(this.#partitionIds.map((partitionId) => [partitionId, []]));
  }

  async take(each: Step): Promise<void> {
    try {
      await this.#carryOut(each);
    } catch (error) {
      if (!(error instanceof OperatingError) || error.code !== 'DIED') throw error;
    }
    if (this.#hasDied) this.w = await this.w.restart();
    this.#hasDied = false;
  }

  #hasDied = false;

  async #carryOut(each: Step): Promise<void> {
    switch (each.kind) {
      case 'write':
        for (let count = 0; count < each.count; count += 1) await this.#write(each.partitions);
        return;
      case 'upload':
        this.#uploaded.push({ segment: await this.w.upload([this.#partitionIds[0]!]), ageMs: 0 });
        return;
      case 'deleteRecords': {
        const partitionId = this.#partitionIds[each.partition]!;
        await this.w.process.owner.deleteRecords([{ partitionId, offset: each.offset }]);
        return this.w.retention.expect([partitionId]);
      }
      case 'alter':
        return this.w.alter(this.#topicId, {
          'retention.ms': '-1',
          'retention.bytes': String(each.retentionBytes),
        });
      case 'replaceTopic':
        await this.w.process.owner.delete(this.#topicId);
        await this.newTopic();
        return this.w.purge();
      case 'freeze':
        return this.w.freeze();
      case 'pass':
        return this.w.pass();
      case 'collect':
        return this.w.collect();
      case 'sweep':
        await query(this.w.url, 'UPDATE orphan_sweep SET starts_at = now()');
        this.w.process.clock.shiftMs += 1; // whatever it has planned, it looks
        this.w = await this.w.restart();
        return this.w.sweepAll();
      case 'restart':
        this.w = await this.w.restart();
        return;
      case 'die':
        this.w.sabotage[each.where] = () => {
          this.#hasDied = true;
          throw new OperatingError('DIED', 'killed by the test');
        };
        return;
      case 'wait':
        return this.wait(each.minutes * minuteMs);
    }
  }

  /** Every record is where it was written, by the index and in the bucket; nothing contradicts. */
  async check(): Promise<void> {
    expect(await this.w.contradictions()).toEqual([]);
    const objects = new Set(await this.w.objects());
    const ranges = await query(
      this.w.url,
      `SELECT object_id FROM cold_ranges WHERE state = 'live'`,
    );
    this.frozen += ranges.length;
    for (const range of ranges) {
      expect(objects).toContain(coldRangeKey(String(range['object_id'])));
    }
    for (const [index, partitionId] of this.#partitionIds.entries()) {
      const { end, logStart } = this.w.head(`topic-${this.#topics}`, index);
      const extents: Extent[] = [];
      for (let offset = logStart; offset < end; offset = extents.at(-1)!.nextOffset) {
        const found = await this.w.cold.lookups.findExtents(partitionId, offset, 100);
        expect(found.length).toBeGreaterThan(0);
        expect(found[0]!.baseOffset).toBeLessThanOrEqual(offset);
        extents.push(...found);
      }
      const wanted = this.#logs.get(partitionId)!.filter(({ next }) => next > logStart);
      const places = extents.map(({ baseOffset: base, nextOffset: next, segmentId }) => ({
        base,
        next,
        segmentId,
      }));
      expect(places).toEqual(wanted);
      for (const { segmentId } of wanted) expect(objects).toContain(segmentKey(segmentId));
    }
    expect(this.w.garbageMetrics.segmentsRefused).toBe(0);
  }

  /** Once everything is deleted and collected, nothing is left. */
  async settle(): Promise<void> {
    for (const death of deaths) delete this.w.sabotage[death];
    await this.w.process.owner.delete(this.#topicId);
    await this.w.purge();
    for (let round = 0; round < 4; round += 1) {
      await this.w.collect();
      await this.w.freeze();
      await this.wait(300 * minuteMs);
    }
    const left = await query(this.w.url, 'SELECT object_id::text FROM cold_ranges');
    expect(left).toEqual([]);
    const keys = await this.w.objects();
    expect(keys.filter((key) => key.startsWith('v1/cold/'))).toEqual([]);
    expect(await this.w.segmentRows()).toEqual([]);
  }

  async #write(indexes: readonly number[]): Promise<void> {
    const partitionIds = indexes.map((index) => this.#partitionIds[index]!);
    const segment = await this.w.upload(partitionIds);
    this.#uploaded.push({ segment, ageMs: 0 });
    await this.w.commit(segment);
    for (const partitionId of partitionIds) {
      const log = this.#logs.get(partitionId)!;
      const base = log.at(-1)?.next ?? 0;
      log.push({ base, next: base + 10, segmentId: segment.segmentId });
    }
  }

  /** Everything becomes older: rows, objects, and what they say of themselves. */
  async wait(ms: number): Promise<void> {
    await this.w.age(ms);
    const objects = new Set(await this.w.objects());
    for (const one of this.#uploaded) {
      one.ageMs += ms;
      one.segment = { ...one.segment, birthMs: one.segment.birthMs - ms };
      const key = segmentKey(one.segment.segmentId);
      if (!objects.has(key)) continue;
      await this.w.test.objects.delete([key]);
      await this.w.reupload(one.segment);
      this.w.ageObject(one.segment.segmentId, one.ageMs);
    }
  }
}

it('whatever happens in whatever order, and wherever a process dies, no live object goes', async () => {
  let frozen = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 50 }), async (steps) => {
      const store = folderStore();
      try {
        const run = new Run(await GarbageWorld.open(await database(), store));
        await run.newTopic();
        // Something to begin with, and a sweep long before it.
        await run.take({ kind: 'write', partitions: [0], count: 5 });
        await run.take({ kind: 'wait', minutes: 300 });
        await run.take({ kind: 'sweep' });
        await run.take({ kind: 'freeze' });
        for (const each of steps) {
          await run.take(each);
          await run.check();
        }
        await run.settle();
        frozen += run.frozen;
        await run.w.process.close();
      } finally {
        await store.remove();
      }
    }),
    { numRuns: 8, endOnFailure: true },
  );
  expect(frozen).toBeGreaterThan(0);
}, 400_000);
