import { segmentKey } from '@kafscale/codec';
import type { SegmentAnswer, SegmentCommit } from '@kafscale/cluster';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { query, usePostgres } from '../shard/world.js';
import { folderStore, GarbageWorld } from './world.js';

const { database } = usePostgres();
const minuteMs = 60_000;

type Step =
  | { readonly kind: 'write'; readonly partitions: readonly number[] }
  | { readonly kind: 'repeat'; readonly which: number }
  | { readonly kind: 'upload'; readonly partition: number }
  | { readonly kind: 'deleteRecords'; readonly partition: number; readonly offset: number }
  | { readonly kind: 'alter'; readonly retentionBytes: number }
  | { readonly kind: 'replaceTopic' }
  | { readonly kind: 'pass' | 'collect' | 'sweep' | 'restart' }
  | { readonly kind: 'wait'; readonly minutes: number };

const partitions = 3;
const partition = fc.nat(partitions - 1);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      partitions: fc.uniqueArray(partition, { minLength: 1 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('repeat' as const), which: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('upload' as const), partition }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('deleteRecords' as const),
      partition,
      offset: fc.integer({ min: -1, max: 100 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('alter' as const),
      retentionBytes: fc.integer({ min: -1, max: 500 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('replaceTopic' as const) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        ...(['pass', 'pass', 'collect', 'collect', 'sweep', 'restart'] as const),
      ),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      minutes: fc.constantFrom(3, 12, 70),
    }),
  },
);

interface Written {
  segment: SegmentCommit;
  /** The first answer, which every repeat must get for as long as it can be repeated. */
  answer: SegmentAnswer | null;
  ageMs: number;
}

/** Carries out the steps, and keeps what only a client would know: what it was told. */
class Run {
  w: GarbageWorld;
  readonly #written: Written[] = [];
  #partitionIds: number[] = [];
  #topicId = '';
  #topics = 0;

  constructor(w: GarbageWorld) {
    this.w = w;
  }

  async newTopic(): Promise<void> {
    this.#topics += 1;
    const name = `topic-${this.#topics}`;
    const topic = await this.w.createTopic(name, { 'retention.ms': '-1' }, partitions);
    ({ topicId: this.#topicId, partitionIds: this.#partitionIds } = topic);
  }

  async take(each: Step): Promise<void> {
    switch (each.kind) {
      case 'write':
        return this.#write(each.partitions);
      case 'repeat':
        return this.#repeat(each.which);
      case 'upload':
        return this.#remember(await this.w.upload([this.#partitionIds[each.partition]!]), null);
      case 'deleteRecords':
        return this.#deleteRecords(this.#partitionIds[each.partition]!, each.offset);
      case 'alter':
        return this.w.alter(this.#topicId, {
          'retention.ms': '-1',
          'retention.bytes': String(each.retentionBytes),
        });
      case 'replaceTopic':
        await this.w.process.owner.delete(this.#topicId);
        await this.newTopic();
        return this.w.purge();
      case 'pass':
        return this.w.pass();
      case 'collect':
        return this.w.collect();
      case 'sweep':
        await query(this.w.url, 'UPDATE orphan_sweep SET starts_at = now(), next_part = 0');
        this.w = await this.w.restart();
        return this.w.sweepAll();
      case 'restart':
        this.w = await this.w.restart();
        return;
      case 'wait':
        return this.#wait(each.minutes * minuteMs);
    }
  }

  async check(): Promise<void> {
    expect(await this.w.contradictions()).toEqual([]);
    const referenced = await query(this.w.url, 'SELECT DISTINCT segment_id FROM extents');
    const objects = new Set(await this.w.objects());
    const lost = referenced.filter((row) => !objects.has(segmentKey(String(row['segment_id']))));
    expect(lost).toEqual([]);
    expect(this.w.garbageMetrics.segmentsRefused).toBe(0);
  }

  /** After hours without anybody there is nothing but what is referenced. */
  async settle(): Promise<void> {
    await this.w.pass();
    await this.w.purge();
    for (let round = 0; round < 2; round += 1) {
      await this.w.collect();
      await this.#wait(70 * minuteMs);
    }
    await this.take({ kind: 'sweep' });
    await this.check();
    const rows = await query(this.w.url, 'SELECT DISTINCT segment_id FROM extents');
    const keys = rows.map((row) => segmentKey(String(row['segment_id'])));
    expect(await this.w.objects()).toEqual(keys.sort());
    const segments = await this.w.segmentRows();
    expect(segments).toHaveLength(keys.length);
  }

  async #write(indexes: readonly number[]): Promise<void> {
    const segment = await this.w.upload(indexes.map((index) => this.#partitionIds[index]!));
    this.#remember(segment, await this.w.commit(segment));
  }

  async #repeat(which: number): Promise<void> {
    const one = this.#written[which % Math.max(1, this.#written.length)];
    if (one === undefined) return;
    const answer = await this.w.commit(one.segment);
    const ageMsMax = this.w.process.store.commitAgeMsMax;
    if (one.answer === null) {
      // Its first commit, early or late.
      expect(answer.kind).toBe(one.ageMs > ageMsMax ? 'tooOld' : 'committed');
      if (answer.kind === 'committed') one.answer = answer;
    } else if (one.ageMs <= ageMsMax) {
      expect(answer).toEqual(one.answer);
    } else {
      // The same, or it has been forgotten; never something new.
      expect([one.answer, { kind: 'tooOld' }]).toContainEqual(answer);
    }
  }

  async #deleteRecords(partitionId: number, offset: number): Promise<void> {
    await this.w.process.owner.deleteRecords([{ partitionId, offset }]);
    this.w.retention.expect([partitionId]);
  }

  /** Everything becomes older: rows, objects, and what clients hold. */
  async #wait(ms: number): Promise<void> {
    await this.w.age(ms);
    const objects = new Set(await this.w.objects());
    for (const one of this.#written) {
      one.ageMs += ms;
      one.segment = { ...one.segment, birthMs: one.segment.birthMs - ms };
      const key = segmentKey(one.segment.segmentId);
      if (!objects.has(key)) continue;
      await this.w.test.objects.delete([key]);
      await this.w.reupload(one.segment);
      this.w.ageObject(one.segment.segmentId, one.ageMs);
    }
  }

  #remember(segment: SegmentCommit, answer: SegmentAnswer | null): void {
    this.#written.push({ segment, answer, ageMs: 0 });
  }
}

it('whatever happens in whatever order, an object goes if and only if nothing refers to it', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
      const store = folderStore();
      try {
        const run = new Run(await GarbageWorld.open(await database(), store));
        await run.newTopic();
        for (const each of steps) {
          await run.take(each);
          await run.check();
        }
        await run.settle();
        await run.w.process.close();
      } finally {
        await store.remove();
      }
    }),
    { numRuns: 12, endOnFailure: true },
  );
}, 400_000);
