import { randomUUID } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { segmentKey } from '@kafscale/codec';
import { OperatingError } from '@kafscale/core';
import {
  type MergedSegment,
  type MergePlan,
  openCompactionStore,
  openMetadataStore,
  openRetentionStore,
} from '@kafscale/metadata';
import { startTestPostgres, type TestPostgres } from '@kafscale/testing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { defaultCompactionLimits } from '../../src/compaction/compaction-limits.js';
import type { MergeJob } from '../../src/compaction/merge-job.js';
import { mergeSegments } from '../../src/compaction/merge-segments.js';
import { CompactionWorld, eager, eventually, type SegmentSpec } from './world.js';

let server: TestPostgres;
let world: CompactionWorld;

beforeAll(async () => {
  server = await startTestPostgres({
    prepareTemplate: async (url) => (await openMetadataStore({ url })).close(),
  });
});
afterAll(() => server.stop());
beforeEach(async () => {
  world = await CompactionWorld.open(await server.createDatabase());
});
afterEach(() => world.close());

function spec(round: number): SegmentSpec {
  const batch = { records: 2, valueBytes: 40, timestampMs: 1000 + round };
  const refused = { ...batch, accepted: round % 3 > 0 };
  return [
    [0, [batch, refused]],
    [1, [batch]],
    ...(round % 2 === 0 ? ([[2, [refused, batch]]] as const) : []),
  ];
}

async function fill(rounds: number, from = 0): Promise<string[]> {
  const ids: string[] = [];
  for (let round = from; round < from + rounds; round += 1)
    ids.push(await world.write(spec(round)));
  return ids;
}

async function planAndMerge(): Promise<{ plan: MergePlan; merged: MergedSegment }> {
  const store = openCompactionStore(world.store);
  const bounds = { ...defaultCompactionLimits, ...eager, shardId: 0, excludedSegmentIds: [] };
  const plan = await store.planFreshMerge(bounds);
  const job = { plan: plan!, segmentId: randomUUID(), softwareVersion: 'test' };
  const outcome = await mergeSegments(world.objects, job, world.memories);
  if (outcome.kind !== 'merged') throw new Error(JSON.stringify(outcome));
  return { plan: plan!, merged: outcome.merged };
}

function swap(what: { plan: MergePlan; merged: MergedSegment }, ageMsMax = 60_000) {
  return openCompactionStore(world.store).swap(world.lease, { ...what, ageMsMax });
}

/** Retention in the form of DeleteRecords, rows included. */
async function deleteRecords(index: number, offset: number): Promise<void> {
  const retention = openRetentionStore(world.store);
  const partitionId = world.partitionIds[index]!;
  await retention.deleteRecords(world.lease, [{ partitionId, offset }]);
  const unlimited = { partitionId, retentionMs: -1, retentionBytes: -1 };
  await retention.trim(world.lease, [unlimited], 1000);
}

async function purgeAll(): Promise<void> {
  while ((await world.store.purgeDeletedPartitions(world.lease, 3)) === 'more');
}

async function table(): Promise<unknown> {
  return [
    await world.query('SELECT * FROM extents ORDER BY partition_id, base_offset'),
    await world.query('SELECT * FROM segments ORDER BY segment_id'),
    await world.query('SELECT * FROM partitions ORDER BY partition_id'),
  ].map((rows) => [...(rows as Iterable<unknown>)]);
}

async function expectWhole(): Promise<void> {
  for (let index = 0; index < 3; index += 1) {
    const [start] = await world.query(
      `SELECT log_start_offset::int AS offset FROM partitions
       WHERE partition_id = ${world.partitionIds[index]}`,
    );
    const logStart = Number(start!['offset']);
    const expected = world.model(index).filter((batch) => batch.nextOffset > logStart);
    const log = await world.log(index);
    expect(log.filter((batch) => batch.nextOffset > logStart)).toEqual(expected);
  }
  expect(await world.violations()).toEqual([]);
}

describe('a swap', () => {
  it('changes nothing when retention has taken one of its rows', async () => {
    await fill(6);
    const work = await planAndMerge();
    await deleteRecords(0, world.model(0)[2]!.baseOffset);
    const before = await table();
    expect(await swap(work)).toBe('superseded');
    expect(await table()).toEqual(before);
    await world.compactFully();
    await expectWhole();
  });

  it('keeps the row that holds a log start that has moved into it', async () => {
    await fill(6);
    const work = await planAndMerge();
    const retention = openRetentionStore(world.store);
    const [partitionId] = world.partitionIds;
    await retention.deleteRecords(world.lease, [{ partitionId: partitionId!, offset: 5 }]);
    expect(await swap(work)).toBe('swapped');
    await deleteRecords(0, 5);
    await expectWhole();
    await deleteRecords(0, world.model(0).at(-1)!.nextOffset);
    expect(await world.rows(0)).toEqual([]);
    expect(await world.violations()).toEqual([]);
  });

  it('leaves rows below the log start to retention', async () => {
    await fill(4);
    const retention = openRetentionStore(world.store);
    const [partitionId] = world.partitionIds;
    await retention.deleteRecords(world.lease, [{ partitionId: partitionId!, offset: 5 }]);
    await world.compactFully();
    const [first] = await world.query(
      `SELECT next_offset::int AS next FROM extents WHERE partition_id = ${partitionId}
       ORDER BY base_offset LIMIT 1`,
    );
    expect(first!['next']).toBeLessThanOrEqual(5);
    await expectWhole();
  });

  it('changes nothing when its topic is deleted, purged or not', async () => {
    await fill(6);
    const work = await planAndMerge();
    await world.store.deleteTopic(world.lease, world.topicId);
    const before = await table();
    expect(await swap(work)).toBe('superseded');
    expect(await table()).toEqual(before);
    await purgeAll();
    expect(await swap(work)).toBe('superseded');
    expect(await world.violations()).toEqual([]);
  });

  it('leaves nothing behind when the topic is deleted and purged at the same time', async () => {
    const results = new Set<string>();
    for (let round = 0; round < 15; round += 1) {
      await world.close();
      world = await CompactionWorld.open(await server.createDatabase());
      await fill(8);
      const work = await planAndMerge();
      const [result] = await Promise.all([
        swap(work),
        world.store.deleteTopic(world.lease, world.topicId).then(purgeAll),
      ]);
      results.add(result);
      await purgeAll();
      expect(await world.query('SELECT 1 FROM extents')).toHaveLength(0);
      expect(await world.violations()).toEqual([]);
    }
    expect([...results].every((result) => ['swapped', 'superseded'].includes(result))).toBe(true);
  });

  it('runs against retention in any order without losing or keeping a row', async () => {
    for (let round = 0; round < 15; round += 1) {
      await world.close();
      world = await CompactionWorld.open(await server.createDatabase());
      await fill(8);
      const work = await planAndMerge();
      await Promise.all([swap(work), deleteRecords(0, 1 + round), deleteRecords(1, 1 + round)]);
      await expectWhole();
    }
  });

  it('is done by one of two that planned the same', async () => {
    await fill(6);
    const [first, second] = [await planAndMerge(), await planAndMerge()];
    const results = await Promise.all([swap(first), swap(second)]);
    expect(results.toSorted()).toEqual(['superseded', 'swapped']);
    await expectWhole();
  });

  it('is refused to an owner that has been deposed', async () => {
    await fill(6);
    const work = await planAndMerge();
    await world.store.releaseShard(world.lease);
    const other = await world.store.acquireShard(0, randomUUID(), 60_000);
    const before = await table();
    await expect(swap(work)).rejects.toMatchObject({ code: 'SHARD_LEASE_LOST' });
    expect(await table()).toEqual(before);
    if (other.kind !== 'acquired') throw new Error('the shard is taken');
    world.lease = other.lease;
    expect(await swap(work)).toBe('swapped');
    await expectWhole();
  });

  it('is not done when its object may have been taken for garbage', async () => {
    await fill(6);
    const work = await planAndMerge();
    const before = await table();
    expect(await swap(work, -1)).toBe('superseded');
    expect(await table()).toEqual(before);
  });

  it('does not wait for a commit to the same partitions, nor a commit for it', async () => {
    await fill(6);
    const work = await planAndMerge();
    // As a commit holds them.
    const other = await openMetadataStore({ url: world.url });
    await other.database.transaction(async ({ sql }) => {
      await sql`SELECT 1 FROM partitions ORDER BY partition_id FOR NO KEY UPDATE`;
      const unchanged = work.merged.extents.every(
        ({ length }, index) => length === work.plan.runs[index]!.bytes,
      );
      // Bytes of refused batches are subtracted from the partition: that has to wait.
      const late = new Promise((resolve) => setTimeout(() => resolve('waits'), 500));
      const result = await Promise.race([swap(work), late]);
      expect(result).toBe(unchanged ? 'swapped' : 'waits');
    });
    await other.close();
    await eventually(async () => (await world.rows(1)).length === 1);
    await expectWhole();
  });
});

describe('a compactor', () => {
  it.each(['before reading', 'before storing', 'after storing', 'in between'] as const)(
    'that dies %s leaves a log that another one merges',
    async (when) => {
      await fill(10);
      let deaths = 0;
      const dying = world.compactor(
        {},
        {
          merge: async (job: MergeJob) => {
            deaths += 1;
            const died = { kind: 'failed', code: 'DIED', reason: when } as const;
            if (when === 'before reading') return died;
            const put = (): Promise<void> =>
              Promise.reject(new OperatingError('DIED', when, { outcome: 'unknown' }));
            const read = world.objects.read.bind(world.objects);
            const store = when === 'before storing' ? { read, put } : world.objects;
            const outcome = await mergeSegments(store, job, world.memories);
            if (when === 'in between') {
              // It was slow, and all of it was done by somebody else.
              await world.compactFully();
              return outcome;
            }
            return died;
          },
          close: () => Promise.resolve(),
        },
      );
      dying.wake();
      await eventually(() => deaths > 0);
      await dying.close();
      await expectWhole();
      const next = world.compactor();
      next.wake();
      await eventually(async () => (await world.rows(0)).length === 1);
      await next.close();
      await expectWhole();
    },
  );

  it('tells readers which offsets to look up again', async () => {
    await fill(10);
    const compactor = world.compactor();
    compactor.wake();
    await eventually(() => world.announced.length > 0);
    await compactor.close();
    const end = world.model(0).at(-1)!.nextOffset;
    expect(world.announced).toContainEqual({
      partitionId: world.partitionIds[0],
      baseOffset: 0,
      nextOffset: end,
    });
  });

  it('leaves a damaged segment alone, and merges all others', async () => {
    const ids = await fill(12);
    for (const [damaged, position] of [
      [ids[4]!, 100],
      [ids[9]!, 80],
    ] as const) {
      const path = join(fileURLToPath(world.objects.url), segmentKey(damaged));
      const bytes = await readFile(path);
      bytes[position]! ^= 1;
      await rm(path);
      await writeFile(path, bytes);
    }
    const compactor = world.compactor();
    compactor.wake();
    await eventually(async () => {
      const left = await world.query(
        'SELECT segment_id FROM segments WHERE live_extents > 0 AND NOT is_compacted',
      );
      return left.length === 2;
    });
    await compactor.close();
    expect(world.counts.unreadable).toBe(2);
    expect(world.logLines.filter(({ level }) => level === 'error')).toHaveLength(2);
    const rows = await world.rows(0);
    const untouched = rows.filter((row) => !row.absoluteOffsets).map((row) => row.segmentId);
    expect(untouched.toSorted()).toEqual([ids[4]!, ids[9]!].toSorted());
    expect(await world.violations()).toEqual([]);
  });

  it('comes back when its store does', async () => {
    await fill(4);
    let isUp = false;
    const own = world.executor();
    const compactor = world.compactor(
      {},
      {
        merge: (job) =>
          isUp
            ? own.merge(job)
            : Promise.resolve({ kind: 'failed', code: 'STORE_UNREACHABLE', reason: 'down' }),
        close: () => Promise.resolve(),
      },
    );
    compactor.wake();
    await eventually(() => world.counts.failed > 0);
    isUp = true;
    await eventually(() => world.counts.merged > 0);
    await compactor.close();
    await expectWhole();
  });

  it('two of them, commits, retention and readers at the same time: the log stays the log', async () => {
    const compactors = [world.compactor({ rowsMax: 20 }), world.compactor({ rowsMax: 33 })];
    const writing = new AbortController();
    const seen = { reads: 0 };
    const write = async (): Promise<void> => {
      // However fast each of them goes: until all have met.
      for (let round = 0; round < 120 || seen.reads <= 3 || world.counts.merged <= 3; round += 1) {
        await world.write(spec(round));
        for (const compactor of compactors) compactor.wake();
      }
      writing.abort();
    };
    const trim = async (): Promise<void> => {
      for (let offset = 2; !writing.signal.aborted; offset += 3) {
        const end = world.model(1).at(-1)?.nextOffset ?? 0;
        if (offset < end / 2) await deleteRecords(1, offset);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    };
    const read = async (): Promise<void> => {
      while (!writing.signal.aborted) {
        // The model has a segment, of two batches, before the index has.
        const known = world.model(0).slice(0, -2);
        const log = await world.log(0);
        expect(log.slice(0, known.length)).toEqual(known);
        seen.reads += 1;
      }
    };
    await Promise.all([write(), trim(), read()]);
    for (const compactor of compactors) compactor.wake();
    await eventually(async () => !(await world.hasMore({ rowsMax: 20 })));
    expect((await world.rows(0)).length).toBeLessThan(20); // of 120
    await Promise.all(compactors.map((compactor) => compactor.close()));
    await expectWhole();
    expect(seen.reads).toBeGreaterThan(3);
    expect(world.counts.merged).toBeGreaterThan(3);
  });
});
