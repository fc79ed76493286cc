import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  coldRangeKey,
  decodeColdRange,
  decodeIndexEntry,
  encodeColdRange,
  encodeIndexEntry,
  parseColdRangeKey,
} from '@kafscale/codec';
import type { ColdExtent, ColdRange, EncodedIndexObject } from '@kafscale/codec';

function golden(name: string): Buffer {
  return readFileSync(new URL(`./golden/${name}.golden`, import.meta.url));
}

function bytesOf(object: EncodedIndexObject): Buffer {
  return Buffer.concat(object.chunks);
}

const objectId = '5d0c8f0e-3a4b-4c6d-9e8f-0a1b2c3d4e5f';

const extent: ColdExtent = {
  baseOffset: 0,
  nextOffset: 4,
  position: 0,
  length: 70,
  firstTimestampMs: 1_700_000_000_000,
  maxTimestampMs: 1_700_000_000_100,
  prefixMaxTimestampMs: 1_700_000_000_200,
  absoluteOffsets: true,
  skippedBatches: [],
  segmentId: '0190c3f2-8e4b-7d21-9a6c-5b4f3e2d1c0a',
  nodeId: -1,
  incarnation: 2,
  birthMs: 1_700_000_000_300,
  committedAtMs: 1_700_000_000_400,
  segmentBytes: 4096,
  isCompacted: true,
  isShared: false,
};

const range: ColdRange = {
  objectId,
  clusterId: 'AAECAwQFBgcICQoLDA0ODw',
  topicId: '6f1d2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b',
  partitionIndex: 3,
  partitionId: 5,
  extents: [
    extent,
    {
      ...extent,
      baseOffset: 4,
      nextOffset: 7,
      position: 70,
      absoluteOffsets: false,
      skippedBatches: [1, 300],
      isCompacted: false,
      isShared: true,
    },
  ],
};

const safe = fc.integer({ min: -(2 ** 53) + 1, max: 2 ** 53 - 1 });
const anyExtent = fc.record({
  records: fc.integer({ min: 1, max: 2 ** 31 }),
  position: safe,
  length: safe,
  firstTimestampMs: safe,
  maxTimestampMs: safe,
  prefixMaxTimestampMs: safe,
  absoluteOffsets: fc.boolean(),
  skippedBatches: fc.array(fc.nat(2 ** 31 - 1), { maxLength: 5 }),
  segmentId: fc.uuid(),
  nodeId: fc.integer({ min: -1, max: 2 ** 31 - 1 }),
  incarnation: fc.nat(2 ** 31 - 1),
  birthMs: safe,
  committedAtMs: safe,
  segmentBytes: safe,
  isCompacted: fc.boolean(),
  isShared: fc.boolean(),
});

const anyRange: fc.Arbitrary<ColdRange> = fc
  .tuple(fc.uuid(), fc.nat(2 ** 40), fc.array(anyExtent, { minLength: 1, maxLength: 20 }))
  .map(([id, from, extents]) => {
    let baseOffset = from;
    return {
      ...range,
      objectId: id,
      extents: extents.map(({ records, ...rest }) => {
        const place = { baseOffset, nextOffset: baseOffset + records };
        baseOffset += records;
        return { ...place, ...rest };
      }),
    };
  });

const refused = expect.objectContaining({ code: expect.stringMatching(/^INDEX_OBJECT_/) });

describe('a cold range', () => {
  it('is encoded and decoded as the specification says', () => {
    expect(bytesOf(encodeColdRange(range))).toEqual(golden('cold-range'));
    expect(decodeColdRange(golden('cold-range'))).toEqual(range);
  });

  it('comes back as it was', () => {
    fc.assert(
      fc.property(anyRange, (any) => {
        expect(decodeColdRange(bytesOf(encodeColdRange(any)))).toEqual(any);
      }),
    );
  });

  it('with any byte changed, or cut off, is refused', () => {
    const object = golden('cold-range');
    fc.assert(
      fc.property(fc.nat(object.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const damaged = Buffer.from(object);
        damaged[at] = damaged[at]! ^ change;
        expect(() => decodeColdRange(damaged)).toThrow(refused);
        expect(() => decodeColdRange(object.subarray(0, at))).toThrow(refused);
      }),
    );
  });

  it('with a hole, or with nothing in it, is never written', () => {
    const hole = { ...range, extents: [extent, { ...extent, baseOffset: 5, nextOffset: 6 }] };
    expect(() => encodeColdRange(hole)).toThrow('a hole at offset 4');
    expect(() => encodeColdRange({ ...range, extents: [] })).toThrow('it has no extents');
  });

  it('has a key that says its id, under any prefix', () => {
    const key = `v1/cold/5f/${objectId}.idx`;
    expect(coldRangeKey(objectId)).toBe(key);
    expect(parseColdRangeKey(`some/where/${key}`)).toBe(objectId);
    for (const other of [
      '',
      `${key}x`,
      key.replace('/5f/', '/5e/'),
      key.replace('cold', 'index'),
    ]) {
      expect(parseColdRangeKey(other)).toBeUndefined();
    }
  });
});

describe('an entry of the index', () => {
  it('names cold ranges in format 2, and is written in format 1 if it has none', () => {
    const entry = decodeIndexEntry(golden('cold-manifest'), 'manifest');
    expect(entry.records.coldRanges).toEqual([
      { partitionId: 5, baseOffset: 0, nextOffset: 7, objectId, extents: 2 },
    ]);
    expect(bytesOf(encodeIndexEntry('manifest', entry))).toEqual(golden('cold-manifest'));
    const without = { ...entry, records: { ...entry.records, coldRanges: [] } };
    const first = bytesOf(encodeIndexEntry('manifest', without));
    expect(first.readUInt16BE(4)).toBe(1);
    expect(decodeIndexEntry(first, 'manifest')).toEqual(without);
  });
});
