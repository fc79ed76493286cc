import { randomUUID } from 'node:crypto';
import { segmentKey } from '@kafscale/codec';
import { OperatingError } from '@kafscale/core';
import type { S3Server } from '@kafscale/testing';
import { findS3Server, startS3Server } from '@kafscale/testing';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { OwnerProcess, query, usePostgres } from '../shard/world.js';
import { bucketStore, folderStore, GarbageWorld } from './world.js';
import type { TestStore } from './world.js';

const { database } = usePostgres();
const hourMs = 3_600_000;
const s3Binary = findS3Server();
let s3: S3Server | null = null;
const stores: TestStore[] = [];

beforeAll(async () => {
  if (s3Binary !== undefined) s3 = await startS3Server();
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.remove();
});
afterAll(() => s3?.stop());

function bucket(): TestStore {
  const { accessKeyId, bucket: name, endpoint, secretAccessKey } = s3!;
  const credentials = { accessKeyId, secretAccessKey };
  const url = `s3://${name}/${randomUUID()}`;
  return bucketStore(url, { endpoint, pathStyle: true, region: 'us-east-1', credentials });
}

async function world(make: () => TestStore = folderStore): Promise<GarbageWorld> {
  const store = make();
  stores.push(store);
  return GarbageWorld.open(await database(), store);
}

const kinds: [string, (() => TestStore) | null][] = [
  ['files', folderStore],
  [s3Binary === undefined ? 'S3 — LEFT OUT: no versitygw' : 'S3', s3Binary ? bucket : null],
];

describe.each(kinds)('on %s', (_, make) => {
  it.skipIf(make === null)('marks, waits, deletes, forgets, and frees nothing else', async () => {
    const w = await world(make!);
    const { partitionIds } = await w.createTopic('events', { 'retention.ms': '-1' }, 2);
    const [one, two] = partitionIds as [number, number];
    const [shared, gone, kept] = [await w.write(one, two), await w.write(one), await w.write(one)];
    await w.process.owner.deleteRecords([{ partitionId: one, offset: 20 }]);
    w.retention.expect([one]);
    await w.pass();

    await w.collect();
    expect(w.garbageMetrics).toMatchObject({ segmentsWaiting: 1, bytesWaiting: gone.sizeBytes });
    expect(await w.objects()).toHaveLength(3);
    await w.age(hourMs / 8);
    await w.collect();
    expect(await w.has(gone)).toBe(true);
    await w.age(hourMs / 8);
    await w.collect();
    expect(await w.has(gone)).toBe(false);
    expect(await w.segmentRows()).toEqual([shared.segmentId, kept.segmentId].sort());
    expect(await w.objects()).toHaveLength(2);
    expect(w.garbageMetrics).toMatchObject({ segmentsWaiting: 0, objectsDeleted: 1, failures: 0 });
  });

  it.skipIf(make === null)('frees all that a deleted topic had', async () => {
    const w = await world(make!);
    const events = await w.createTopic('events', {}, 3);
    const other = await w.createTopic('other');
    for (let count = 0; count < 5; count += 1) await w.write(...events.partitionIds);
    const shared = await w.write(events.partitionIds[0]!, other.partitionIds[0]!);
    await w.process.owner.delete(events.topicId);
    await w.purge();
    await w.collect();
    await w.age(hourMs);
    await w.collect();
    expect(await w.objects()).toEqual([segmentKey(shared.segmentId)]);
    expect(await w.contradictions()).toEqual([]);
  });
});

describe('what is deleted', () => {
  it('is also a segment of which nothing was accepted', async () => {
    const w = await world();
    const { partitionIds, topicId } = await w.createTopic('events');
    const segment = await w.upload(partitionIds);
    await w.process.owner.delete(topicId);
    expect(await w.commit(segment)).toMatchObject({ extents: [[{ errorCode: 3 }]] });
    await w.collect();
    await w.age(hourMs);
    await w.collect();
    expect(await w.has(segment)).toBe(false);
  });

  it('is not anything that an index row names, whatever the counts say', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events');
    const segment = await w.write(...partitionIds);
    await query(w.url, 'UPDATE segments SET live_extents = 0');
    await w.collect();
    await w.age(hourMs);
    await w.collect();
    expect(await w.has(segment)).toBe(true);
    expect(await w.segmentRows()).toEqual([segment.segmentId]);
    expect(w.garbageMetrics).toMatchObject({ segmentsRefused: 1, objectsDeleted: 0 });
    expect(w.logged).toMatchObject([{ fields: { segmentIds: [segment.segmentId] } }]);
    // It is looked at again after another wait, and does not hold up what is garbage.
    const { partitionIds: others, topicId } = await w.createTopic('others');
    const garbage = await w.write(...others);
    await w.process.owner.delete(topicId);
    await w.purge();
    await w.collect();
    await w.age(hourMs);
    await w.collect();
    expect(w.garbageMetrics.segmentsRefused).toBe(2);
    expect([await w.has(segment), await w.has(garbage)]).toEqual([true, false]);
  });

  it('keeps its answer for as long as the commit may be repeated', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events', { 'retention.ms': '0' });
    const segment = await w.write(...partitionIds);
    await w.pass();
    await w.collect();
    // It was born late: marked for long enough, and yet young enough to be committed.
    await query(w.url, `UPDATE segments SET marked_at = now() - interval '1 hour'`);
    const restarted = await w.restart();
    await restarted.collect();
    expect(await w.has(segment)).toBe(true);
    expect(await restarted.commit(segment)).toMatchObject({ extents: [[{ baseOffset: 0 }]] });
    expect(restarted.head().end).toBe(10);
    await restarted.age(hourMs);
    await restarted.collect();
    expect(await w.has(segment)).toBe(false);
    // The row is gone, and a repeat does not look new.
    const late = { ...segment, birthMs: segment.birthMs - hourMs };
    expect(await restarted.commit(late)).toEqual({ kind: 'tooOld' });
    expect(restarted.head().end).toBe(10);
  });
});

it('what the index in the bucket still names waits until it does not', async () => {
  const w = await world();
  const { partitionIds, topicId } = await w.createTopic('events');
  await w.write(...partitionIds);
  await w.process.owner.delete(topicId);
  await w.purge();
  await w.collect();
  await w.age(hourMs);
  for (const unwrittenForMs of [Infinity, 2 * hourMs]) {
    w.unwrittenForMs = unwrittenForMs;
    await w.collect();
    expect(await w.objects()).toHaveLength(1);
    expect(w.garbageMetrics.overdueMs).toBeGreaterThanOrEqual(0.75 * hourMs);
  }
  w.unwrittenForMs = hourMs / 2;
  await w.collect();
  expect(await w.objects()).toEqual([]);
  expect(w.garbageMetrics.overdueMs).toBe(0);
});

describe('what goes wrong', () => {
  it('with the store is tried again later, and other objects do not wait for it', async () => {
    const w = await world();
    const { partitionIds, topicId } = await w.createTopic('events');
    const segments = [await w.write(...partitionIds), await w.write(...partitionIds)];
    await w.process.owner.delete(topicId);
    await w.purge();
    await w.collect();
    await w.age(hourMs);
    w.sabotage.failKeys = new Set([segmentKey(segments[0]!.segmentId)]);
    await w.collect();
    expect(w.garbageMetrics).toMatchObject({ failures: 1, objectsDeleted: 1, segmentsWaiting: 1 });
    expect(await w.segmentRows()).toEqual([segments[0]!.segmentId]);
    delete w.sabotage.failKeys;
    await w.age(hourMs);
    await w.collect();
    expect(await w.objects()).toEqual([]);
    expect(await w.segmentRows()).toEqual([]);

    const unreachable = new OperatingError('STORE_UNREACHABLE', 'no', { retriable: true });
    const again = await w.createTopic('again');
    await w.write(...again.partitionIds);
    await w.process.owner.delete(again.topicId);
    await w.purge();
    await w.collect();
    await w.age(hourMs);
    w.sabotage.beforeDelete = () => {
      throw unreachable;
    };
    await expect(w.collect()).rejects.toBe(unreachable);
    expect(await w.segmentRows()).toHaveLength(1);
    delete w.sabotage.beforeDelete;
    await w.collect();
    expect(await w.objects()).toEqual([]);
  });

  it.each(['marking', 'deleting', 'forgetting'])(
    'with the process, before %s, is nothing to the next one',
    async (step) => {
      const w = await world();
      const { partitionIds, topicId } = await w.createTopic('events');
      await w.write(...partitionIds);
      await w.process.owner.delete(topicId);
      await w.purge();
      const killed = new OperatingError('KILLED', 'the process is gone');
      const kill = (): never => {
        throw killed;
      };
      if (step !== 'marking') await w.collect();
      await w.age(hourMs);
      if (step === 'deleting') w.sabotage.beforeDelete = kill;
      if (step === 'forgetting') w.sabotage.afterDelete = kill;
      if (step !== 'marking') await expect(w.collect()).rejects.toBe(killed);
      expect(await w.segmentRows()).toHaveLength(1);
      expect(await w.objects()).toHaveLength(step === 'forgetting' ? 0 : 1);

      const next = await w.restart();
      await next.collect();
      expect(next.garbageMetrics.segmentsWaiting).toBe(step === 'marking' ? 1 : 0);
      await next.age(hourMs);
      await next.collect();
      expect(await next.segmentRows()).toEqual([]);
      expect(await next.objects()).toEqual([]);
    },
  );

  it('with the lease stops it: who has lost it deletes nothing', async () => {
    const w = await world();
    const { partitionIds, topicId } = await w.createTopic('events');
    await w.write(...partitionIds);
    await w.process.owner.delete(topicId);
    await w.purge();
    await w.collect();
    await w.age(hourMs);
    w.process.clock.shiftMs += hourMs;
    w.process.owner.renewed({ ...w.process.owner.lease!, deadlineMs: 0 });
    await w.collect();
    expect(await w.objects()).toHaveLength(1);
    await OwnerProcess.start(w.url, w.process.instanceId);
    w.process.owner.renewed({ ...w.process.owner.lease!, deadlineMs: Infinity });
    w.garbage.expect();
    await expect(w.collect()).rejects.toMatchObject({ code: 'SHARD_LEASE_LOST' });
  });
});

it('asks the database nothing while nothing changes and nothing is due', async () => {
  const w = await world();
  const { partitionIds, topicId } = await w.createTopic('events');
  await w.write(...partitionIds);
  await w.collect();
  const calls = [
    vi.spyOn(w.process.store.database, 'transaction'),
    vi.spyOn(w.process.store.database, 'read'),
  ];
  const count = (): number => calls.reduce((sum, { mock }) => sum + mock.calls.length, 0);
  await w.collect();
  expect(count()).toBe(0);
  await w.process.owner.delete(topicId);
  await w.purge();
  await w.collect();
  const before = count();
  await w.collect();
  w.process.clock.shiftMs += 1000;
  await w.collect();
  expect(count()).toBe(before);
});
