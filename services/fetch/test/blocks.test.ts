import type { Extent } from '@kafscale/cluster';
import { encodePlainBatch } from '@kafscale/codec';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BadExtents } from '../src/blocks/bad-extents.js';
import { BlockCache } from '../src/blocks/block-cache.js';
import { coalesce } from '../src/blocks/coalesce.js';
import { type LoadClass, LoadQueue, type PendingLoad } from '../src/blocks/load-queue.js';
import { type LoadedExtent, verifyExtent } from '../src/blocks/verify-extent.js';
import { plainRecords } from './world.js';

function extentAt(segmentId: string, position: number, length: number): Extent {
  return {
    partitionId: 1,
    baseOffset: 0,
    nextOffset: 1,
    segmentId,
    position,
    length,
    skippedBatches: [],
    firstTimestampMs: 0,
    maxTimestampMs: 0,
    absoluteOffsets: false,
    writerNodeId: 1,
  };
}

function loaded(segmentId: string, position = 0): LoadedExtent {
  const bytes = encodePlainBatch(plainRecords(1));
  const verdict = verifyExtent(bytes, extentAt(segmentId, position, bytes.length), 0);
  if (verdict.kind !== 'intact') throw new Error(verdict.reason);
  return verdict.loaded;
}

describe('coalesce', () => {
  it('covers its members, within its limits, and leaves out no neighbour that would fit', () => {
    const piece = fc.record({ gap: fc.nat(20), length: fc.integer({ min: 1, max: 30 }) });
    const pieces = fc.array(piece, { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(pieces, fc.nat(), fc.nat(100), fc.nat(20), (list, pick, lengthMax, gapMax) => {
        let end = 0;
        const ranges = list.map(({ gap, length }) => {
          const position = end + gap;
          end = position + length;
          return { position, length };
        });
        const first = ranges[pick % ranges.length]!;
        const shuffled = ranges.slice().reverse();
        const run = coalesce(first, shuffled, { lengthMax, gapMax });
        expect(run.members).toContain(first);
        const start = ranges.indexOf(run.members[0]!);
        expect(run.members).toEqual(ranges.slice(start, start + run.members.length));
        const last = run.members.at(-1)!;
        expect(run.position).toBe(run.members[0]!.position);
        expect(run.length).toBe(last.position + last.length - run.position);
        if (run.members.length > 1) expect(run.length).toBeLessThanOrEqual(lengthMax);
        for (const [index, member] of run.members.slice(1).entries()) {
          const previous = run.members[index]!;
          expect(member.position - previous.position - previous.length).toBeLessThanOrEqual(gapMax);
        }
        const next = ranges[start + run.members.length];
        if (next !== undefined) {
          const gap = next.position - last.position - last.length;
          const length = next.position + next.length - run.position;
          expect(gap > gapMax || length > lengthMax).toBe(true);
        }
      }),
    );
  });
});

describe('BlockCache', () => {
  it('never holds more than it may, and counts every byte', () => {
    const operation = fc.record({
      kind: fc.constantFrom('insert', 'insert', 'reserve', 'cancel', 'find'),
      segment: fc.nat(20),
      bytes: fc.integer({ min: 1, max: 3000 }),
      share: fc.constantFrom('tail' as const, 'catchUp' as const),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 120 }), (operations) => {
        const bytesMax = 10_000;
        const cache = new BlockCache({ bytesMax, catchUpBytesMax: 5000 });
        const reserved: number[] = [];
        for (const { kind, segment, bytes, share } of operations) {
          const each = loaded(`segment-${segment}`);
          if (kind === 'reserve' && cache.reserve(bytes)) reserved.push(bytes);
          if (kind === 'cancel' && reserved.length > 0) cache.cancel(reserved.pop()!);
          if (kind === 'find') cache.find(each.extent);
          if (kind === 'insert' && cache.reserve(bytes)) {
            cache.cancel(bytes);
            cache.insert([each], bytes, share);
            expect(cache.peek(each.extent)).toBe(each);
          }
          // A table and its objects are known only after the load: the slack of one insert.
          expect(cache.bytes).toBeLessThanOrEqual(bytesMax + 1000);
        }
        cache.clear();
        expect(cache.bytes).toBe(reserved.reduce((sum, each) => sum + each, 0));
      }),
    );
  });

  it('evicts the least recently used block, with all of its extents', () => {
    const cache = new BlockCache({ bytesMax: 10_000, catchUpBytesMax: 0 });
    const [a, b, c] = [loaded('a'), loaded('b'), loaded('c')];
    const second = loaded('a', 500);
    cache.insert([a, second], 3000, 'catchUp');
    cache.insert([b], 3000, 'catchUp');
    cache.find(a.extent);
    cache.insert([c], 3000, 'catchUp');
    expect(cache.peek(b.extent)).toBeUndefined();
    expect(cache.peek(second.extent)).toBe(second);
    cache.reserve(9000);
    expect(cache.peek(a.extent)).toBeUndefined();
    expect(cache.peek(second.extent)).toBeUndefined();
  });

  it('does not let a lagging reader evict what the others tail', () => {
    const cache = new BlockCache({ bytesMax: 10_000, catchUpBytesMax: 4000 });
    const tail = loaded('tail');
    cache.insert([tail], 2000, 'tail');
    for (let index = 0; index < 50; index++) {
      expect(cache.reserve(2000)).toBe(true);
      cache.cancel(2000);
      cache.insert([loaded(`replay-${index}`)], 2000, 'catchUp');
    }
    expect(cache.peek(tail.extent)).toBe(tail);
  });

  it('lets in a load larger than itself when nothing else is being loaded', () => {
    const cache = new BlockCache({ bytesMax: 1000, catchUpBytesMax: 500 });
    expect(cache.reserve(5000)).toBe(true);
    expect(cache.reserve(1)).toBe(false);
    cache.cancel(5000);
    expect(cache.reserve(1)).toBe(true);
  });
});

describe('LoadQueue', () => {
  function load(segmentId: string, position: number, loadClass: LoadClass): PendingLoad<null> {
    const extent = extentAt(segmentId, position, 100);
    return {
      request: { extent, arrival: 0, leaderEpoch: 0, loadClass },
      position,
      length: 100,
      loadClass,
      owner: null,
      resolve: () => undefined,
    };
  }

  it('takes neighbours along whatever their class, and each only once', () => {
    const queue = new LoadQueue<null>({ lengthMax: 1000, gapMax: 0 });
    const [a, b, c] = [load('s', 100, 'tail'), load('s', 0, 'readAhead'), load('s', 500, 'tail')];
    for (const each of [a, b, c]) queue.add(each);
    const run = queue.peek('tail')!;
    expect(run.members).toEqual([b, a]);
    queue.remove(run);
    expect(queue.peek('readAhead')).toBeUndefined();
    expect(queue.peek('tail')!.members).toEqual([c]);
    expect(queue.count).toBe(1);
    expect(queue.drain()).toEqual([c]);
    expect(queue.count).toBe(0);
  });

  it('promotes to a more urgent class, never the other way', () => {
    const queue = new LoadQueue<null>({ lengthMax: 0, gapMax: 0 });
    const [a, b] = [load('a', 0, 'readAhead'), load('b', 0, 'tail')];
    queue.add(a);
    queue.add(b);
    queue.promote(a, 'catchUp');
    queue.promote(b, 'readAhead');
    expect(queue.peek('catchUp')!.members).toEqual([a]);
    expect(queue.peek('tail')!.members).toEqual([b]);
    expect(queue.peek('readAhead')).toBeUndefined();
  });
});

describe('verifyExtent', () => {
  const two = (): Buffer =>
    Buffer.concat([encodePlainBatch(plainRecords(2)), encodePlainBatch(plainRecords(3))]);

  it('notices any flipped bit that a reader could see', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 0, max: 7 }), (where, bit) => {
        const bytes = two();
        const at = where % bytes.length;
        bytes[at]! ^= 1 << bit;
        const extent = { ...extentAt('s', 0, bytes.length), nextOffset: 5 };
        const first = encodePlainBatch(plainRecords(2)).length;
        const inBatch = at < first ? at : at - first;
        // Base offset and leader epoch are stamped over.
        const isStamped = inBatch < 8 || (inBatch >= 12 && inBatch < 16);
        const verdict = verifyExtent(bytes, extent, 7);
        expect(verdict.kind).toBe(isStamped ? 'intact' : 'damaged');
      }),
    );
  });

  it('leaves the headers of absolute offsets alone, and holds them against the row', () => {
    const bytes = two();
    const first = encodePlainBatch(plainRecords(2)).length;
    bytes.writeBigInt64BE(40n, 0);
    bytes.writeBigInt64BE(42n, first);
    bytes.writeInt32BE(3, 12);
    const before = Buffer.from(bytes);
    const row = { ...extentAt('s', 0, bytes.length), absoluteOffsets: true };
    expect(verifyExtent(bytes, { ...row, baseOffset: 40, nextOffset: 45 }, 9).kind).toBe('intact');
    expect(bytes).toEqual(before);
    const other = verifyExtent(bytes, { ...row, baseOffset: 41, nextOffset: 46 }, 9);
    expect(other.kind).toBe('damaged');
  });

  it('finds the batch of any offset', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 150 }),
        (counts) => {
          const batches = counts.map((count) => encodePlainBatch(plainRecords(count, 0)));
          const bytes = Buffer.concat(batches);
          const nextOffset = 10 + counts.reduce((sum, count) => sum + count, 0);
          const extent = { ...extentAt('s', 0, bytes.length), baseOffset: 10, nextOffset };
          const verdict = verifyExtent(bytes, extent, 0);
          if (verdict.kind !== 'intact') throw new Error(verdict.reason);
          const { table } = verdict.loaded;
          let base = 10;
          let position = 0;
          for (const [row, count] of counts.entries()) {
            for (let delta = 0; delta < count; delta++) {
              expect(table.rowOfOffset(base + delta)).toBe(row);
              expect(table.bytesFrom(base + delta)).toBe(bytes.length - position);
            }
            expect(table.maxTimestampAt(row)).toBe(1000 + count - 1);
            base += count;
            position += batches[row]!.length;
          }
        },
      ),
      { numRuns: 30 },
    );
  });
});

describe('BadExtents', () => {
  it('remembers for a while, and only so many', () => {
    let nowMs = 0;
    const clock = { monotonicMs: () => nowMs, wallMs: () => 0 };
    const bad = new BadExtents({ clock, countMax: 2, retryAfterMs: 100 });
    const failure = { kind: 'damaged', reason: 'CRC' } as const;
    const [a, b, c] = ['a', 'b', 'c'].map((segment) => extentAt(segment, 0, 1));
    for (const each of [a!, b!, c!]) bad.add(each, failure);
    expect(bad.find(a!)).toBeUndefined();
    expect(bad.find(b!)).toBe(failure);
    nowMs = 100;
    expect(bad.find(b!)).toBeUndefined();
  });
});
