import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  batchCrcMatches,
  emptyBatchHeader,
  firstCorruptBatch,
  nextBatchPosition,
  stampBatch,
} from '@kafscale/codec';
import { batchHeaderBytes, writeBatchHeader } from '../../src/batch/batch-header.js';

function batchOf(recordBytes: Uint8Array): Buffer {
  const batch = Buffer.alloc(batchHeaderBytes + recordBytes.length);
  batch.set(recordBytes, batchHeaderBytes);
  writeBatchHeader(batch, 0, { ...emptyBatchHeader(), sizeBytes: batch.length, magic: 2 });
  return batch;
}

const batches = fc.array(
  fc.uint8Array({ maxLength: 3000 }).map((bytes) => batchOf(bytes)),
  { minLength: 1, maxLength: 12 },
);

/** What a call per batch says. */
function oneByOne(bytes: Buffer, start: number): number {
  let end: number;
  for (let at = start; at < bytes.length; at = end) {
    end = nextBatchPosition(bytes, at, bytes.length);
    if (!batchCrcMatches(bytes, at)) return at;
  }
  return -1;
}

it('finds what a call per batch finds, whatever is flipped outside of the lengths', () => {
  const flips = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 255 })), { maxLength: 3 });
  fc.assert(
    fc.property(batches, flips, fc.nat(20), (list, flipped, before) => {
      const bytes = Buffer.concat([Buffer.alloc(before, 5), ...list]);
      expect(firstCorruptBatch(bytes, before, bytes.length)).toBe(-1);
      const lengths = new Set<number>();
      let at = before;
      for (const batch of list) {
        for (let byte = 8; byte < 17; byte++) lengths.add(at + byte);
        at += batch.length;
      }
      for (const [where, mask] of flipped) {
        const position = before + (where % (bytes.length - before));
        if (!lengths.has(position)) bytes[position]! ^= mask;
      }
      expect(firstCorruptBatch(bytes, before, bytes.length)).toBe(oneByOne(bytes, before));
    }),
  );
});

it('does not mind offsets and epochs, which the CRC does not cover', () => {
  const list = [batchOf(Buffer.alloc(100, 1)), batchOf(Buffer.alloc(17_000, 2))];
  const bytes = Buffer.concat(list);
  stampBatch(bytes, 0, 123_456_789_012, 3);
  stampBatch(bytes, list[0]!.length, 2 ** 40, 7);
  expect(firstCorruptBatch(bytes, 0, bytes.length)).toBe(-1);
});

it('checks nothing where there is nothing', () => {
  expect(firstCorruptBatch(Buffer.alloc(0), 0, 0)).toBe(-1);
});
