import { randomUUID } from 'node:crypto';
import { segmentKey } from '@kafscale/codec';
import { limits, OperatingError } from '@kafscale/core';
import type { S3Server } from '@kafscale/testing';
import { findS3Server, startS3Server } from '@kafscale/testing';
import { crc32c } from '@node-rs/crc32';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { query, usePostgres } from '../shard/world.js';
import { bucketStore, folderStore, GarbageWorld } from './world.js';
import type { TestStore } from './world.js';

const { database } = usePostgres();
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
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

/** With a topic of one partition; a sweep is due. */
async function world(
  options: { graceMs?: number; store?: TestStore } = {},
): Promise<{ w: GarbageWorld; id: number }> {
  const { store = folderStore(), ...rest } = options;
  stores.push(store);
  const w = await GarbageWorld.open(await database(), store, rest);
  const { partitionIds } = await w.createTopic('events');
  await query(w.url, 'UPDATE orphan_sweep SET starts_at = now()');
  return { w, id: partitionIds[0]! };
}

const old = () => ({ birthMs: Date.now() - 2 * hourMs });

describe('an object that was uploaded and never committed', () => {
  it('goes when it is older than the grace, and what is committed stays', async () => {
    const { w, id } = await world();
    const orphan = await w.upload([id], old());
    const committed = await w.write(id);
    w.ageObject(orphan.segmentId, 2 * hourMs);
    w.ageObject(committed.segmentId, 2 * hourMs);
    await w.sweepAll();
    expect(await w.objects()).toEqual([segmentKey(committed.segmentId)]);
    expect(w.garbageMetrics).toMatchObject({ orphans: 1, sweeps: 1 });
  });

  it('stays while its birth or its LastModified is younger than the grace', async () => {
    const { w, id } = await world();
    const [newBirth, newObject] = [await w.upload([id]), await w.upload([id], old())];
    w.ageObject(newBirth.segmentId, 2 * hourMs);
    await w.sweepAll();
    expect(await w.has(newBirth)).toBe(true);
    expect(await w.has(newObject)).toBe(true);
    // Nothing of it is too late: the younger one can still be committed.
    expect(await w.commit(newBirth)).toMatchObject({ kind: 'committed' });
    expect(w.garbageMetrics).toMatchObject({ orphans: 0, sweeps: 1 });
  });

  it('can not be committed any more when it goes', async () => {
    const { w, id } = await world();
    const orphan = await w.upload([id], old());
    w.ageObject(orphan.segmentId, 2 * hourMs);
    await w.sweepAll();
    expect(await w.commit(orphan)).toEqual({ kind: 'tooOld' });
  });

  it('stays if the index names it, be it in one place only', async () => {
    const { w, id } = await world();
    const segments = [await w.write(id), await w.write(id)];
    for (const { segmentId } of segments) w.ageObject(segmentId, 2 * hourMs);
    await query(w.url, `DELETE FROM segments WHERE segment_id = '${segments[0]!.segmentId}'`);
    await query(w.url, `DELETE FROM extents WHERE segment_id = '${segments[1]!.segmentId}'`);
    await w.sweepAll();
    expect(await w.objects()).toHaveLength(2);
  });

  it('stays if a recovery found it and could not place it', async () => {
    const { w, id } = await world();
    const found = await w.upload([id], old());
    w.ageObject(found.segmentId, 2 * hourMs);
    await query(
      w.url,
      `INSERT INTO unrecovered_segments (segment_id, size_bytes, incarnation)
       VALUES ('${found.segmentId}', 1, 2)`,
    );
    await w.sweepAll();
    expect(await w.has(found)).toBe(true);
  });
});

describe('an object that nobody can explain', () => {
  it('stays and is counted: of another incarnation, of a node of the future, no segment at all', async () => {
    const { w, id } = await world();
    const { incarnation, nodeId } = await w.process.registerNode();
    const before = await w.upload([id], { ...old(), incarnation: incarnation - 1 });
    const future = await w.upload([id], { ...old(), nodeId: nodeId + 1 });
    for (const { segmentId } of [before, future]) w.ageObject(segmentId, 2 * hourMs);
    const damaged = randomUUID();
    const bytes = Buffer.from('not a segment');
    await w.test.objects.put(segmentKey(damaged), [bytes], crc32c(bytes));
    w.ageObject(damaged, 2 * hourMs);
    await w.test.objects.put('v1/segments/aa/readme.txt', [bytes], crc32c(bytes));
    await w.sweepAll();
    expect(await w.objects()).toHaveLength(4);
    expect(w.garbageMetrics.kept).toEqual({ incarnation: 1, node: 1, unrecognized: 2 });
  });

  it('under another prefix is not even listed', async () => {
    const { w } = await world({ graceMs: -hourMs });
    const bytes = Buffer.from('manifest');
    await w.test.objects.put('v1/index/manifest', [bytes], crc32c(bytes));
    await w.sweepAll();
    expect(await w.objects()).toEqual(['v1/index/manifest']);
    expect(w.garbageMetrics.kept.unrecognized).toBe(0);
  });
});

describe('a sweep', () => {
  it('waits until the index in the bucket is known not to be ahead of the database', async () => {
    const { w, id } = await world();
    const orphan = await w.upload([id], old());
    w.ageObject(orphan.segmentId, 2 * hourMs);
    w.unwrittenForMs = Infinity;
    await w.sweepAll();
    expect(await w.objects()).toHaveLength(1);
    w.unwrittenForMs = hourMs;
    await w.sweepAll();
    expect(await w.objects()).toEqual([]);
  });

  it('is made once a day, and costs no query in between', async () => {
    const { w } = await world();
    await w.sweepAll();
    const calls = [
      vi.spyOn(w.process.store.database, 'transaction'),
      vi.spyOn(w.process.store.database, 'read'),
    ];
    await w.sweepAll();
    expect(calls.map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
    await w.age(dayMs - hourMs);
    await w.sweepAll();
    expect(w.garbageMetrics.sweeps).toBe(1);
    await w.age(hourMs);
    await w.sweepAll();
    expect(w.garbageMetrics.sweeps).toBe(2);
    // Nor is a new owner a reason.
    const next = await w.restart();
    await next.sweepAll();
    expect(next.garbageMetrics.sweeps).toBe(0);
  });

  it('of a bucket without old objects costs a few queries, not two per part', async () => {
    const { w } = await world();
    const calls = [
      vi.spyOn(w.process.store.database, 'transaction'),
      vi.spyOn(w.process.store.database, 'read'),
    ];
    await w.sweepAll();
    expect(w.garbageMetrics.sweeps).toBe(1);
    const steps = 256 / limits.orphanSweepPartsPerStepMax;
    expect(calls.map(({ mock }) => mock.calls.length)).toEqual([steps, steps + 1]);
  });

  it('goes on where a process that died has left it', async () => {
    const { w, id } = await world();
    const orphans = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const orphan = await w.upload([id], old());
        w.ageObject(orphan.segmentId, 2 * hourMs);
        return orphan;
      }),
    );
    const inOrder = orphans.map(({ segmentId }) => segmentKey(segmentId)).sort();
    let deletes = 0;
    w.sabotage.afterDelete = () => {
      deletes += 1;
      if (deletes === 20) throw new OperatingError('KILLED', 'the process is gone');
    };
    await expect(w.sweepAll()).rejects.toMatchObject({ code: 'KILLED' });
    const left = await w.objects();
    expect(left).toEqual(inOrder.slice(-left.length));
    const [row] = await query(w.url, 'SELECT next_part FROM orphan_sweep');
    expect(row!['next_part']).toBeGreaterThan(0);
    expect(row!['next_part']).toBeLessThanOrEqual(Number.parseInt(left[0]!.slice(12, 14), 16));

    const next = await w.restart();
    await next.sweepAll();
    expect(await next.objects()).toEqual([]);
    expect(next.garbageMetrics.sweeps).toBe(1);
  });

  it('leaves what the store refuses to delete to the next one', async () => {
    const { w, id } = await world();
    const orphan = await w.upload([id], old());
    w.ageObject(orphan.segmentId, 2 * hourMs);
    w.sabotage.failKeys = new Set([segmentKey(orphan.segmentId)]);
    await w.sweepAll();
    expect(w.garbageMetrics).toMatchObject({ orphans: 0, failures: 1, sweeps: 1 });
    delete w.sabotage.failKeys;
    await w.age(dayMs);
    await w.sweepAll();
    expect(await w.objects()).toEqual([]);
  });

  it.skipIf(s3Binary === undefined)(
    s3Binary === undefined ? 'on S3 — LEFT OUT: no versitygw' : 'on S3 finds the same',
    async () => {
      const { accessKeyId, bucket, endpoint, secretAccessKey } = s3!;
      const credentials = { accessKeyId, secretAccessKey };
      const store = () =>
        bucketStore(url, { endpoint, pathStyle: true, region: 'us-east-1', credentials });
      const url = `s3://${bucket}/${randomUUID()}`;
      const { w, id } = await world({ store: store(), graceMs: hourMs });
      const orphan = await w.upload([id], old());
      const committed = await w.write(id);
      await w.sweepAll();
      expect(await w.objects()).toHaveLength(2);
      // The bucket's clock can't be set, so another grace instead.
      const { w: other, id: otherId } = await world({ store: store(), graceMs: -hourMs });
      await query(
        other.url,
        `INSERT INTO segments SELECT '${committed.segmentId}', 0, 1, 1, 1, now(), 1, 0, '[]'`,
      );
      const young = await other.upload([otherId], { birthMs: Date.now() + 3 * hourMs });
      await other.sweepAll();
      expect(await other.has(orphan)).toBe(false);
      expect(await other.has(committed)).toBe(true);
      expect(await other.has(young)).toBe(true);
    },
  );
});
