import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type BatchIndexEntry,
  decodeSegmentFooter,
  encodePlainBatch,
  encodeSegmentFooter,
  formatSegmentDump,
  readExtentBatches,
  readSegmentFooter,
  type SegmentExtent,
  type SegmentFooter,
  segmentIdFromKey,
  segmentKey,
  type SegmentReader,
} from '@kafscale/codec';

/** Segments made from the specification without our encoder: golden/make-golden.mjs. */
function golden(name: string): Buffer {
  return readFileSync(new URL(`./golden/${name}.golden`, import.meta.url));
}

function readerOf(bytes: Buffer, reads: [number, number][] = []): SegmentReader {
  return {
    sizeBytes: bytes.length,
    read: (position, length) => {
      reads.push([position, length]);
      return Promise.resolve(Buffer.from(bytes.subarray(position, position + length)));
    },
  };
}

function decode(bytes: Buffer, objectBytes = bytes.length): SegmentFooter {
  const decoded = decodeSegmentFooter(bytes, objectBytes);
  if (decoded.kind !== 'footer') throw new Error('longer');
  return decoded.footer;
}

async function dump(bytes: Buffer, records: boolean): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of formatSegmentDump(readerOf(bytes), { records })) lines.push(line);
  return lines;
}

const twoExtents: SegmentFooter = {
  extents: [
    {
      topicId: '6f1d2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b',
      partitionIndex: 0,
      position: 0,
      length: 115,
      recordCount: 3,
      batchCount: 1,
      firstTimestampMs: 1_700_000_000_000,
      maxTimestampMs: 1_700_000_000_250,
      crc32c: 0xf014193e,
      baseOffset: null,
    },
    {
      topicId: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
      partitionIndex: 5,
      position: 115,
      length: 140,
      recordCount: 2,
      batchCount: 2,
      firstTimestampMs: 1_700_000_000_000,
      maxTimestampMs: 1_700_000_009_999,
      crc32c: 0x715688bd,
      baseOffset: null,
    },
  ],
  writer: {
    nodeId: 7,
    incarnation: 2,
    birthMs: 1_700_000_000_123,
    segmentId: '0190c3f2-8e4b-7d21-9a6c-5b4f3e2d1c0a',
    softwareVersion: 'kafscale 0.1.0',
  },
};

describe('padding', () => {
  it('brings the object to a multiple of the size, and readers skip it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 255, max: 10_000 }), (bodyBytes) => {
        const padded = encodeSegmentFooter(twoExtents, { bodyBytes, sizeMultiple: 4096 });
        expect((bodyBytes + padded.length) % 4096).toBe(0);
        expect(padded.length).toBeLessThan(encodeSegmentFooter(twoExtents).length + 4096 + 8);
        expect(decode(padded, bodyBytes + padded.length)).toEqual(twoExtents);
      }),
    );
  });

  it('is never a piece of a section header', () => {
    const { length } = encodeSegmentFooter(twoExtents);
    for (let missing = 0; missing <= 9; missing += 1) {
      const bodyBytes = 8192 - length - missing;
      const padded = encodeSegmentFooter(twoExtents, { bodyBytes, sizeMultiple: 4096 });
      expect(padded.length).toBe(length + missing + (missing > 0 && missing < 8 ? 4096 : 0));
    }
  });
});

describe('the golden segments', () => {
  it('decode', () => {
    expect(decodeSegmentFooter(golden('two-extents'), 467)).toEqual({
      kind: 'footer',
      footer: twoExtents,
      bodyBytes: 255,
    });
  });

  it('are what the encoder writes', () => {
    const bytes = golden('two-extents');
    const ours = encodeSegmentFooter(twoExtents);
    expect(ours.toString('hex')).toBe(bytes.subarray(255).toString('hex'));
  });

  it('of a later version keep their meaning, and compacted ones have offsets', () => {
    const { extents, writer } = decode(golden('compacted-later'));
    expect(extents).toMatchObject([
      { partitionIndex: 12, position: 0, length: 115, baseOffset: 4_294_967_301 },
    ]);
    expect(writer.softwareVersion).toBe('kafscale 9.9.9');
  });

  it('with a batch index decode, and are what the encoder writes', () => {
    const bytes = golden('batch-index');
    const footer = decode(bytes);
    expect(footer.batchIndex).toEqual([
      { position: 0, baseOffset: 4_294_967_301, maxTimestampMs: 1_700_000_000_250 },
      { position: 115, baseOffset: 4_294_967_304, maxTimestampMs: 1_700_000_000_250 },
    ]);
    expect(encodeSegmentFooter(footer).toString('hex')).toBe(bytes.subarray(230).toString('hex'));
  });

  it('are the worked example of the specification', () => {
    const page = readFileSync(
      new URL('../../../../docs/segment-format.md', import.meta.url),
      'utf8',
    );
    const example = page.slice(page.indexOf('## A worked example'));
    const hex = [...example.matchAll(/^\| *\d+ \| `([0-9a-f ]+)` \|/gm)].map((match) => match[1]);
    expect(hex.join('').replaceAll(' ', '')).toBe(golden('one-extent').toString('hex'));
  });
});

describe('a footer', () => {
  const extent = fc.record({
    topicId: fc.uuid(),
    partitionIndex: fc.nat(),
    gap: fc.nat(1000),
    length: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    batchCount: fc.integer({ min: 1, max: 2 ** 31 }),
    moreRecords: fc.nat(),
    firstTimestampMs: fc.maxSafeInteger(),
    maxTimestampMs: fc.maxSafeInteger(),
    crc32c: fc.nat(2 ** 32 - 1),
    baseOffset: fc.maxSafeNat(),
  });
  const anyFooter = fc
    .record({
      isCompacted: fc.boolean(),
      indexStride: fc.integer({ min: 1, max: 100 }),
      parts: fc.array(extent, { minLength: 1, maxLength: 50 }),
      writer: fc.record({
        nodeId: fc.nat(),
        incarnation: fc.maxSafeNat(),
        birthMs: fc.maxSafeNat(),
        segmentId: fc.uuid(),
        softwareVersion: fc.string({ maxLength: 64 }),
      }),
    })
    .map(({ isCompacted, indexStride, parts, writer }) => {
      let position = 0;
      const extents = parts.map(({ gap, moreRecords, baseOffset, ...part }): SegmentExtent => {
        const at = position + gap;
        position = at + part.length;
        const recordCount = part.batchCount + moreRecords;
        return { ...part, position: at, recordCount, baseOffset: isCompacted ? baseOffset : null };
      });
      const batchIndex: BatchIndexEntry[] = [];
      for (let at = 0; at < Math.min(position, 1000); at += indexStride) {
        batchIndex.push({ position: at, baseOffset: at * 3, maxTimestampMs: at - 1 });
      }
      const footer = { extents, writer, ...(isCompacted && { batchIndex }) };
      return { footer, bodyBytes: position };
    });

  it('comes back as it went in', () => {
    fc.assert(
      fc.property(anyFooter, ({ footer, bodyBytes }) => {
        const bytes = encodeSegmentFooter(footer);
        expect(decodeSegmentFooter(bytes, bodyBytes + bytes.length)).toEqual({
          kind: 'footer',
          footer,
          bodyBytes,
        });
      }),
    );
  });

  it('that does not fit into the tail says how much to read', () => {
    const bytes = golden('two-extents');
    const needed = { kind: 'longer', tailBytes: 467 - 255 };
    expect(decodeSegmentFooter(bytes.subarray(-16), 467)).toEqual(needed);
    expect(decodeSegmentFooter(bytes.subarray(-211), 467)).toEqual(needed);
    expect(decodeSegmentFooter(bytes.subarray(-212), 467).kind).toBe('footer');
  });

  it('is read with one read, or two when it is large', async () => {
    const small: [number, number][] = [];
    await readSegmentFooter(readerOf(golden('two-extents'), small));
    expect(small).toEqual([[0, 467]]);

    const extents = Array.from({ length: 3000 }, (_, index) => ({
      ...twoExtents.extents[0]!,
      partitionIndex: index,
      position: index * 115,
    }));
    const tail = encodeSegmentFooter({ extents, writer: twoExtents.writer });
    const object = Buffer.concat([Buffer.alloc(3000 * 115), tail]);
    const large: [number, number][] = [];
    const footer = await readSegmentFooter(readerOf(object, large));
    expect(footer.extents).toHaveLength(3000);
    expect(large).toEqual([
      [object.length - 65_536, 65_536],
      [object.length - tail.length, tail.length],
    ]);
  });
});

describe('a damaged batch index', () => {
  const bytes = golden('batch-index');
  const index = bytes.length - 16 - 56;

  it.each<[string, (copy: Buffer) => void]>([
    ['another count', (copy) => copy.writeUInt32BE(3, index + 4)],
    ['short entries', (copy) => copy.writeUInt16BE(23, index + 2)],
    ['entries that go back', (copy) => copy.writeBigInt64BE(115n, index + 8)],
    ['an entry beyond the body', (copy) => copy.writeBigInt64BE(230n, index + 32)],
    ['a negative offset', (copy) => copy.writeBigInt64BE(-1n, index + 16)],
    ['an offset beyond 2^53', (copy) => copy.writeBigInt64BE(2n ** 53n, index + 16)],
  ])('is refused: %s', (_, change) => {
    const copy = Buffer.from(bytes);
    change(copy);
    let crc = ~0;
    for (const byte of copy.subarray(230, copy.length - 8)) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    copy.writeUInt32BE(~crc >>> 0, copy.length - 8);
    expect(() => decode(copy)).toThrow(expect.objectContaining({ code: 'SEGMENT_CORRUPT' }));
  });
});

describe('a damaged segment', () => {
  const bytes = golden('two-extents');
  const body = 255;
  const trailer = bytes.length - 16;

  /** With a change whose footer checksum is right again: only the check under test can object. */
  function resealed(change: (bytes: Buffer) => void): Buffer {
    const copy = Buffer.from(bytes);
    change(copy);
    let crc = ~0;
    for (const byte of copy.subarray(body, trailer + 8)) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    copy.writeUInt32BE(~crc >>> 0, trailer + 8);
    return copy;
  }
  const table = body + 8;
  const entry = table + 8;
  const secondEntry = entry + 60;
  const writerSection = secondEntry + 60;

  it.each<[string, Buffer, string, RegExp]>([
    ['nothing', Buffer.alloc(0), 'SEGMENT_UNRECOGNIZED', /does not end/],
    ['cut short', bytes.subarray(0, -1), 'SEGMENT_UNRECOGNIZED', /does not end/],
    ['other bytes', Buffer.alloc(100, 'x'), 'SEGMENT_UNRECOGNIZED', /does not end/],
    [
      'a later format',
      resealed((copy) => copy.writeUInt16BE(2, trailer + 4)),
      'SEGMENT_VERSION_UNSUPPORTED',
      /format 2/,
    ],
    [
      'an incompatible flag',
      resealed((copy) => copy.writeUInt16BE(1, trailer + 6)),
      'SEGMENT_VERSION_UNSUPPORTED',
      /flags 1/,
    ],
    [
      'a footer larger than the object',
      resealed((copy) => copy.writeUInt32BE(452, trailer)),
      'SEGMENT_CORRUPT',
      /452 bytes/,
    ],
    [
      'a footer larger than the limit',
      resealed((copy) => copy.writeUInt32BE(2 ** 32 - 1, trailer)),
      'SEGMENT_CORRUPT',
      /4294967295 bytes/,
    ],
    [
      'a section beyond the footer',
      resealed((copy) => copy.writeUInt32BE(9999, body + 4)),
      'SEGMENT_CORRUPT',
      /section 1 is longer/,
    ],
    [
      'no extent table',
      resealed((copy) => copy.writeUInt16BE(8, body)),
      'SEGMENT_CORRUPT',
      /has an extent table/,
    ],
    ['two writers', resealed((copy) => copy.writeUInt16BE(2, body)), 'SEGMENT_CORRUPT', /./],
    [
      'too many extents',
      resealed((copy) => copy.writeUInt32BE(20_001, table + 4)),
      'SEGMENT_CORRUPT',
      /20001 extents/,
    ],
    [
      'no extents',
      resealed((copy) => copy.writeUInt32BE(0, table + 4)),
      'SEGMENT_CORRUPT',
      /0 extents/,
    ],
    [
      'one extent fewer than bytes',
      resealed((copy) => copy.writeUInt32BE(1, table + 4)),
      'SEGMENT_CORRUPT',
      /count differ/,
    ],
    [
      'entries that are too short',
      resealed((copy) => copy.writeUInt16BE(59, table + 2)),
      'SEGMENT_CORRUPT',
      /59 bytes/,
    ],
    [
      'offsets promised but no room',
      resealed((copy) => copy.writeUInt16BE(1, table)),
      'SEGMENT_CORRUPT',
      /60 bytes/,
    ],
    [
      'overlapping extents',
      resealed((copy) => copy.writeUInt32BE(114, secondEntry + 28)),
      'SEGMENT_CORRUPT',
      /overlaps/,
    ],
    [
      'an extent beyond the body',
      resealed((copy) => copy.writeUInt32BE(141, secondEntry + 20)),
      'SEGMENT_CORRUPT',
      /beyond the body/,
    ],
    [
      'an empty extent',
      resealed((copy) => copy.writeUInt32BE(0, entry + 20)),
      'SEGMENT_CORRUPT',
      /empty extent/,
    ],
    [
      'a negative partition',
      resealed((copy) => copy.writeInt32BE(-1, entry + 16)),
      'SEGMENT_CORRUPT',
      /negative partition/,
    ],
    [
      'a negative position',
      resealed((copy) => copy.writeInt32BE(-1, entry + 24)),
      'SEGMENT_CORRUPT',
      /overlaps or goes back/,
    ],
    [
      'a huge position',
      resealed((copy) => copy.writeInt32BE(0x7fffffff, entry + 24)),
      'SEGMENT_CORRUPT',
      /beyond 2\^53/,
    ],
    [
      'no batches',
      resealed((copy) => copy.writeUInt32BE(0, entry + 36)),
      'SEGMENT_CORRUPT',
      /without batches/,
    ],
    [
      'fewer records than batches',
      resealed((copy) => copy.writeUInt32BE(0, entry + 32)),
      'SEGMENT_CORRUPT',
      /fewer records/,
    ],
    [
      'a version text beyond its section',
      resealed((copy) => copy.writeUInt16BE(15, writerSection + 8 + 36)),
      'SEGMENT_CORRUPT',
      /truncated writer/,
    ],
  ])('%s', (_, damaged, code, message) => {
    expect(() => decode(damaged)).toThrow(expect.objectContaining({ code }));
    expect(() => decode(damaged)).toThrow(message);
  });

  it('never passes with a flipped bit in its footer', () => {
    for (let bit = body * 8; bit < bytes.length * 8; bit += 1) {
      const copy = Buffer.from(bytes);
      copy[bit >> 3]! ^= 1 << (bit & 7);
      expect(() => decode(copy)).toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^SEGMENT_/) }),
      );
    }
  });

  it('of any bytes behind a right checksum gives a coded error or a footer', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 60 }), fc.nat(140), (noise, at) => {
        const copy = resealed((each) => each.set(noise, body + at));
        try {
          decode(copy);
        } catch (error) {
          expect((error as { code: string }).code).toMatch(/^SEGMENT_/);
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe('the batches of an extent', () => {
  it('are read window by window, larger than a window too', async () => {
    const value = Buffer.alloc(1_500_000, 'v');
    const plain = encodePlainBatch({ records: [{ timestampMs: 1, value }] });
    const large = encodePlainBatch({
      records: [{ timestampMs: 1, value: Buffer.alloc(6_000_000) }],
    });
    const bytes = Buffer.concat([plain, plain, plain, large, plain]);
    const { crc32c } = await import('@node-rs/crc32');
    const extent = {
      ...twoExtents.extents[0]!,
      position: 0,
      length: bytes.length,
      crc32c: crc32c(bytes),
    };
    const seen: number[] = [];
    const batches = readExtentBatches(readerOf(bytes), extent);
    let step = await batches.next();
    for (; step.done !== true; step = await batches.next()) {
      expect(step.value.crcMatches).toBe(true);
      seen.push(step.value.position, step.value.bytes.length);
    }
    expect(step.value).toBe(true);
    const p = plain.length;
    expect(seen).toEqual([0, p, p, p, 2 * p, p, 3 * p, large.length, 3 * p + large.length, p]);
  });
});

describe('a dump', () => {
  it('prints writer and extents', async () => {
    expect(await dump(golden('two-extents'), false)).toEqual([
      'segment 0190c3f2-8e4b-7d21-9a6c-5b4f3e2d1c0a  format v1  467 bytes  2 extents',
      'writer  node 7  incarnation 2  born 2023-11-14T22:13:20.123Z  kafscale 0.1.0',
      'extent  topic 6f1d2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b  partition 0  bytes 0+115  batches 1  records 3  first 2023-11-14T22:13:20.000Z  max 2023-11-14T22:13:20.250Z  crc32c f014193e',
      'extent  topic aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee  partition 5  bytes 115+140  batches 2  records 2  first 2023-11-14T22:13:20.000Z  max 2023-11-14T22:13:29.999Z  crc32c 715688bd',
    ]);
  });

  it('prints batches and records', async () => {
    const lines = await dump(golden('compacted-later'), true);
    expect(lines.slice(3)).toEqual([
      '  batch  byte 0  115 bytes  base offset 4294967301  records 3  none  max 2023-11-14T22:13:20.250Z  producer 4711 epoch 3 sequence 2147483646  crc 3f75211d ok',
      '    record 4294967301  2023-11-14T22:13:20.000Z  key "key-0"  value "value-0" "h"="1" "n"=null',
      '    record 4294967302  2023-11-14T22:13:20.250Z  key null  value "value-1"',
      '    record 4294967303  2023-11-14T22:13:19.000Z  key "key-2"  value null',
    ]);
  });

  it('goes on with the next extent when one is damaged', async () => {
    const bytes = golden('two-extents');
    bytes.writeInt8(9, 16); // magic of the first extent's batch
    bytes[254]! ^= 1; // last byte of the last batch: its count of headers
    const lines = await dump(bytes, true);
    expect(lines[3]).toBe('  ! BATCH_CORRUPT: no whole record batch at byte 0');
    expect(lines.at(-3)).toMatch(/crc [0-9a-f]{8} WRONG$/);
    expect(lines.at(-2)).toMatch(/^ {4}! RECORDS_CORRUPT/);
    expect(lines.at(-1)).toBe('  ! the extent does not match its crc32c');
  });
});

describe('the key of a segment', () => {
  const segmentId = '0190c3f2-8e4b-7d21-9a6c-5b4f3e2d1c0a';

  it('is spread by its last two digits', () => {
    expect(segmentKey(segmentId)).toBe(`v1/segments/0a/${segmentId}.seg`);
    expect(segmentKey(segmentId, 'a/b')).toBe(`a/b/v1/segments/0a/${segmentId}.seg`);
  });

  it('leads back to the segment', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.constantFrom('', 'p', 'a/b'), (id, prefix) => {
        expect(segmentIdFromKey(segmentKey(id, prefix))).toBe(id);
      }),
    );
    for (const key of [
      '',
      `v1/segments/0b/${segmentId}.seg`,
      `v1/segments/0a/${segmentId}.tmp`,
      `v1/segments/0a/${segmentId.toUpperCase()}.seg`,
      `xv1/segments/0a/${segmentId}.seg`,
      `v1/segments/0a/${segmentId}.seg/x`,
    ]) {
      expect(segmentIdFromKey(key)).toBeUndefined();
    }
  });
});
