import { segmentKey } from '@kafscale/codec';
import type { ObjectStore } from '@kafscale/storage';
import { crc32c } from '@node-rs/crc32';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { CheckReport } from '../../src/recovery/check/check-report.js';
import { checkStore } from '../../src/recovery/check/check-store.js';
import { explainObject } from '../../src/recovery/check/explain-object.js';
import { explainOffset } from '../../src/recovery/explain/explain-offset.js';
import { CompactionWorld } from '../compaction/world.js';
import { query, usePostgres } from '../shard/world.js';
import { hasS3, s3Title } from '@kafscale/testing';
import { openStore, RecoveryWorld } from './world.js';

const { database } = usePostgres();

async function prepare(kind: 'files' | 's3' = 'files') {
  const world = await RecoveryWorld.start(await database(), await openStore(kind));
  const { partitionIds, topicId } = await world.createTopic('t', 2);
  const [one, two] = partitionIds as [number, number];
  await world.append(one, { records: 3 }, { records: 2, excluded: true }, { records: 1 });
  await world.append(one, { records: 4 });
  await world.append(two, { records: 2 });
  await world.flush();
  const keyOf = async (partitionId: number, index: number): Promise<string> => {
    const rows = await world.process.store.findExtents(partitionId, 0, 10);
    return segmentKey(rows[index]!.segmentId);
  };
  return { world, one, two, topicId, keyOf };
}

function check(world: RecoveryWorld, deep = false): Promise<CheckReport> {
  const { objects, url } = world;
  return checkStore({ objects, metadataUrl: url, deep, onProgress: () => undefined });
}

async function replace(objects: ObjectStore, key: string, bytes: Buffer): Promise<void> {
  await objects.delete([key]);
  await objects.put(key, [bytes], crc32c(bytes));
}

function bytesOf(world: RecoveryWorld, key: string): Buffer {
  const found = [...world.segments].find(([segmentId]) => segmentKey(segmentId) === key);
  return Buffer.from(found![1]);
}

describe.each([
  { kind: 'files' as const, title: 'fsck with local files', skip: false },
  { kind: 's3' as const, title: s3Title('fsck with S3'), skip: !hasS3 },
])('$title', ({ kind, skip }) => {
  it.skipIf(skip)(
    'finds a lost object, a flipped byte, and a wrong length, and names what they hold',
    async () => {
      const { keyOf, one, two, world } = await prepare(kind);
      expect(await check(world, true)).toMatchObject({
        isSound: true,
        objects: { objects: 3 },
        sound: { objects: 3, extents: 3, batches: 5 },
      });
      const [flipped, lost, short] = [
        await keyOf(one, 0),
        await keyOf(one, 1),
        await keyOf(two, 0),
      ];
      const damaged = bytesOf(world, flipped);
      damaged[80] = damaged[80]! ^ 1;
      await replace(world.objects, flipped, damaged);
      await world.objects.delete([lost]);
      const whole = bytesOf(world, short);
      await replace(world.objects, short, whole.subarray(0, whole.length - 1));

      const range = (partitionIndex: number, baseOffset: number, nextOffset: number) =>
        expect.objectContaining({ topic: 't', partitionIndex, baseOffset, nextOffset });
      const lostProblem = expect.objectContaining({
        kind: 'lost',
        key: lost,
        ranges: [range(0, 4, 8)],
      });
      const shortProblem = expect.objectContaining({
        kind: 'damaged',
        key: short,
        reason: `${whole.length - 1} bytes instead of ${whole.length}`,
        ranges: [range(1, 0, 2)],
      });
      const shallow = await check(world);
      expect(shallow).toMatchObject({
        isSound: false,
        problems: { total: 2 },
        sound: { objects: 1 },
      });
      expect(shallow.problems.items).toEqual(expect.arrayContaining([lostProblem, shortProblem]));
      const deep = await check(world, true);
      expect(deep.problems.total).toBe(3);
      expect(deep.problems.items).toContainEqual(
        expect.objectContaining({ kind: 'damaged', key: flipped, ranges: [range(0, 0, 4)] }),
      );
    },
  );
});

describe('fsck', () => {
  it('finds a damaged footer without reading the records', async () => {
    const { keyOf, one, world } = await prepare();
    const key = await keyOf(one, 0);
    const bytes = bytesOf(world, key);
    bytes[bytes.length - 30] = bytes[bytes.length - 30]! ^ 1;
    await replace(world.objects, key, bytes);
    const { problems } = await check(world);
    expect(problems.items).toMatchObject([{ kind: 'damaged', key }]);
    expect(problems.items[0]!.reason).toContain('SEGMENT_CORRUPT');
  });

  it('explains every object that nothing refers to', async () => {
    const { one, world } = await prepare();
    const young = await world.store(one, { records: 1 });
    const garbage = await world.store(one, { records: 1 });
    const marked = await world.store(one, { records: 1 });
    const after = await world.store(one, { records: 1 });
    await query(
      world.url,
      `INSERT INTO segments (segment_id, shard_id, node_id, incarnation, birth_ms, committed_at,
         size_bytes, live_extents, answer, marked_at)
       VALUES ('${garbage}', 0, 1, 1, 1, now(), 1, 0, '[]', NULL),
              ('${marked}', 0, 1, 1, 1, now(), 1, 0, '[]', now());
       INSERT INTO unrecovered_segments (segment_id, size_bytes, incarnation)
       VALUES ('${after}', 1, 1)`,
    );
    await world.objects.put('v1/segments/aa/readme.txt', [Buffer.from('hi')], crc32c('hi'));
    const single = { objects: 1 };
    expect(await check(world)).toMatchObject({
      isSound: true,
      objects: { objects: 8 },
      explained: {
        young: single,
        garbage: single,
        marked: single,
        unrecovered: single,
        stranger: single,
        orphan: { objects: 0 },
        earlier: { objects: 0 },
      },
    });
    expect(young).not.toBe(garbage);
    // By the database's clock, the last of them is two hours old.
    const state = { clusterId: '', incarnation: 1, databaseTimeMs: Date.now() + 7_200_000 };
    const object = { key: segmentKey(young), sizeBytes: world.segments.get(young)!.length };
    const cold = { coldExtents: 0, sweepWatermarkMs: 0 };
    const facts = { shardEpoch: 1, topics: 1, partitions: 1, extents: 1, ...cold, ...state };
    const explain = (incarnation: number) =>
      explainObject(
        world.objects,
        { ...object, lastModifiedMs: Date.now() },
        { ...facts, incarnation },
      );
    expect(await explain(1)).toBe('orphan');
    expect(await explain(2)).toBe('earlier');
  });

  it('finds an index that contradicts itself', async () => {
    const { keyOf, one, two, world } = await prepare();
    const key = await keyOf(two, 0);
    await query(
      world.url,
      `UPDATE segments SET live_extents = 7 WHERE '${key}' LIKE '%' || segment_id || '%';
       DELETE FROM extents WHERE partition_id = ${one} AND base_offset = 0`,
    );
    const report = await check(world);
    expect(report.isSound).toBe(false);
    expect(report.wrongOffsets).toEqual({
      total: 1,
      items: [{ topic: 't', partitionIndex: 0, kind: 'gap', from: 0, to: 4 }],
    });
    expect(report.wrongCounts.items).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ counted: 7, found: 1 }),
        expect.objectContaining({ counted: 1, found: 0 }),
      ]),
    );
    await query(world.url, `UPDATE extents SET position = 1 WHERE partition_id = ${two}`);
    const moved = await check(world);
    expect(moved.problems.items).toMatchObject([{ kind: 'inconsistent', key }]);
  });

  it('reads the index in the bucket as a recovery would', async () => {
    const { world } = await prepare();
    expect((await check(world)).index).toMatchObject({ isSound: true, lastSequence: 0 });
    const keys = await world.indexKeys();
    await world.objects.delete(keys);
    expect(await check(world)).toMatchObject({
      isSound: false,
      problems: { total: 0 },
      index: { isSound: false, lastSequence: null },
    });
  });

  it('finds nothing wrong with what compaction merged', async () => {
    const world = await CompactionWorld.open(await database());
    onTestFinished(() => world.close());
    for (let count = 0; count < 12; count += 1) {
      const batch = { records: 2, valueBytes: 50, timestampMs: 1_000 + count };
      const refused = { ...batch, accepted: false };
      await world.write([
        [0, [batch, refused, batch]],
        [1 + (count % 2), [batch]],
      ]);
    }
    await world.compactFully({ bytesMax: 2_000 });
    const { objects, url } = world;
    const report = await checkStore({
      objects,
      metadataUrl: url,
      deep: true,
      onProgress: () => undefined,
    });
    const none = { total: 0, items: [] };
    expect(report).toMatchObject({ problems: none, wrongCounts: none, wrongOffsets: none });
    // 12 extents of 2 batches, and 12 of one; the small segments are garbage.
    expect(report.sound.batches).toBe(36);
    expect(report.explained.garbage.objects).toBe(12);
  });

  it('refuses a database of an older schema', async () => {
    const objects = await openStore('files');
    const metadataUrl = await database();
    await expect(
      checkStore({ objects, metadataUrl, deep: false, onProgress: () => undefined }),
    ).rejects.toMatchObject({ code: 'METADATA_SCHEMA_OLDER' });
  });
});

describe('explain', () => {
  const explain = (world: RecoveryWorld, offset: number, partitionIndex = 0) =>
    explainOffset({
      objects: world.objects,
      metadataUrl: world.url,
      topic: 't',
      partitionIndex,
      offset,
    });

  it('passes over batches that are not part of the log', async () => {
    const { keyOf, one, world } = await prepare();
    const key = await keyOf(one, 0);
    const first = await explain(world, 2);
    expect(first).toMatchObject({
      key,
      extentCrcMatches: true,
      problem: null,
      batch: { position: 0, baseOffset: 0, ordinal: 0, crcMatches: true },
    });
    const third = await explain(world, 3);
    expect(third.batch).toMatchObject({ baseOffset: 3, ordinal: 2, header: { recordCount: 1 } });
    expect(third.batch!.position).toBeGreaterThan(first.batch!.header.sizeBytes);
    const next = await explain(world, 4);
    expect(next.key).toBe(await keyOf(one, 1));
    expect(next.batch).toMatchObject({ baseOffset: 4, ordinal: 0 });
  });

  it('says who produced it, and when it was committed by whom', async () => {
    const { two, world } = await prepare();
    const producer = { id: 77, epoch: 3, sequence: 0 };
    await world.append(two, { records: 2, producer, timestampMs: 9_000 });
    const { nodeId } = await world.process.registerNode();
    const found = await explain(world, 3, 1);
    expect(found.batch!.header).toMatchObject({
      producerId: 77,
      producerEpoch: 3,
      baseSequence: 0,
      firstTimestampMs: 9_000,
      compressionCodec: 0,
    });
    expect(found).toMatchObject({
      writer: { nodeId, softwareVersion: 'test' },
      located: {
        segment: { nodeId, isCompacted: false },
        extent: { baseOffset: 2, nextOffset: 4 },
      },
    });
  });

  it('reads the offsets of a merged segment from its batches', async () => {
    const { one, world } = await prepare();
    await world.merge(one, 2);
    for (const [offset, baseOffset, ordinal] of [
      [0, 0, 0],
      [3, 3, 1],
      [7, 4, 2],
    ] as const) {
      expect(await explain(world, offset)).toMatchObject({
        extentCrcMatches: true,
        batch: { baseOffset, ordinal, crcMatches: true, header: { baseOffset } },
        located: { segment: { isCompacted: true }, extent: { absoluteOffsets: true } },
      });
    }
  });

  it('says that bytes are damaged or gone', async () => {
    const { keyOf, one, world } = await prepare();
    const key = await keyOf(one, 0);
    const damaged = bytesOf(world, key);
    damaged[75] = damaged[75]! ^ 1;
    await replace(world.objects, key, damaged);
    expect(await explain(world, 0)).toMatchObject({
      extentCrcMatches: false,
      batch: { crcMatches: false },
    });
    await world.objects.delete([key]);
    const gone = await explain(world, 0);
    expect(gone).toMatchObject({ key, batch: null, extentCrcMatches: null });
    expect(gone.problem).toContain('OBJECT_NOT_FOUND');
  });

  it('names what is not there', async () => {
    const { world } = await prepare();
    await expect(explain(world, 8)).rejects.toMatchObject({ code: 'OFFSET_NOT_IN_LOG' });
    await expect(explain(world, 0, 2)).rejects.toMatchObject({ code: 'PARTITION_UNKNOWN' });
    await query(world.url, 'DELETE FROM extents WHERE base_offset = 4');
    await expect(explain(world, 5)).rejects.toMatchObject({ code: 'OFFSET_NOT_INDEXED' });
  });
});
