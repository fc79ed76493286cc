import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeIndexClaim,
  decodeIndexEntry,
  decodeIndexPart,
  emptyIndexRecords,
  encodeIndexClaim,
  encodeIndexEntry,
  encodeIndexPart,
  indexClaimKey,
  indexEntryKey,
  indexLogPrefix,
  indexPartKey,
  parseIndexClaimKey,
  parseIndexKey,
} from '@kafscale/codec';
import type { EncodedIndexObject, IndexEntry, IndexRecords } from '@kafscale/codec';

/** Objects made from the specification without our encoder: golden/make-golden.mjs. */
function golden(name: string): Buffer {
  return readFileSync(new URL(`./golden/${name}.golden`, import.meta.url));
}

const topicId = '6f1d2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b';
const segmentId = '0190c3f2-8e4b-7d21-9a6c-5b4f3e2d1c0a';
const log = { clusterId: 'AAECAwQFBgcICQoLDA0ODw', incarnation: 2, shardId: 0 };

const entry: IndexEntry = {
  ...log,
  sequence: 12,
  shardEpoch: 9,
  feedSequence: 41,
  databaseTimeMs: 1_700_000_000_123,
  softwareVersion: 'kafscale 0.1.0',
  nextProducerId: 3000,
  recoveryFloor: 1999,
  isComplete: false,
  parts: [],
  records: {
    ...emptyIndexRecords,
    partitions: [
      {
        partitionId: 5,
        topicId,
        partitionIndex: 0,
        leaderEpoch: 1,
        logStartOffset: 10,
        nextOffset: 103,
        maxTimestampMs: 1_700_000_000_100,
        producerStateFloor: 1999,
        leaderEpochs: [{ leaderEpoch: 1, startOffset: 100 }],
      },
    ],
    segments: [
      {
        segmentId,
        nodeId: 7,
        incarnation: 2,
        birthMs: 1_700_000_000_000,
        committedAtMs: 1_700_000_000_090,
        sizeBytes: 500,
        isCompacted: false,
        answer: Buffer.from('[[10,100]]'),
      },
    ],
    extents: [
      {
        partitionId: 5,
        baseOffset: 100,
        nextOffset: 103,
        segmentId,
        position: 0,
        length: 140,
        firstTimestampMs: 1_700_000_000_000,
        maxTimestampMs: 1_700_000_000_100,
        absoluteOffsets: false,
        skippedBatches: [1],
      },
    ],
  },
};

const part: IndexRecords = {
  ...emptyIndexRecords,
  topics: [
    {
      topicId,
      name: 'orders',
      createdAtMs: 1_600_000_000_000,
      configs: [{ name: 'retention.ms', value: '-1' }],
    },
  ],
  deletedTopics: [{ topicId: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee' }],
  producers: [
    {
      partitionId: 5,
      producerId: 2001,
      producerEpoch: 3,
      batches: [
        { baseSequence: 2 ** 31 - 1, lastSequence: 1, baseOffset: 100, maxTimestampMs: -1 },
      ],
    },
  ],
  groups: [
    {
      groupId: 'readers',
      isDeleted: false,
      generationId: 4,
      protocolType: 'consumer',
      isContinued: false,
      offsets: [
        {
          topicId,
          partitionIndex: 0,
          committedOffset: 2n ** 63n - 1n,
          leaderEpoch: -1,
          metadata: Buffer.from([0, 0xff]),
        },
      ],
    },
    {
      groupId: 'gone',
      isDeleted: true,
      generationId: 0,
      protocolType: null,
      isContinued: false,
      offsets: [],
    },
  ],
};

const claim = {
  clusterId: log.clusterId,
  incarnation: 3,
  claimedAtMs: 1_700_000_500_000,
  fromIncarnation: 2,
  fromShardId: 0,
  fromSequence: 12,
};

function bytesOf(object: EncodedIndexObject): Buffer {
  return Buffer.concat(object.chunks);
}

describe('index objects', () => {
  it('are encoded and decoded as the specification says', () => {
    expect(bytesOf(encodeIndexEntry('manifest', entry))).toEqual(golden('manifest'));
    expect(decodeIndexEntry(golden('manifest'), 'manifest')).toEqual(entry);
    expect(bytesOf(encodeIndexClaim(claim))).toEqual(golden('claim'));
    expect(decodeIndexClaim(golden('claim'))).toEqual(claim);
    const encodedPart = encodeIndexPart(part);
    expect(bytesOf(encodedPart)).toEqual(golden('part'));
    const snapshot = decodeIndexEntry(golden('snapshot'), 'snapshot');
    expect(snapshot).toMatchObject({ sequence: 11, isComplete: true, records: emptyIndexRecords });
    const { sizeBytes, crc32c } = encodedPart;
    const partId = '5d0c8f0e-3a4b-4c6d-9e8f-0a1b2c3d4e5f';
    expect(snapshot.parts).toEqual([{ partId, sizeBytes, crc32c }]);
    expect(decodeIndexPart(golden('part'), snapshot.parts[0]!)).toEqual(part);
  });

  it('with any byte changed, cut off, or added, are refused', () => {
    const object = golden('manifest');
    fc.assert(
      fc.property(fc.nat(object.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const damaged = Buffer.from(object);
        damaged[at] = damaged[at]! ^ change;
        expect(() => decodeIndexEntry(damaged, 'manifest')).toThrow(
          expect.objectContaining({ code: expect.stringMatching(/^INDEX_OBJECT_/) }),
        );
      }),
    );
    const refused = expect.objectContaining({ code: expect.stringMatching(/^INDEX_OBJECT_/) });
    for (let length = 0; length < object.length; length += 1) {
      expect(() => decodeIndexEntry(object.subarray(0, length), 'manifest')).toThrow(refused);
    }
    const longer = Buffer.concat([object, Buffer.alloc(1)]);
    expect(() => decodeIndexEntry(longer, 'manifest')).toThrow(refused);
  });

  it('of another kind, format or reference are refused', () => {
    expect(() => decodeIndexEntry(golden('manifest'), 'snapshot')).toThrow(
      expect.objectContaining({ code: 'INDEX_OBJECT_CORRUPT' }),
    );
    const later = Buffer.from(golden('manifest'));
    later.writeUInt16BE(3, 4);
    expect(() => decodeIndexEntry(later, 'manifest')).toThrow(
      expect.objectContaining({ code: 'INDEX_OBJECT_VERSION_UNSUPPORTED' }),
    );
    const reference = { partId: segmentId, sizeBytes: 0, crc32c: 1 };
    expect(() => decodeIndexPart(golden('part'), reference)).toThrow(
      expect.objectContaining({ code: 'INDEX_OBJECT_CORRUPT' }),
    );
  });
});

describe('keys', () => {
  const place = fc.record({
    clusterId: fc.stringMatching(/^[A-Za-z0-9_-]{22}$/),
    incarnation: fc.nat(2 ** 31 - 1),
    shardId: fc.nat(99_999),
  });
  const sequence = fc.nat(2 ** 31 - 1);

  it('say what they are of, under any prefix', () => {
    fc.assert(
      fc.property(place, sequence, fc.uuid(), (id, number, partId) => {
        for (const prefix of ['', 'some/where/']) {
          const snapshot = `${prefix}${indexEntryKey(id, number, 'snapshot')}`;
          expect(parseIndexKey(snapshot)).toEqual({ ...id, sequence: number, kind: 'snapshot' });
          const piece = `${prefix}${indexPartKey(id, number, partId)}`;
          expect(parseIndexKey(piece)).toEqual({ ...id, sequence: number, kind: 'part', partId });
          const claimed = `${prefix}${indexClaimKey(id.clusterId, id.incarnation)}`;
          const { clusterId, incarnation } = id;
          expect(parseIndexClaimKey(claimed)).toEqual({ clusterId, incarnation });
          expect(parseIndexKey(claimed)).toBeUndefined();
        }
      }),
    );
  });

  it('are in the order of the log', () => {
    fc.assert(
      fc.property(place, sequence, sequence, (id, left, right) => {
        const [one, two] = [
          indexEntryKey(id, left, 'snapshot'),
          indexEntryKey(id, right, 'manifest'),
        ];
        if (left < right) expect(one < two).toBe(true);
        if (left > right) expect(two < one).toBe(true);
        expect(one.startsWith(indexLogPrefix(id))).toBe(true);
      }),
    );
  });

  it('that are of something else are not taken for one', () => {
    const key = indexEntryKey(log, 1, 'manifest');
    for (const other of [
      `${key}x`,
      key.replace('0001-', '1-'),
      key.replace('manifest', 'latest'),
      '',
    ]) {
      expect(parseIndexKey(other)).toBeUndefined();
    }
  });
});
