import { crc32c } from '@node-rs/crc32';
import * as fc from 'fast-check';
import { openMetadataStore } from '@kafscale/metadata';
import {
  findS3Server,
  startS3Server,
  startTestPostgres,
  type TestPostgres,
} from '@kafscale/testing';
import { openObjectStore } from '@kafscale/storage';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BatchSpec, CompactionWorld, type ModelBatch, type SegmentSpec } from './world.js';

let server: TestPostgres;
beforeAll(async () => {
  server = await startTestPostgres({
    prepareTemplate: async (url) => (await openMetadataStore({ url })).close(),
  });
});
afterAll(() => server.stop());

const batch: fc.Arbitrary<BatchSpec> = fc.record({
  records: fc.integer({ min: 1, max: 5 }),
  valueBytes: fc.integer({ min: 0, max: 300 }),
  // Producers send what they like: times go back and forth.
  timestampMs: fc.integer({ min: 1_000_000, max: 1_100_000 }),
  compression: fc.constantFrom('none', 'gzip', 'snappy', 'lz4', 'zstd'),
  accepted: fc.integer({ min: 0, max: 3 }).map((dice) => dice > 0),
});
const partitionCount = 3;
const segment: fc.Arbitrary<SegmentSpec> = fc
  .uniqueArray(fc.nat(partitionCount - 1), { minLength: 1 })
  .chain((partitions) =>
    fc.tuple(
      ...partitions.map((index) =>
        fc
          .array(batch, { minLength: 1, maxLength: 4 })
          .map((batches): [number, BatchSpec[]] => [index, batches]),
      ),
    ),
  );

describe('a log before and after merging', () => {
  it('is the same: offsets, bytes, lookups by offset and by time', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(segment, { minLength: 1, maxLength: 25 }),
        fc.record({
          bytesMax: fc.integer({ min: 500, max: 20_000 }),
          rowsMax: fc.integer({ min: 2, max: 40 }),
          segmentsMax: fc.integer({ min: 1, max: 30 }),
          runsMax: fc.integer({ min: 1, max: 10 }),
        }),
        async (segments, limits) => {
          const world = await CompactionWorld.open(await server.createDatabase());
          try {
            for (const spec of segments) await world.write(spec);
            const before = await snapshot(world);
            await world.compactFully(limits);
            for (let index = 0; index < partitionCount; index += 1) {
              expect(await world.log(index)).toEqual(world.model(index));
            }
            expect(await world.violations()).toEqual([]);
            expect(await snapshot(world)).toEqual(before);
            const [left] = await world.query(
              'SELECT count(*)::int AS n FROM segments WHERE NOT is_compacted AND live_extents > 0',
            );
            expect(left).toEqual({ n: 0 });
          } finally {
            await world.close();
          }
        },
      ),
      { numRuns: 25 },
    );
  });

  it('has fewer rows, in one object', async () => {
    const world = await CompactionWorld.open(await server.createDatabase(), { partitions: 2 });
    for (let round = 0; round < 20; round += 1) {
      await world.write([
        [0, [{ records: 2, valueBytes: 50, timestampMs: 1000 + round }]],
        [1, [{ records: 1, valueBytes: 50, timestampMs: 1000 + round }]],
      ]);
    }
    await world.compactFully();
    const [first, second] = [await world.rows(0), await world.rows(1)];
    expect(first).toMatchObject([{ baseOffset: 0, nextOffset: 40, absoluteOffsets: true }]);
    expect(second).toMatchObject([{ baseOffset: 0, nextOffset: 20, absoluteOffsets: true }]);
    expect(first[0]!.segmentId).toBe(second[0]!.segmentId);
    const footer = await world.footer(first[0]!.segmentId);
    expect(footer.extents).toMatchObject([
      { partitionIndex: 0, baseOffset: 0, recordCount: 40, batchCount: 20 },
      { partitionIndex: 1, baseOffset: 0, recordCount: 20, batchCount: 20 },
    ]);
    expect(footer.batchIndex).toEqual([]);
    await world.close();
  });

  it('names the parts of a large extent', async () => {
    const world = await CompactionWorld.open(await server.createDatabase(), { partitions: 1 });
    for (let round = 0; round < 12; round += 1) {
      await world.write([[0, [{ records: 1, valueBytes: 300_000, timestampMs: 1000 - round }]]]);
    }
    await world.compactFully();
    const [row, ...others] = await world.rows(0);
    expect(others).toEqual([]);
    const { batchIndex = [] } = await world.footer(row!.segmentId);
    const model = world.model(0);
    expect(batchIndex.map((part) => part.baseOffset)).toEqual([0, 3, 6, 9]);
    expect(batchIndex.map((part) => part.maxTimestampMs)).toEqual([1000, 997, 994, 991]);
    const bytesBefore = model.slice(0, 3).reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(batchIndex[1]!.position).toBe(bytesBefore);
    expect(hashed(await world.log(0))).toEqual(hashed(model));
    await world.close();
  });

  it.skipIf(findS3Server() === undefined)('is the same on an S3 server', async () => {
    const s3 = await startS3Server();
    process.env['AWS_ACCESS_KEY_ID'] = s3.accessKeyId;
    process.env['AWS_SECRET_ACCESS_KEY'] = s3.secretAccessKey;
    const objects = openObjectStore(`s3://${s3.bucket}/prefix`, {
      endpoint: s3.endpoint,
      region: s3.region,
      pathStyle: true,
    });
    const world = await CompactionWorld.open(await server.createDatabase(), { objects });
    try {
      const [segments] = fc.sample(fc.array(segment, { minLength: 30, maxLength: 30 }), 1);
      for (const spec of segments!) await world.write(spec);
      await world.compactFully({ bytesMax: 20_000 });
      for (let index = 0; index < partitionCount; index += 1) {
        expect(await world.log(index)).toEqual(world.model(index));
      }
      expect(await world.violations()).toEqual([]);
    } finally {
      await world.close();
      await objects.close();
      await s3.stop();
    }
  });
});

function hashed(batches: readonly ModelBatch[]): unknown {
  return batches.map(({ bytes, ...rest }) => ({ ...rest, crc: crc32c(bytes) }));
}

/** What a reader of the index can ask. */
async function snapshot(world: CompactionWorld): Promise<unknown> {
  const found = [];
  for (const [index, partitionId] of world.partitionIds.entries()) {
    const model = world.model(index);
    const end = model.at(-1)?.nextOffset ?? 0;
    for (const { baseOffset } of model) {
      const [row] = await world.store.findExtents(partitionId, baseOffset, 1);
      found.push(row !== undefined && row.baseOffset <= baseOffset && row.nextOffset > baseOffset);
    }
    // By time: the row holds the first batch that reaches it, and no row before it has one.
    for (const timestampMs of [0, ...model.map((each) => each.maxTimestampMs), 2_000_000]) {
      const row = await world.store.findExtentByTimestamp(partitionId, timestampMs);
      const first = model.find((each) => each.maxTimestampMs >= timestampMs);
      if (first === undefined) found.push(row === null);
      else found.push(row!.baseOffset <= first.baseOffset && row!.nextOffset > first.baseOffset);
    }
    const max = await world.store.findExtentOfMaxTimestamp(partitionId);
    const greatest = Math.max(...model.map((each) => each.maxTimestampMs));
    const first = model.find((each) => each.maxTimestampMs === greatest);
    if (first === undefined) found.push(max === null);
    else found.push(max!.baseOffset <= first.baseOffset && max!.nextOffset > first.baseOffset);
    expect(found).not.toContain(false);
    found.push(end);
  }
  return found;
}
