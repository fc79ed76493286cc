import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { type BatchSpec, plainRecords, World } from './world.js';

const batchSpec: fc.Arbitrary<BatchSpec> = fc
  .record({
    count: fc.integer({ min: 1, max: 5 }),
    valueBytes: fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 500, max: 3000 })),
    isRefused: fc.integer({ min: 0, max: 4 }).map((value) => value === 0),
  })
  .map(({ count, valueBytes, isRefused }) => ({
    ...plainRecords(count, valueBytes),
    accepted: !isRefused,
  }));

const partitionCount = 3;

/** A segment: the batches of each partition, possibly none. */
const segmentSpec = fc.array(fc.array(batchSpec, { maxLength: 4 }), {
  minLength: partitionCount,
  maxLength: partitionCount,
});

const limits = fc.record({
  maxBytes: fc.integer({ min: 0, max: 8000 }),
  bytesMax: fc.integer({ min: 0, max: 5000 }),
});

const tightness = fc.record({
  blockCacheBytes: fc.constantFrom(2000, 20_000, 1_000_000),
  catchUpCacheShare: fc.constantFrom(0, 0.5, 1),
  fetchBytesInFlightMax: fc.constantFrom(1000, 1_000_000),
  coalescedReadBytesMax: fc.constantFrom(100, 100_000),
  coalescedReadGapBytesMax: fc.constantFrom(0, 10_000),
  hotIndexExtentsPerPartitionMax: fc.constantFrom(1, 3, 100),
  hotIndexExtentsMax: fc.constantFrom(2, 100),
  cachedIndexExtentsMax: fc.constantFrom(3, 1000),
  extentsPerLookupMax: fc.constantFrom(1, 3, 100),
  readAheadBytesMax: fc.constantFrom(0, 100_000),
  undividedBytesMax: fc.constantFrom(100, 2000),
  batchIndexEntriesMax: fc.constantFrom(1, 1000),
});

/** A merge of some rows of a partition, told by the feed or not; its old objects may go at once. */
const swap = fc.record({
  partition: fc.nat(partitionCount - 1),
  from: fc.nat(),
  count: fc.integer({ min: 1, max: 8 }),
  partBytes: fc.constantFrom(1, 700, 3000),
  withIndex: fc.integer({ min: 0, max: 5 }).map((dice) => dice > 0),
  isTold: fc.boolean(),
  isCollected: fc.boolean(),
});
type Swap = typeof swap extends fc.Arbitrary<infer Value> ? Value : never;

async function compact(world: World, ids: readonly number[], each: Swap): Promise<void> {
  const partitionId = ids[each.partition]!;
  const { rows } = world.model(partitionId);
  if (rows.length === 0) return;
  const from = each.from % rows.length;
  const to = Math.min(rows.length, from + each.count);
  const range = await world.compact(partitionId, { ...each, from, to });
  if (each.isTold) world.emit({ kind: 'swapped', ranges: [range] });
  if (each.isCollected) await world.collectGarbage();
}

async function fill(
  world: World,
  segments: readonly (readonly BatchSpec[][])[],
): Promise<readonly number[]> {
  const ids = world.createTopic('t', partitionCount);
  for (const segment of segments) {
    const extents = segment
      .map((batches, partition) => ({ partitionId: ids[partition]!, batches }))
      .filter(({ batches }) => batches.some((batch) => batch.accepted !== false));
    if (extents.length > 0) await world.commit(extents);
  }
  return ids;
}

it('any fetch from any offset with any limits serves the log, and never more than allowed', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(segmentSpec, { maxLength: 8 }),
      tightness,
      fc.array(fc.record({ limits, seeds: fc.array(fc.nat(), { minLength: 3, maxLength: 3 }) }), {
        minLength: 1,
        maxLength: 6,
      }),
      async (segments, bounds, fetches) => {
        const world = await World.open(bounds);
        try {
          const ids = await fill(world, segments);
          for (const { limits: asked, seeds } of fetches) {
            const wanted = ids.map((partitionId, partition) => {
              const { highWatermark } = world.model(partitionId).head;
              const offset = seeds[partition]! % (highWatermark + 1);
              return { partition, offset, bytesMax: asked.bytesMax };
            });
            const answers = await world.fetchPartitions('t', wanted, { maxBytes: asked.maxBytes });
            expectLogPrefixes(world, ids, wanted, { answers, maxBytes: asked.maxBytes });
          }
        } finally {
          await world.close();
        }
      },
    ),
    { numRuns: 60 },
  );
});

it('merging rows between fetches and under them changes nothing, and is no error', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(segmentSpec, { minLength: 1, maxLength: 8 }),
      tightness,
      fc.array(
        fc.record({
          limits,
          seeds: fc.array(fc.nat(), { minLength: 3, maxLength: 3 }),
          before: fc.array(swap, { maxLength: 2 }),
          during: fc.option(swap, { nil: undefined }),
        }),
        { minLength: 1, maxLength: 8 },
      ),
      async (segments, bounds, fetches) => {
        const world = await World.open(bounds);
        try {
          const ids = await fill(world, segments);
          for (const { limits: asked, seeds, before, during } of fetches) {
            for (const each of before) await compact(world, ids, each);
            // Readers of before find their objects for longer than any fetch takes: no collection.
            world.beforeRead = async () => {
              world.beforeRead = () => Promise.resolve();
              if (during) await compact(world, ids, { ...during, isCollected: false });
            };
            const wanted = ids.map((partitionId, partition) => {
              const { highWatermark } = world.model(partitionId).head;
              const offset = seeds[partition]! % (highWatermark + 1);
              return { partition, offset, bytesMax: asked.bytesMax };
            });
            const answers = await world.fetchPartitions('t', wanted, { maxBytes: asked.maxBytes });
            expectLogPrefixes(world, ids, wanted, { answers, maxBytes: asked.maxBytes });
          }
          expect(world.logLines).toEqual([]);
        } finally {
          await world.close();
        }
      },
    ),
    { numRuns: 100 },
  );
});

it('walking a log with small limits always goes on, and yields all of it once (D5)', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(segmentSpec, { minLength: 1, maxLength: 8 }),
      tightness,
      limits,
      async (segments, bounds, asked) => {
        const world = await World.open(bounds);
        try {
          const ids = await fill(world, segments);
          await walk(world, ids, asked);
        } finally {
          await world.close();
        }
      },
    ),
    { numRuns: 60 },
  );
});

async function walk(
  world: World,
  ids: readonly number[],
  asked: { readonly maxBytes: number; readonly bytesMax: number },
): Promise<void> {
  const offsets = ids.map(() => 0);
  const served: Buffer[][] = ids.map(() => []);
  const batchCount = ids.reduce((sum, id) => sum + world.model(id).batches.length, 0);
  for (let round = 0; round < batchCount; round++) {
    const wanted = ids.map((_, partition) => {
      return { partition, offset: offsets[partition]!, bytesMax: asked.bytesMax };
    });
    const answers = await world.fetchPartitions('t', wanted, { maxBytes: asked.maxBytes });
    for (const [partition, { records }] of answers) {
      if (records!.length === 0) continue;
      served[partition]!.push(records!);
      offsets[partition] = nextOffset(records!);
    }
  }
  // As many requests as batches are enough, because each brings at least one.
  for (const [partition, partitionId] of ids.entries()) {
    const log = world.expected(partitionId, 0).map(({ bytes }) => bytes);
    expect(Buffer.concat(served[partition]!).equals(Buffer.concat(log))).toBe(true);
  }
}

function nextOffset(records: Buffer): number {
  let next = 0;
  for (let at = 0; at < records.length; at += records.readInt32BE(at + 8) + 12) {
    next = Number(records.readBigInt64BE(at)) + records.readInt32BE(at + 57);
  }
  return next;
}

function expectLogPrefixes(
  world: World,
  ids: readonly number[],
  wanted: readonly { readonly offset: number; readonly bytesMax: number }[],
  result: {
    readonly answers: Awaited<ReturnType<World['fetchPartitions']>>;
    readonly maxBytes: number;
  },
): void {
  let total = 0;
  let largestFirst = 0;
  let isAnythingThere = false;
  for (const [partition, partitionId] of ids.entries()) {
    const answer = result.answers.get(partition)!;
    const { offset, bytesMax } = wanted[partition]!;
    expect(answer.errorCode).toBe(0);
    expect(answer.highWatermark).toBe(BigInt(world.model(partitionId).head.highWatermark));
    const rest = world.expected(partitionId, offset);
    const log = Buffer.concat(rest.map(({ bytes }) => bytes));
    const records = answer.records!;
    expect(records.equals(log.subarray(0, records.length))).toBe(true);
    const ends = rest.reduce<number[]>(
      (all, { bytes }) => [...all, all.at(-1)! + bytes.length],
      [0],
    );
    expect(ends).toContain(records.length);
    const first = rest[0]?.bytes.length ?? 0;
    expect(records.length).toBeLessThanOrEqual(Math.max(bytesMax, first));
    total += records.length;
    largestFirst = Math.max(largestFirst, first);
    isAnythingThere ||= rest.length > 0;
  }
  expect(total).toBeLessThanOrEqual(Math.max(result.maxBytes, largestFirst));
  if (isAnythingThere) expect(total).toBeGreaterThan(0);
}
