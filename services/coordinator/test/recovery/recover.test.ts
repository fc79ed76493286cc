import { randomUUID } from 'node:crypto';
import { segmentKey } from '@kafscale/codec';
import { limits, systemClock } from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';
import { crc32c } from '@node-rs/crc32';
import { describe, expect, it } from 'vitest';
import { recover } from '../../src/recovery/recover/recover.js';
import type { RecoverReport } from '../../src/recovery/recover/recover.js';
import { OwnerProcess, query, usePostgres } from '../shard/world.js';
import { hasS3, s3Title } from '@kafscale/testing';
import { contentOf, keysUnder, openStore, RecoveryWorld } from './world.js';

const { database } = usePostgres();

async function recovered(
  objects: ObjectStore,
  options: { dryRun?: boolean; clusterId?: string; url?: string } = {},
): Promise<{ url: string; report: RecoverReport }> {
  const { dryRun = false, url = await database(), ...rest } = options;
  const report = await recover({ ...rest, objects, metadataUrl: url, dryRun, clock: systemClock });
  return { url, report };
}

/** Two snapshots, 0 and 2, and manifests 1 to 3: one record each. */
async function twoSnapshots(): Promise<{ world: RecoveryWorld; partitionId: number }> {
  const objects = await openStore('files');
  const options = { manifestsPerSnapshotMax: 2 };
  const world = await RecoveryWorld.start(await database(), objects, options);
  const { partitionIds } = await world.createTopic('t');
  await world.flush();
  for (let count = 0; count < 3; count += 1) {
    await world.append(partitionIds[0]!, { records: 1 });
    await world.flush();
  }
  return { world, partitionId: partitionIds[0]! };
}

async function damage(objects: ObjectStore, key: string): Promise<void> {
  const { bytes } = await objects.readTail(key, limits.indexObjectBytesMax);
  await objects.delete([key]);
  const changed = Buffer.from(bytes);
  changed[changed.length - 3] = changed[changed.length - 3]! ^ 1;
  await objects.put(key, [changed], crc32c(changed));
}

describe.each([
  { kind: 'files' as const, title: 'with local files', skip: false },
  { kind: 's3' as const, title: s3Title('with S3'), skip: !hasS3 },
])('a recovery $title', ({ kind, skip }) => {
  it.skipIf(skip)(
    'brings back everything up to the last manifest, and says what came after',
    async () => {
      const objects = await openStore(kind);
      const world = await RecoveryWorld.start(await database(), objects);
      const { partitionIds, topicId } = await world.createTopic('orders', 2, {
        'retention.ms': '-1',
        'kafscale.flush.ms': '5000',
      });
      const [one] = partitionIds as [number, number];
      await world.append(one, { records: 3 }, { records: 2, excluded: true }, { records: 1 });
      await world.commitOffset('readers', topicId, 3n, 'note');
      await world.flush();
      const before = await contentOf(world.url);
      await world.append(one, { records: 7, timestampMs: 5_000 });
      const uncommitted = await world.store(one, { records: 2 });
      await world.crash();

      const dry = await recovered(objects, { dryRun: true });
      expect(dry.report.isDryRun).toBe(true);
      expect(await query(dry.url, `SELECT to_regclass('topics') AS found`)).toEqual([
        { found: null },
      ]);
      const { report, url } = await recovered(objects, { url: dry.url });
      expect({ ...report, isDryRun: true }).toEqual(dry.report);
      expect(await contentOf(url)).toEqual(before);
      expect(report.heads).toMatchObject([
        { topic: 'orders', partitionIndex: 0, leaderEpoch: 1, nextOffset: 4 },
        { topic: 'orders', partitionIndex: 1, leaderEpoch: 1, nextOffset: 0 },
      ]);
      expect(report.cameAfter).toHaveLength(2);
      expect(report.cameAfter.map(({ segmentId }) => segmentId)).toContain(uncommitted);
      expect(report.cameAfter.map(({ content }) => content!.extents)).toContainEqual([
        expect.objectContaining({
          topicId,
          partitionIndex: 0,
          recordCount: 7,
          maxTimestampMs: 5_000,
        }),
      ]);
      const left = await query(url, 'SELECT segment_id FROM unrecovered_segments');
      expect(left).toHaveLength(2);
    },
  );
});

describe('a new incarnation', () => {
  it('goes on where nothing was given out before', async () => {
    const { partitionId, world } = await twoSnapshots();
    const { objects } = world;
    const epochBefore = world.process.owner.lease!.epoch;
    await world.crash();
    const { url } = await recovered(objects);
    const next = await RecoveryWorld.start(url, objects);
    expect(next.process.owner.lease!.epoch).toBeGreaterThan(epochBefore + 1_000);
    expect(await next.process.store.allocateProducerIds(1)).toBeGreaterThanOrEqual(1_000_000_000);
    const { incarnation, nodeId } = await next.process.registerNode();
    expect(incarnation).toBe(2);
    expect(nodeId).toBeGreaterThan(1_000_000);
    const { partitionIds } = await next.createTopic('new');
    expect(partitionIds[0]).toBeGreaterThan(1_000_000);
    const head = next.process.owner.byName('t')!.partitions[0]!;
    const leaderEpochs = [{ leaderEpoch: 1, startOffset: 3 }];
    expect(head).toMatchObject({ leaderEpoch: 1, leaderEpochs, highWatermark: 3 });

    // And once more: the second cut is behind the first.
    await next.append(partitionId, { records: 4 });
    await next.flush();
    await next.crash();
    const second = await recovered(objects);
    expect(second.report).toMatchObject({ incarnation: 3, from: { incarnation: 2 } });
    const last = await RecoveryWorld.start(second.url, objects);
    expect(last.process.owner.byName('t')!.partitions[0]).toMatchObject({
      leaderEpoch: 2,
      leaderEpochs: [...leaderEpochs, { leaderEpoch: 2, startOffset: 7 }],
    });
  });

  it('refuses the commits of the one before', async () => {
    const { partitionId, world } = await twoSnapshots();
    const { process } = world;
    const segment = await process.segment(partitionId, {
      recordCount: 1,
      firstTimestampMs: 1,
      maxTimestampMs: 1,
      producerId: -1,
      producerEpoch: -1,
      baseSequence: -1,
      excluded: false,
    });
    await world.crash();
    const { url } = await recovered(world.objects);
    const next = await OwnerProcess.start(url);
    expect(await next.owner.commit([segment])).toEqual([{ kind: 'fenced' }]);
  });

  it('answers a repeated commit as the one before did', async () => {
    const objects = await openStore('files');
    const world = await RecoveryWorld.start(await database(), objects);
    const { partitionIds } = await world.createTopic('t');
    const batches = [{ records: 2 }, { records: 1, excluded: true }];
    const segmentId = await world.store(partitionIds[0]!, ...batches);
    const answers = await world.commit(segmentId, partitionIds[0]!, batches);
    await world.flush();
    await world.crash();
    const { url } = await recovered(objects);
    const { segments } = world;
    const next = await RecoveryWorld.start(url, objects, { segments });
    expect(await next.commit(segmentId, partitionIds[0]!, batches)).toEqual(answers);
    expect(next.process.owner.byName('t')!.partitions[0]!.highWatermark).toBe(2);
  });

  it('is begun by one recovery only', async () => {
    const { world } = await twoSnapshots();
    await world.crash();
    const [one, two] = [await database(), await database()];
    const results = await Promise.allSettled([
      recovered(world.objects, { url: one }),
      recovered(world.objects, { url: two }),
    ]);
    const failures = results.filter((result) => result.status === 'rejected');
    expect(failures.map(({ reason }) => reason as unknown)).toEqual([
      expect.objectContaining({ code: 'INCARNATION_TAKEN' }),
    ]);
    // The one that lost left nothing behind, and its number is not used again.
    const empty = results[0].status === 'rejected' ? one : two;
    const again = await recovered(world.objects, { url: empty });
    expect(again.report.incarnation).toBe(3);
  });
});

describe('producers from before', () => {
  const producer = (sequence: number, epoch = 0) => ({ id: 5, epoch, sequence });

  async function recoveredProducer() {
    const objects = await openStore('files');
    const world = await RecoveryWorld.start(await database(), objects);
    const { partitionIds } = await world.createTopic('t');
    const [id] = partitionIds as [number];
    await world.append(id, { records: 2, producer: producer(0) });
    await world.append(id, { records: 3, producer: producer(2) });
    await world.flush();
    // Acknowledged, and after the last manifest.
    await world.append(id, { records: 4, producer: producer(5) });
    await world.crash();
    const { url } = await recovered(objects);
    const next = await RecoveryWorld.start(url, objects);
    const append = async (records: number, sequence: number, epoch = 0) => {
      const [answer] = await next.append(id, { records, producer: producer(sequence, epoch) });
      return answer!.errorCode === 0 ? answer!.baseOffset : -answer!.errorCode;
    };
    return { append, next, id };
  }

  it('go on behind what was lost, once, and in order from then on', async () => {
    const { append } = await recoveredProducer();
    expect(await append(1, 9)).toBe(5);
    expect(await append(1, 12)).toBe(-45);
    expect(await append(1, 10)).toBe(6);
  });

  it('are told of a duplicate only if it is in the log', async () => {
    const { append } = await recoveredProducer();
    expect(await append(3, 2)).toBe(2);
    // The lost batch, sent again: it is new.
    expect(await append(4, 5)).toBe(5);
    expect(await append(4, 5)).toBe(5);
    expect(await append(1, 1)).toBe(-45);
  });

  it('may have raised their epoch meanwhile, but not lowered it', async () => {
    const { append } = await recoveredProducer();
    expect(await append(1, 7, 2)).toBe(5);
    expect(await append(1, 9, 0)).toBe(-47);
  });

  it('may begin anywhere where they have no state; new ones begin at 0', async () => {
    const { next, id } = await recoveredProducer();
    const first = async (producerId: number, partitionId: number) => {
      const batch = { records: 1, producer: { id: producerId, epoch: 0, sequence: 17 } };
      const [answer] = await next.append(partitionId, batch);
      return answer!.errorCode;
    };
    const { partitionIds } = await next.createTopic(
      'created after the last manifest'.replaceAll(' ', '-'),
    );
    const fresh = await next.process.store.allocateProducerIds(1);
    expect(await first(6, id)).toBe(0);
    expect(await first(6, partitionIds[0]!)).toBe(0);
    expect(await first(fresh, id)).toBe(45);
    expect(await first(fresh, partitionIds[0]!)).toBe(45);
  });
});

describe('groups from before', () => {
  it('keep their offsets; those beyond the end are set to it, and named', async () => {
    const objects = await openStore('files');
    const world = await RecoveryWorld.start(await database(), objects);
    const { partitionIds, topicId } = await world.createTopic('t');
    await world.append(partitionIds[0]!, { records: 5 });
    await world.commitOffset('within', topicId, 5n);
    await world.commitOffset('odd', topicId, 2n ** 63n - 1n);
    await world.flush();
    await world.crash();
    const { report, url } = await recovered(objects);
    expect(report.clampedOffsets).toEqual({
      total: 1,
      items: [
        {
          groupId: 'odd',
          topic: 't',
          partitionIndex: 0,
          committedOffset: '9223372036854775807',
          endOffset: 5,
        },
      ],
    });
    const rows = await query(
      url,
      `SELECT group_id, committed_offset::text, generation_id >= 1000000 AS jumped, member_count
       FROM group_offsets JOIN consumer_groups USING (group_id) ORDER BY 1`,
    );
    expect(rows).toEqual([
      { group_id: 'odd', committed_offset: '5', jumped: true, member_count: 0 },
      { group_id: 'within', committed_offset: '5', jumped: true, member_count: 0 },
    ]);
  });
});

describe('an index that is damaged', () => {
  it('in its newest snapshot costs nothing', async () => {
    const { world } = await twoSnapshots();
    const keys = await world.indexKeys();
    const newest = keys.findLast((key) => key.endsWith('-snapshot.idx'))!;
    await damage(world.objects, newest);
    await world.crash();
    const { report, url } = await recovered(world.objects);
    expect(report).toMatchObject({ from: { snapshotSequence: 0, lastSequence: 3 } });
    expect(report.damage).toMatchObject([
      { kind: 'snapshot', sequence: 2, code: 'INDEX_OBJECT_CORRUPT' },
    ]);
    expect(await contentOf(url)).toEqual(await contentOf(world.url));
  });

  it.each(['damaged', 'missing'])('in a manifest ends before it: %s', async (how) => {
    const { world } = await twoSnapshots();
    const keys = await world.indexKeys();
    const snapshots = keys.filter((key) => key.endsWith('-snapshot.idx'));
    await world.objects.delete(snapshots.slice(1));
    const manifest = keys.find((key) => key.endsWith('0002-manifest.idx'))!;
    if (how === 'damaged') await damage(world.objects, manifest);
    else await world.objects.delete([manifest]);
    await world.crash();
    const { report } = await recovered(world.objects);
    expect(report).toMatchObject({ from: { snapshotSequence: 0, lastSequence: 1 } });
    expect(report.damage).toMatchObject([{ kind: 'manifest', sequence: 2 }]);
    // What the rest of the log would have named is there, and left alone.
    expect(report.heads).toMatchObject([{ nextOffset: 1 }]);
    expect(report.cameAfter).toHaveLength(2);
  });

  it('in every snapshot gives nothing back, and says so', async () => {
    const { world } = await twoSnapshots();
    for (const key of await world.indexKeys()) {
      if (key.endsWith('-snapshot.idx')) await damage(world.objects, key);
    }
    await world.crash();
    await expect(recovered(world.objects)).rejects.toMatchObject({ code: 'INDEX_DAMAGED' });
  });
});

describe('segments that are gone', () => {
  it('at the beginning of a log move its start, elsewhere they stay a hole', async () => {
    const { partitionId, world } = await twoSnapshots();
    const rows = await world.process.store.findExtents(partitionId, 0, 10);
    const keyAt = (index: number): string => segmentKey(rows[index]!.segmentId);
    await world.append(partitionId, { records: 1 });
    await world.flush();
    await world.objects.delete([keyAt(0), keyAt(2)]);
    await world.crash();
    const { report } = await recovered(world.objects);
    expect(report.heads).toMatchObject([{ logStartOffset: 1, nextOffset: 4 }]);
    const at = (baseOffset: number, index: number) => ({
      total: 1,
      items: [
        {
          topic: 't',
          partitionIndex: 0,
          baseOffset,
          nextOffset: baseOffset + 1,
          segmentId: rows[index]!.segmentId,
        },
      ],
    });
    expect(report.lostBeginnings).toEqual(at(0, 0));
    expect(report.lostRanges).toEqual(at(2, 2));
    expect(report.gaps).toEqual({ total: 0, items: [] });
  });
});

describe('what can not be recovered into, or from', () => {
  it('a store that is not empty, or that a coordinator holds', async () => {
    const { world } = await twoSnapshots();
    const { objects } = world;
    await expect(recovered(objects, { url: world.url })).rejects.toMatchObject({
      code: 'METADATA_NOT_EMPTY',
    });
    const other = await OwnerProcess.start(await database());
    await expect(recovered(objects, { url: other.url })).rejects.toMatchObject({
      code: 'METADATA_IN_USE',
    });
    await other.close();
    await world.crash();
    // A server began on it, and made nothing.
    expect((await recovered(objects, { url: other.url })).report.topics).toBe(1);
  });

  it('a bucket without an index, or with that of several clusters', async () => {
    const empty = await openStore('files');
    await expect(recovered(empty)).rejects.toMatchObject({ code: 'INDEX_NOT_FOUND' });
    const { world } = await twoSnapshots();
    const other = await RecoveryWorld.start(await database(), world.objects);
    await other.createTopic('of-another-cluster');
    await other.flush();
    expect(other.warnings.join()).toContain('the index of another cluster');
    expect(other.writer.unwrittenForMs).toBe(Infinity);
    await world.flush();
    expect(world.writer.unwrittenForMs).toBe(0);
    const { clusterId } = await other.process.store.clusterView();
    await Promise.all([world.crash(), other.crash()]);
    await expect(recovered(world.objects)).rejects.toMatchObject({ code: 'INDEX_AMBIGUOUS' });
    const { report } = await recovered(world.objects, { clusterId });
    expect(report.heads.map(({ topic }) => topic)).toEqual(['of-another-cluster']);
    await expect(recovered(world.objects, { clusterId: randomUUID() })).rejects.toMatchObject({
      code: 'INDEX_NOT_FOUND',
    });
  });
});

describe('the writer', () => {
  it('writes nothing while nothing changes, and consumers that commit the same are no change', async () => {
    const { world } = await twoSnapshots();
    const topicId = world.process.owner.byName('t')!.topicId;
    await world.commitOffset('readers', topicId, 1n);
    await world.flush();
    const { puts } = world;
    await world.flush();
    await world.commitOffset('readers', topicId, 1n);
    await world.flush();
    expect(world.puts).toBe(puts);
    await world.commitOffset('readers', topicId, 2n);
    await world.flush();
    expect(world.puts).toBe(puts + 1);
  });

  it('writes nothing for a cluster without topics', async () => {
    const world = await RecoveryWorld.start(await database(), await openStore('files'));
    await world.flush();
    expect(await world.indexKeys()).toEqual([]);
  });

  it('keeps two snapshots and what is behind the older one', async () => {
    const { partitionId, world } = await twoSnapshots();
    for (let count = 0; count < 4; count += 1) {
      await world.append(partitionId, { records: 1 });
      await world.flush();
    }
    const names = (await world.indexKeys()).map((key) => key.split('/').at(-1)!.replace(/^0+/, ''));
    expect(names).toEqual([
      '4-manifest.idx',
      '4-snapshot.idx',
      '5-manifest.idx',
      '6-manifest.idx',
      '6-snapshot.idx',
      '7-manifest.idx',
    ]);
  });

  it('of an owner that was replaced is never in the way of the next', async () => {
    const { partitionId, world } = await twoSnapshots();
    // It has been paused: the shard is another's now, and its next sequence is taken.
    await query(world.url, 'UPDATE shards SET owner_instance_id = NULL, lease_expires_at = NULL');
    const next = await RecoveryWorld.start(world.url, world.objects, { segments: world.segments });
    await next.append(partitionId, { records: 1 });
    await next.flush();
    const before = await next.indexKeys();
    world.writer.groupChanged('wakes it');
    expect(await world.writer.flush()).toBe(false);
    expect(await next.indexKeys()).toEqual(before);
  });

  it('does not go on behind a store that went back in time', async () => {
    const { world } = await twoSnapshots();
    await world.crash();
    const last = await world.indexKeys();
    await query(world.url, 'UPDATE shards SET epoch = -5');
    const earlier = await RecoveryWorld.start(world.url, world.objects);
    expect(await earlier.writer.flush()).toBe(false);
    expect(await keysUnder(world.objects, 'v1/index/')).toEqual(last);
  });

  it('replaces a newest entry that is damaged by a snapshot behind it', async () => {
    const { partitionId, world } = await twoSnapshots();
    const newest = (await world.indexKeys()).findLast((key) => key.endsWith('-manifest.idx'))!;
    await damage(world.objects, newest);
    const next = await world.restart();
    await next.append(partitionId, { records: 1 });
    await next.flush();
    await next.crash();
    const { report, url } = await recovered(world.objects);
    expect(report.from.snapshotSequence).toBe(4);
    expect(await contentOf(url)).toEqual(await contentOf(world.url));
  });
});
