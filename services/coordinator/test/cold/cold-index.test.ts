import { coldRangeKey, segmentKey } from '@kafscale/codec';
import type { Extent } from '@kafscale/cluster';
import { openColdStore, openMetadataAudit } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';
import { crc32c } from '@node-rs/crc32';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ColdCheck } from '../../src/recovery/check/check-cold.js';
import { CheckTally } from '../../src/recovery/check/check-report.js';
import { checkStore } from '../../src/recovery/check/check-store.js';
import { explainOffset } from '../../src/recovery/explain/explain-offset.js';
import { hasS3, s3Title } from '@kafscale/testing';
import { openStore, RecoveryWorld } from '../recovery/world.js';
import { TopicPurge } from '../../src/topics/purge.js';
import { query, silentLog, usePostgres } from '../shard/world.js';
import { coldIndexOf, freeze, makeOld, placesOf } from './world.js';

const { database } = usePostgres();

/** Out of order, with none, and the same one twice. */
const timestamps = [5, 3, 9, -1, 9, 2, 30, 12, 11, 40, 40, 7, 55, 54, 53, 60, 1, 61, 62, 63];

async function prepare(kind: 'files' | 's3' = 'files') {
  const world = await RecoveryWorld.start(await database(), await openStore(kind));
  const { partitionIds, topicId } = await world.createTopic('t', 2, { 'retention.ms': '-1' });
  const [one, two] = partitionIds as [number, number];
  for (const timestampMs of timestamps) {
    await world.append(one, { records: 2, timestampMs }, { records: 1, excluded: true });
  }
  await world.append(two, { records: 3 });
  await makeOld(world.url);
  return { world, topicId, one, two, cold: coldIndexOf(world) };
}

interface Lookups {
  findExtents(partitionId: number, offset: number, countMax: number): Promise<readonly Extent[]>;
  findExtentByTimestamp(id: number, timestampMs: number, from?: number): Promise<Extent | null>;
  findExtentOfMaxTimestamp(partitionId: number): Promise<Extent | null>;
}

/** Everything that can be asked of a partition. */
async function answersOf(lookups: Lookups, partitionId: number, logStart = 0) {
  const end = timestamps.length * 2;
  const byOffset: (Extent | undefined)[] = [];
  for (let offset = 0; offset <= end; offset += 1) {
    byOffset.push((await lookups.findExtents(partitionId, offset, 3))[0]);
  }
  const byTimestamp: (Extent | null)[] = [];
  for (const timestampMs of new Set([...timestamps, 0, 8, 41, 64])) {
    for (const from of [logStart, logStart + 5, 20, 33]) {
      byTimestamp.push(await lookups.findExtentByTimestamp(partitionId, timestampMs, from));
    }
  }
  return { byOffset, byTimestamp, last: await lookups.findExtentOfMaxTimestamp(partitionId) };
}

describe.each([
  { kind: 'files' as const, title: 'a cold index in local files', skip: false },
  { kind: 's3' as const, title: s3Title('a cold index in S3'), skip: !hasS3 },
])('$title', ({ kind, skip }) => {
  it.skipIf(skip)('answers as the rows did, from a bounded number of rows', async () => {
    const { cold, one, world } = await prepare(kind);
    const before = await answersOf(world.process.store, one);
    expect(before.byOffset.filter((extent) => extent === undefined)).toHaveLength(1);
    await freeze(cold);
    expect(await placesOf(world.url)).toMatchObject({ extents: 3, segments: 3, cold: 18 });
    expect((await placesOf(world.url)).ranges).toBeLessThan(5);
    expect(await answersOf(cold.lookups, one)).toEqual(before);
    // And from within, once more from memory, and by whoever comes next.
    const next = await world.restart();
    expect(await answersOf(coldIndexOf(next).lookups, one)).toEqual(before);
  });
});

describe('a cold index', () => {
  it('gives up what DeleteRecords and retention cut off, and answers for the rest', async () => {
    const { cold, one, world } = await prepare();
    await freeze(cold);
    const logStart = 15;
    await world.process.owner.deleteRecords([{ partitionId: one, offset: logStart }]);
    const rows = async () => answersOf(cold.lookups, one, logStart);
    const whileCold = await rows();
    expect(whileCold.byOffset[0]!.baseOffset).toBe(14);
    while ((await placesOf(world.url)).ranges > 0) expect(await cold.thaw(one)).toBe(true);
    expect(await rows()).toEqual(whileCold);
    expect(await answersOf(world.process.store, one, logStart)).toEqual(whileCold);
  });

  it('is not read when a server starts, nor for what the rows have', async () => {
    const { cold, one, world } = await prepare();
    await freeze(cold);
    const next = await world.restart();
    const reads: string[] = [];
    const counting: ObjectStore = new Proxy(next.objects, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          reads.push(String(name));
          return (value as (...given: unknown[]) => unknown).apply(target, args);
        };
      },
    });
    const { freezer, lookups } = coldIndexOf(next, counting);
    const end = timestamps.length * 2;
    expect(await lookups.findExtents(one, end - 1, 5)).toHaveLength(1);
    await freezer.pass(new AbortController().signal);
    expect(reads).toEqual([]);
    await Promise.all([lookups.findExtents(one, 0, 5), lookups.findExtents(one, 1, 5)]);
    await lookups.findExtents(one, 2, 5);
    expect(reads).toEqual(['readTail']);
  });

  it('that is lost fails on its offsets, clearly, and on no others', async () => {
    const { cold, one, world } = await prepare();
    await freeze(cold);
    const [first] = await query(
      world.url,
      `SELECT object_id::text, next_offset::int FROM cold_ranges WHERE state = 'live'
       ORDER BY base_offset LIMIT 1`,
    );
    const lost = coldRangeKey(String(first!['object_id']));
    await world.objects.delete([lost]);
    const { lookups } = coldIndexOf(world);
    await expect(lookups.findExtents(one, 0, 1)).rejects.toMatchObject({
      code: 'OBJECT_NOT_FOUND',
    });
    const end = Number(first!['next_offset']);
    expect(await lookups.findExtents(one, end, 1)).toMatchObject([{ baseOffset: end }]);
    // Once nobody may read it, it bars nothing any more.
    await world.process.owner.deleteRecords([{ partitionId: one, offset: end }]);
    expect(await coldIndexOf(world).thaw(one)).toBe(true);
    expect(await lookups.findExtents(one, 0, 1)).toMatchObject([{ baseOffset: end }]);
  });

  it('of a deleted topic is not merged, and holds up the merges of no other', async () => {
    const { cold, one, two, world } = await prepare();
    await freeze(cold);
    const ranges = (partitionId: number) => `
      INSERT INTO cold_ranges SELECT gen_random_uuid(), 0, ${partitionId}, 1000 + n, 1001 + n, 1, 1,
        0, 0, 1001 + n, 1, 0, 'live', now() FROM generate_series(1, 2) n;`;
    await query(world.url, ranges(one) + ranges(two));
    const request = { shardId: 0, fanIn: 2, extentsMax: 8, excludedObjectIds: [] };
    const store = openColdStore(world.process.store);
    expect(await store.findMergeable(request)).toMatchObject([
      { partitionId: one },
      { partitionId: one },
    ]);
    await query(world.url, `UPDATE partitions SET deleted_at = now() WHERE partition_id = ${one}`);
    expect(await store.findMergeable(request)).toMatchObject([
      { partitionId: two },
      { partitionId: two },
    ]);
  });

  it('of a deleted topic goes in the end, also when it can not be brought back at first', async () => {
    const { cold, one, topicId, world } = await prepare();
    await freeze(cold);
    const { owner, store } = world.process;
    await owner.delete(topicId);
    let attempts = 0;
    const purge = new TopicPurge({
      store,
      lease: () => owner.lease,
      log: silentLog,
      onPurged: () => undefined,
      thaw: (partitionId) => {
        attempts += 1;
        return attempts === 1 ? Promise.resolve(false) : cold.thaw(partitionId);
      },
      retryMs: 1,
    });
    onTestFinished(() => purge.close());
    purge.wake();
    const left = `SELECT count(*)::int AS left FROM partitions WHERE partition_id = ${one}`;
    const isGone = async () => (await query(world.url, left))[0]!['left'] === 0;
    await expect.poll(isGone).toBe(true);
    expect(await placesOf(world.url)).toMatchObject({ extents: 0, ranges: 0 });
  });

  it('and compaction never move the same row', async () => {
    const { cold, one, world } = await prepare();
    // Between the look and the transaction, another row takes the place of the first two.
    const objects = new Proxy(world.objects, {
      get(target, name) {
        if (name !== 'put') return Reflect.get(target, name, target) as unknown;
        return async (...args: Parameters<ObjectStore['put']>) => {
          await target.put(...args);
          await world.merge(one, 2);
        };
      },
    });
    const before = await answersOf(cold.lookups, one);
    await freeze(coldIndexOf(world, objects));
    expect(await placesOf(world.url)).toMatchObject({ cold: 0 });
    const after = await answersOf(cold.lookups, one);
    expect(after.byOffset.slice(4)).toEqual(before.byOffset.slice(4));
  });

  it('takes no segment that a sweep may still look at, nor one that may be asked for', async () => {
    const { cold, world } = await prepare();
    await query(world.url, 'UPDATE orphan_sweep SET watermark_ms = 0');
    await freeze(cold);
    expect(await placesOf(world.url)).toMatchObject({ cold: 0 });
    await makeOld(world.url);
    await query(world.url, 'UPDATE segments SET birth_ms = birth_ms + 172800000');
    await freeze(cold);
    expect(await placesOf(world.url)).toMatchObject({ cold: 0 });
  });
});

describe('fsck', () => {
  const check = (world: RecoveryWorld) =>
    checkStore({
      objects: world.objects,
      metadataUrl: world.url,
      deep: true,
      onProgress: () => undefined,
    });

  it('finds everything in its place, and names a lost object and a lost cold segment', async () => {
    const { cold, one, two, world } = await prepare();
    await freeze(cold);
    await world.flush();
    const extents = timestamps.length + 1;
    expect(await check(world)).toMatchObject({
      isSound: true,
      sound: { objects: extents, extents },
    });
    const [first] = await cold.lookups.findExtents(one, 0, 1);
    await world.objects.delete([segmentKey(first!.segmentId)]);
    const missing = await check(world);
    expect(missing).toMatchObject({ isSound: false, problems: { total: 1 } });
    expect(missing.problems.items).toMatchObject([
      { kind: 'lost', key: segmentKey(first!.segmentId), ranges: [{ topic: 't', nextOffset: 2 }] },
    ]);
    const live = `SELECT object_id::text FROM cold_ranges WHERE state = 'live' LIMIT 1`;
    const key = coldRangeKey(String((await query(world.url, live))[0]!['object_id']));
    const { bytes } = await world.objects.readTail(key, 1_000_000);
    bytes[40] = bytes[40]! ^ 1;
    await world.objects.delete([key]);
    await world.objects.put(key, [bytes], crc32c(bytes));
    const damaged = await check(world);
    expect(damaged.problems.items).toContainEqual(
      expect.objectContaining({ kind: 'damaged', key }),
    );
    expect(await cold.lookups.findExtents(two, 0, 9)).toHaveLength(1);
  });

  it('holds no more of it than it may', async () => {
    const { cold, world } = await prepare();
    await freeze(cold);
    const audit = await openMetadataAudit(world.url);
    const tally = new CheckTally();
    const held = new ColdCheck({ audit, objects: world.objects, tally }, timestamps.length, 1);
    const found: string[] = [];
    for (let part = 0; part < 256; part += 1) {
      await held.reach(part);
      const digits = part.toString(16).padStart(2, '0');
      found.push(...held.ownSegments(digits).map(({ segmentId }) => segmentId));
    }
    await audit.close();
    expect(new Set(found).size).toBe((await placesOf(world.url)).cold);
    expect(found).toHaveLength(new Set(found).size);
  });

  it('explains an offset in a cold range', async () => {
    const { cold, one, world } = await prepare();
    const [row] = await world.process.store.findExtents(one, 3, 1);
    await freeze(cold);
    const { objects, url } = world;
    const place = { topic: 't', partitionIndex: 0, offset: 3 };
    const found = await explainOffset({ objects, metadataUrl: url, ...place });
    expect(found).toMatchObject({
      key: segmentKey(row!.segmentId),
      extentCrcMatches: true,
      batch: { baseOffset: 2, crcMatches: true },
      problem: null,
    });
  });
});
