import { readFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  batchCrcMatches,
  batchSizeAt,
  type CompressionName,
  type DecodedRecord,
  decodeRecords,
  decompressRecords,
  emptyBatchHeader,
  encodeBatch,
  encodePlainBatch,
  errorCodes,
  forEachBatch,
  nextBatchPosition,
  type ProduceRules,
  readBatchHeader,
  type RecordToEncode,
  setLogAppendTime,
  stampBatch,
  validateProducedRecords,
} from '@kafscale/codec';

/** Batches written by Apache Kafka 4.3's MemoryRecordsBuilder: golden/capture.sh. */
function golden(name: string): Buffer {
  return readFileSync(new URL(`./golden/${name}.golden`, import.meta.url));
}

const rules: ProduceRules = {
  produceVersion: 9,
  messageBytesMax: 1_048_588,
  timestampMsMin: -Infinity,
  timestampMsMax: 1_700_003_600_000,
  isLogAppendTime: false,
};

function validate(bytes: Buffer | null, changed: Partial<ProduceRules> = {}): number {
  return validateProducedRecords(bytes, { ...rules, ...changed }, emptyBatchHeader());
}

function shared(bytes: Buffer): Buffer {
  const copy = Buffer.from(new SharedArrayBuffer(bytes.length));
  bytes.copy(copy);
  return copy;
}

async function recordsOf(batch: Buffer): Promise<DecodedRecord[]> {
  return [...(await decodeRecords(batch)).records];
}

describe('the header of a batch that Apache Kafka wrote', () => {
  it('is read field by field', () => {
    expect(readBatchHeader(golden('small'), 0)).toEqual({
      baseOffset: 0,
      sizeBytes: 115,
      partitionLeaderEpoch: -1,
      magic: 2,
      crc: golden('small').readUInt32BE(17),
      attributes: 0,
      lastOffsetDelta: 2,
      firstTimestampMs: 1_700_000_000_000,
      maxTimestampMs: 1_700_000_000_250,
      producerId: 4711,
      producerEpoch: 3,
      baseSequence: 2_147_483_646,
      recordCount: 3,
      compressionCodec: 0,
      isLogAppendTime: false,
      isTransactional: false,
      isControl: false,
    });
  });

  it('says how it is compressed', () => {
    const codecs = ['small', 'gzip', 'snappy', 'lz4', 'zstd'].map(
      (name) => readBatchHeader(golden(name), 0).compressionCodec,
    );
    expect(codecs).toEqual([0, 1, 2, 3, 4]);
  });

  it('has a CRC that matches, also in shared memory, and that a flipped bit breaks', () => {
    for (const name of ['small', 'append-time', 'gzip', 'snappy', 'lz4', 'zstd']) {
      const bytes = shared(golden(name));
      expect(batchCrcMatches(bytes, 0)).toBe(true);
      bytes[bytes.length - 1]! ^= 1;
      expect(batchCrcMatches(bytes, 0)).toBe(false);
    }
  });

  it('takes an append time as Kafka does: attribute, maximum timestamp, CRC', () => {
    const record = { timestampMs: 1_700_000_000_000, key: utf8('a'), value: utf8('b') };
    const ours = encodePlainBatch({ records: [record] });
    setLogAppendTime(ours, 0, 1_700_000_009_999);
    expect(ours.toString('hex')).toBe(golden('append-time').toString('hex'));
  });

  it('takes offset and epoch without a new CRC', () => {
    const bytes = golden('gzip');
    for (const offset of [0, 1, 2 ** 31, 2 ** 32 + 5, Number.MAX_SAFE_INTEGER]) {
      stampBatch(bytes, 0, offset, 7);
      expect(bytes.readBigInt64BE(0)).toBe(BigInt(offset));
      expect(readBatchHeader(bytes, 0)).toMatchObject({ baseOffset: offset });
      expect(readBatchHeader(bytes, 0)).toMatchObject({ partitionLeaderEpoch: 7 });
      expect(batchCrcMatches(bytes, 0)).toBe(true);
    }
  });
});

function utf8(text: string): Buffer {
  return Buffer.from(text, 'utf8');
}

describe('records that Apache Kafka wrote', () => {
  it('decode with null keys, null values, headers and times that go back', async () => {
    expect(await recordsOf(golden('small'))).toEqual([
      {
        offsetDelta: 0,
        timestampMs: 1_700_000_000_000,
        key: utf8('key-0'),
        value: utf8('value-0'),
        headers: [
          { key: 'h', value: utf8('1') },
          { key: 'n', value: null },
        ],
      },
      {
        offsetDelta: 1,
        timestampMs: 1_700_000_000_250,
        key: null,
        value: utf8('value-1'),
        headers: [],
      },
      {
        offsetDelta: 2,
        timestampMs: 1_699_999_999_000,
        key: utf8('key-2'),
        value: null,
        headers: [],
      },
    ]);
  });

  it('all have the append time when the batch has one', async () => {
    const records = await recordsOf(golden('append-time'));
    expect(records.map((record) => record.timestampMs)).toEqual([1_700_000_009_999]);
  });

  it.each(['gzip', 'snappy', 'lz4', 'zstd'])('decompress: %s', async (name) => {
    const records = await recordsOf(shared(golden(name)));
    expect(records).toHaveLength(2000);
    expect(records[1999]).toEqual({
      offsetDelta: 1999,
      timestampMs: 1_700_000_001_999,
      key: utf8('k1999'),
      value: utf8('the quick brown fox 1999 jumps over the lazy dog'),
      headers: [],
    });
  });

  it('encode to the same bytes', () => {
    const ours = encodePlainBatch({
      producerId: 4711,
      producerEpoch: 3,
      baseSequence: 2_147_483_646,
      records: [
        {
          timestampMs: 1_700_000_000_000,
          key: utf8('key-0'),
          value: utf8('value-0'),
          headers: [
            { key: 'h', value: utf8('1') },
            { key: 'n', value: null },
          ],
        },
        { timestampMs: 1_700_000_000_250, value: utf8('value-1') },
        { timestampMs: 1_699_999_999_000, key: utf8('key-2'), value: null },
      ],
    });
    expect(ours.toString('hex')).toBe(golden('small').toString('hex'));
  });
});

describe('any records', () => {
  const bytes = fc.option(fc.uint8Array({ maxLength: 300 }).map((value) => Buffer.from(value)));
  const record: fc.Arbitrary<RecordToEncode> = fc.record({
    timestampMs: fc.integer({ min: -1, max: 2 ** 51 }),
    key: bytes,
    value: bytes,
    headers: fc.array(fc.record({ key: fc.string({ maxLength: 20 }), value: bytes }), {
      maxLength: 4,
    }),
  });
  const compression = fc.constantFrom<CompressionName>('none', 'gzip', 'snappy', 'lz4', 'zstd');

  it('come back as they went in', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(record, { minLength: 1, maxLength: 40 }),
        compression,
        async (records, codec) => {
          const batch = await encodeBatch({ records, compression: codec });
          expect(batchCrcMatches(batch, 0)).toBe(true);
          expect(validate(batch, { timestampMsMax: Infinity })).toBe(0);
          expect(await recordsOf(batch)).toEqual(
            records.map((each, offsetDelta) => ({ ...each, offsetDelta })),
          );
        },
      ),
    );
  });

  it('are refused, never misread or endless, when bytes are flipped or cut', async () => {
    const batches = await Promise.all(
      (['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const).map((codec) =>
        encodeBatch({
          compression: codec,
          records: Array.from({ length: 30 }, (_, index) => ({
            timestampMs: 5,
            key: utf8(`key ${index}`),
            value: utf8('value '.repeat(index)),
          })),
        }),
      ),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.nat(4),
        fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { maxLength: 3 }),
        fc.option(fc.nat(4000)),
        async (which, flips, cut) => {
          let damaged = Buffer.from(batches[which]!);
          for (const [at, mask] of flips) damaged[at % damaged.length]! ^= mask;
          if (cut !== null) damaged = damaged.subarray(0, cut % damaged.length);
          try {
            await recordsOf(damaged);
          } catch (error) {
            expect([
              'BATCH_CORRUPT',
              'RECORDS_CORRUPT',
              'RECORDS_TOO_LARGE',
              'COMPRESSION_UNSUPPORTED',
            ]).toContain((error as { code: string }).code);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('decompression', () => {
  it('reads raw snappy blocks, as librdkafka sends them', async () => {
    const { compress } = await import('snappy');
    const text = utf8('raw snappy '.repeat(1000));
    expect((await decompressRecords(2, await compress(text))).equals(text)).toBe(true);
  });

  it('reads concatenated zstd frames and skips skippable ones', async () => {
    const zstd = await stored('zstd', 5000);
    const skippable = Buffer.from('502a4d1803000000414243', 'hex');
    const both = Buffer.concat([zstd, skippable, zstd]);
    expect(await decompressRecords(4, both)).toHaveLength(10_000);
  });

  it.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)(
    'stops at the bound, to the byte where the format tells: %s',
    async (codec) => {
      const number = { gzip: 1, snappy: 2, lz4: 3, zstd: 4 }[codec];
      const bytes = await stored(codec, 1 << 20);
      expect(await decompressRecords(number, bytes, 2 << 20)).toHaveLength(1 << 20);
      await expect(decompressRecords(number, bytes, (1 << 20) - 1)).rejects.toMatchObject({
        code: 'RECORDS_TOO_LARGE',
      });
    },
  );

  it('refuses a zstd window over the bound before allocating it', async () => {
    // Magic, descriptor 0 (window byte follows), window 2^(10+21) = 2 GiB, one empty last block.
    const frame = Buffer.from('28b52ffd00a8010000', 'hex');
    await expect(decompressRecords(4, frame)).rejects.toMatchObject({ code: 'RECORDS_TOO_LARGE' });
  });

  it('names a codec that does not exist', async () => {
    await expect(decompressRecords(5, Buffer.alloc(9))).rejects.toMatchObject({
      code: 'COMPRESSION_UNSUPPORTED',
    });
  });

  async function stored(codec: CompressionName, size: number): Promise<Buffer> {
    const { compressRecords } = await import('../../src/batch/compression.js');
    return compressRecords(codec, Buffer.alloc(size, 'compressible '));
  }
});

describe('what a producer sent', () => {
  const good = encodePlainBatch({
    records: [{ timestampMs: 1_700_000_000_000, value: utf8('x') }],
  });

  /** `good` with one field changed; the CRC is renewed unless `crc` says otherwise. */
  function changed(change: (bytes: Buffer) => void, crc: 'renewed' | 'stale' = 'renewed'): Buffer {
    const bytes = Buffer.from(good);
    change(bytes);
    if (crc === 'renewed') bytes.writeUInt32BE(crcOf(bytes), 17);
    return bytes;
  }

  it.each([
    ['a good batch', good, errorCodes.NONE],
    ['every codec at v9', golden('zstd'), errorCodes.NONE],
    ['an idempotent batch', golden('small'), errorCodes.NONE],
    ['null', null, errorCodes.INVALID_RECORD],
    ['nothing', Buffer.alloc(0), errorCodes.INVALID_RECORD],
    ['a batch cut short', good.subarray(0, -1), errorCodes.INVALID_RECORD],
    ['two batches', Buffer.concat([good, good]), errorCodes.INVALID_RECORD],
    ['message format v0', changed((bytes) => bytes.writeInt8(0, 16)), errorCodes.INVALID_RECORD],
    ['message format v1', changed((bytes) => bytes.writeInt8(1, 16)), errorCodes.INVALID_RECORD],
    ['magic 3', changed((bytes) => bytes.writeInt8(3, 16)), errorCodes.CORRUPT_MESSAGE],
    [
      'a length of 13',
      changed((bytes) => bytes.writeInt32BE(13, 8), 'stale'),
      errorCodes.CORRUPT_MESSAGE,
    ],
    [
      'a negative length',
      changed((bytes) => bytes.writeInt32BE(-1, 8), 'stale'),
      errorCodes.CORRUPT_MESSAGE,
    ],
    [
      'codec 5',
      changed((bytes) => bytes.writeInt16BE(5, 21)),
      errorCodes.UNSUPPORTED_COMPRESSION_TYPE,
    ],
    [
      'a transactional batch',
      changed((bytes) => bytes.writeInt16BE(16, 21)),
      errorCodes.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    ],
    ['a control batch', changed((bytes) => bytes.writeInt16BE(32, 21)), errorCodes.INVALID_RECORD],
    ['a base offset', changed((bytes) => bytes.writeInt32BE(1, 4)), errorCodes.INVALID_RECORD],
    ['no records', changed((bytes) => bytes.writeInt32BE(0, 57)), errorCodes.INVALID_RECORD],
    ['a count that lies', changed((bytes) => bytes.writeInt32BE(2, 57)), errorCodes.INVALID_RECORD],
    [
      'a count that lies and a wrong CRC',
      changed((bytes) => bytes.writeInt32BE(2, 57), 'stale'),
      errorCodes.CORRUPT_MESSAGE,
    ],
    [
      'a producer without sequence',
      changed((bytes) => {
        bytes.writeBigInt64BE(9n, 43);
        bytes.writeInt16BE(0, 51);
      }),
      errorCodes.INVALID_RECORD,
    ],
    [
      'a producer without epoch',
      changed((bytes) => {
        bytes.writeBigInt64BE(9n, 43);
        bytes.writeInt32BE(0, 53);
      }),
      errorCodes.INVALID_RECORD,
    ],
    [
      'a producer id below -1',
      changed((bytes) => bytes.writeBigInt64BE(-2n, 43)),
      errorCodes.INVALID_RECORD,
    ],
    [
      'a time beyond the limit',
      changed((bytes) => bytes.writeBigInt64BE(1_700_003_600_001n, 35)),
      errorCodes.INVALID_TIMESTAMP,
    ],
    [
      'a time beyond 2^53',
      changed((bytes) => bytes.writeBigInt64BE(2n ** 60n, 27)),
      errorCodes.INVALID_TIMESTAMP,
    ],
    [
      'the append time type',
      changed((bytes) => bytes.writeInt16BE(8, 21)),
      errorCodes.INVALID_TIMESTAMP,
    ],
  ])('%s', (_, bytes, expected) => {
    expect(validate(bytes)).toBe(expected);
  });

  it('may be as large as the topic allows, and no larger', () => {
    expect(validate(good, { messageBytesMax: good.length })).toBe(errorCodes.NONE);
    expect(validate(good, { messageBytesMax: good.length - 1 })).toBe(errorCodes.MESSAGE_TOO_LARGE);
  });

  it('may be zstd from Produce v7 on', () => {
    expect(validate(golden('zstd'), { produceVersion: 7 })).toBe(errorCodes.NONE);
    const tooOld = validate(golden('zstd'), { produceVersion: 6 });
    expect(tooOld).toBe(errorCodes.UNSUPPORTED_COMPRESSION_TYPE);
  });

  it('has its timestamps judged only where they count', () => {
    const future = changed((bytes) => bytes.writeBigInt64BE(1_800_000_000_000n, 35));
    expect(validate(future)).toBe(errorCodes.INVALID_TIMESTAMP);
    expect(validate(future, { isLogAppendTime: true })).toBe(errorCodes.NONE);
    expect(validate(good, { timestampMsMin: 1_700_000_000_001 })).toBe(
      errorCodes.INVALID_TIMESTAMP,
    );
    const none = encodePlainBatch({ records: [{ timestampMs: -1, value: null }] });
    expect(validate(none, { timestampMsMin: 1_700_000_000_001 })).toBe(errorCodes.NONE);
  });

  it('is judged without a throw, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (noise, plausible) => {
        const bytes = Buffer.from(noise);
        if (plausible && bytes.length >= 17) {
          bytes.writeInt32BE(bytes.length - 12, 8);
          bytes.writeInt8(2, 16);
        }
        expect(validate(bytes)).not.toBe(errorCodes.NONE);
      }),
      { numRuns: 2000 },
    );
  });

  function crcOf(bytes: Buffer): number {
    let crc = ~0;
    for (const byte of bytes.subarray(21)) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc >>> 0;
  }
});

describe('concatenated batches', () => {
  const joined = Buffer.concat([golden('small'), golden('lz4'), golden('append-time')]);

  it('are walked in order', () => {
    const seen: [number, number][] = [];
    forEachBatch(joined, (at, sizeBytes) => void seen.push([at, sizeBytes]));
    const lz4 = batchSizeAt(golden('lz4'), 0);
    expect(seen).toEqual([
      [0, 115],
      [115, lz4],
      [115 + lz4, 70],
    ]);
  });

  it('stop at the first false', () => {
    let visits = 0;
    forEachBatch(joined, () => {
      visits += 1;
      return false;
    });
    expect(visits).toBe(1);
  });

  it('are corrupt when the last is cut, or when a length would go back', () => {
    const walk = (bytes: Buffer) => () => forEachBatch(bytes, () => true);
    expect(walk(joined.subarray(0, -1))).toThrow(/no whole record batch/);
    const backwards = Buffer.from(joined);
    backwards.writeInt32BE(-115, 115 + 8);
    expect(walk(backwards)).toThrow(/at byte 115/);
    expect(nextBatchPosition(joined, 0, 114)).toBe(-1);
    expect(nextBatchPosition(joined, 0, 115)).toBe(115);
  });
});

describe('in a worker thread', () => {
  it('the CRC of a batch in shared memory matches', async () => {
    const memory = shared(golden('zstd')).buffer as SharedArrayBuffer;
    const codec = new URL('../../dist/index.js', import.meta.url).href;
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       import(workerData.codec).then(({ batchCrcMatches, decodeRecords }) => {
         const bytes = Buffer.from(workerData.memory);
         return decodeRecords(bytes).then((batch) =>
           parentPort.postMessage([batchCrcMatches(bytes, 0), [...batch.records].length]));
       });`,
      { eval: true, workerData: { memory, codec } },
    );
    const answer = await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await worker.terminate();
    expect(answer).toEqual([true, 2000]);
  });
});
