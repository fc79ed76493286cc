import type { Extent } from '@kafscale/cluster';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BatchIndexes } from '../src/extents/batch-indexes.js';
import { ExtentIndex } from '../src/extents/extent-index.js';
import { HotIndex } from '../src/extents/hot-index.js';
import { PartitionTail } from '../src/extents/partition-tail.js';
import { RangeCache } from '../src/extents/range-cache.js';

function extent(partitionId: number, baseOffset: number, nextOffset: number): Extent {
  return {
    partitionId,
    baseOffset,
    nextOffset,
    segmentId: `segment-${partitionId}-${baseOffset}`,
    position: 0,
    length: 100,
    skippedBatches: [],
    firstTimestampMs: 0,
    maxTimestampMs: 0,
    absoluteOffsets: false,
    writerNodeId: 1,
  };
}

/** Consecutive extents with these record counts. */
function extents(partitionId: number, counts: readonly number[], start = 0): Extent[] {
  let offset = start;
  return counts.map((count) => {
    const each = extent(partitionId, offset, offset + count);
    offset += count;
    return each;
  });
}

const counts = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 200 });

describe('PartitionTail', () => {
  it('finds what holds an offset, after any appends and drops', () => {
    fc.assert(
      fc.property(counts, fc.array(fc.nat(50)), (sizes, drops) => {
        const tail = new PartitionTail();
        let kept = extents(1, sizes);
        for (const [arrival, each] of kept.entries()) tail.append(each, arrival + 1);
        const all = kept;
        for (const drop of drops) {
          const dropped = Math.min(drop, kept.length);
          tail.dropOldest(dropped);
          kept = kept.slice(dropped);
        }
        expect(tail.count).toBe(kept.length);
        for (let offset = 0; offset <= all.at(-1)!.nextOffset; offset++) {
          const expected = kept.find((e) => e.baseOffset <= offset && offset < e.nextOffset);
          const position = tail.find(offset);
          expect(position === -1 ? undefined : tail.extentAt(position)).toBe(expected);
          if (expected) expect(tail.arrivalAt(position)).toBe(all.indexOf(expected) + 1);
        }
      }),
    );
  });

  it('starts anew behind a gap, and ignores what it has', () => {
    const tail = new PartitionTail();
    tail.append(extent(1, 0, 5), 1);
    tail.append(extent(1, 0, 5), 2);
    expect(tail.count).toBe(1);
    tail.append(extent(1, 7, 9), 3);
    expect([tail.baseOffset, tail.nextOffset, tail.find(3)]).toEqual([7, 9, -1]);
  });

  it('drops what lies wholly before an offset', () => {
    const tail = new PartitionTail();
    for (const each of extents(1, [5, 5, 5])) tail.append(each, 1);
    expect(tail.dropBefore(7)).toBe(1);
    expect(tail.find(5)).toBe(0);
    expect(tail.dropBefore(100)).toBe(2);
    expect(tail.count).toBe(0);
  });
});

describe('HotIndex', () => {
  it('keeps its bounds and counts exactly', () => {
    const operation = fc.record({
      partitionId: fc.integer({ min: 1, max: 5 }),
      kind: fc.constantFrom('append', 'append', 'append', 'append', 'dropBefore', 'drop'),
      records: fc.integer({ min: 1, max: 9 }),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 300 }), (operations) => {
        const hot = new HotIndex({ extentsPerPartitionMax: 10, extentsMax: 24 });
        const ends = new Map<number, number>();
        for (const { partitionId, kind, records } of operations) {
          const end = ends.get(partitionId) ?? 0;
          if (kind === 'append') {
            hot.append(extent(partitionId, end, end + records));
            ends.set(partitionId, end + records);
          } else if (kind === 'drop') hot.dropPartition(partitionId);
          else hot.dropBefore(partitionId, end - records);
          const counted = [1, 2, 3, 4, 5].map((id) => hot.tail(id)?.count ?? 0);
          expect(hot.extentCount).toBe(counted.reduce((sum, count) => sum + count, 0));
          expect(hot.extentCount).toBeLessThanOrEqual(24);
          expect(Math.max(...counted)).toBeLessThanOrEqual(10);
          // What was committed last is always there.
          if (kind === 'append') expect(hot.tail(partitionId)?.find(end)).not.toBe(-1);
        }
      }),
    );
  });

  it('takes room from the partition whose last commit is the oldest', () => {
    const hot = new HotIndex({ extentsPerPartitionMax: 10, extentsMax: 4 });
    for (const each of extents(1, [1, 1])) hot.append(each);
    for (const each of extents(2, [1, 1, 1])) hot.append(each);
    expect(hot.tail(1)!.count).toBe(1);
    expect(hot.tail(1)!.baseOffset).toBe(1);
    expect(hot.tail(2)!.count).toBe(3);
  });
});

describe('RangeCache', () => {
  it('answers only with what was looked up, from the extent with the offset on', () => {
    const lookup = fc.record({ first: fc.nat(49), count: fc.integer({ min: 1, max: 10 }) });
    fc.assert(
      fc.property(fc.array(lookup, { maxLength: 40 }), (lookups) => {
        const all = extents(
          1,
          Array.from({ length: 50 }, (_, index) => 1 + (index % 7)),
        );
        const cache = new RangeCache(30);
        for (const { first, count } of lookups) {
          cache.insert(1, all.slice(first, first + count));
          expect(cache.extentCount).toBeLessThanOrEqual(30);
          // The newest lookup is there whatever was evicted for it.
          expect(cache.find(1, all[first]!.baseOffset)?.[0]).toBe(all[first]);
        }
        for (let offset = 0; offset < all.at(-1)!.nextOffset; offset++) {
          const found = cache.find(1, offset);
          if (found === undefined) continue;
          const start = all.findIndex((e) => e.baseOffset <= offset && offset < e.nextOffset);
          expect(found).toEqual(all.slice(start, start + found.length));
        }
        expect(cache.find(2, 0)).toBeUndefined();
        cache.dropPartition(1);
        expect(cache.extentCount).toBe(0);
      }),
    );
  });

  it('forgets the least recently used range first', () => {
    const cache = new RangeCache(2);
    const [a, b, c] = [extent(1, 0, 1), extent(2, 0, 1), extent(3, 0, 1)];
    cache.insert(1, [a]);
    cache.insert(2, [b]);
    cache.find(1, 0);
    cache.insert(3, [c]);
    expect(cache.find(1, 0)).toEqual([a]);
    expect(cache.find(2, 0)).toBeUndefined();
    expect(cache.find(3, 0)).toEqual([c]);
  });
});

describe('ExtentIndex', () => {
  function make(rows: Extent[]) {
    const lookups: number[] = [];
    let answer: (offset: number) => Promise<readonly Extent[]> = (offset) =>
      Promise.resolve(rows.filter((row) => row.nextOffset > offset).slice(0, 3));
    const index = new ExtentIndex({
      hot: new HotIndex({ extentsPerPartitionMax: 100, extentsMax: 100 }),
      ranges: new RangeCache(100),
      batchIndexes: new BatchIndexes({
        store: { readTail: () => Promise.reject(new Error('nothing is large here')) },
        metrics: { count: () => undefined, observe: () => undefined, gauge: () => undefined },
        entriesMax: 10,
        undividedBytesMax: 1000,
      }),
      source: {
        findExtents(_partitionId, offset) {
          lookups.push(offset);
          return answer(offset);
        },
      },
      limits: { extentsPerLookupMax: 3, lookupsInFlightMax: 2, tailExtents: 2 },
    });
    const collect = (offset: number, bytes: number, endOffset = Infinity) =>
      index.collect({ partitionId: 1, offset, bytes, endOffset, sizeOf: (each) => each.length });
    const setAnswer = (next: typeof answer): void => void (answer = next);
    return { index, lookups, collect, setAnswer };
  }

  it('joins looked-up ranges and the hot tail', async () => {
    const rows = extents(1, [5, 5, 5, 5, 5, 5]);
    const { index, collect } = make(rows);
    for (const row of rows.slice(3)) index.append(row);
    expect(collect(2, 1000)).toEqual({ extents: [], bytes: 0, missingOffset: 2 });
    await index.lookUp(1, 2);
    const found = collect(2, 1000, 30);
    expect(found.extents.map((each) => each.extent)).toEqual(rows);
    expect(found.extents.map((each) => each.isTail)).toEqual([
      false,
      false,
      false,
      false,
      true,
      true,
    ]);
    expect(found.extents.map((each) => each.arrival)).toEqual([0, 0, 0, 1, 2, 3]);
    expect(found.missingOffset).toBeNull();
    expect(collect(2, 150, 30).extents).toHaveLength(2);
    expect(collect(2, 0, 30).extents).toHaveLength(1);
    expect(collect(12, 1000, 20).extents.map((each) => each.extent)).toEqual(rows.slice(2, 4));
  });

  it('asks once for equal lookups under way', async () => {
    const { index, lookups } = make(extents(1, [5, 5]));
    await Promise.all([index.lookUp(1, 3), index.lookUp(1, 3), index.lookUp(1, 7)]);
    expect(lookups).toEqual([3, 7]);
  });

  it('does not keep what was looked up before its partition was invalidated', async () => {
    const before = extents(1, [5, 5]);
    const { index, lookups, collect, setAnswer } = make(before);
    let release: () => void = () => undefined;
    setAnswer(async () => {
      await new Promise<void>((resolve) => (release = resolve));
      return before;
    });
    const old = index.lookUp(1, 0);
    index.invalidate(1);
    const merged = [extent(1, 0, 10)];
    setAnswer(() => Promise.resolve(merged));
    expect(await index.lookUp(1, 0)).toEqual(merged);
    release();
    expect(await old).toEqual(before);
    expect(lookups).toHaveLength(2);
    expect(collect(0, 1000, 10).extents.map((each) => each.extent)).toEqual(merged);
  });

  it('refuses rows with a gap, and takes rows that do not hold the offset for none', async () => {
    const { index, setAnswer } = make([]);
    setAnswer(() => Promise.resolve([extent(1, 0, 5), extent(1, 6, 7)]));
    await expect(index.lookUp(1, 0)).rejects.toThrow('gap');
    setAnswer(() => Promise.resolve([extent(1, 3, 5)]));
    expect(await index.lookUp(1, 0)).toEqual([]);
  });
});
