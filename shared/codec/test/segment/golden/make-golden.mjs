// Makes the golden segments beside this file from docs/segment-format.md alone, field by field and
// without our encoder; their bodies are the batches that Apache Kafka wrote (../../batch/golden).
import { readFileSync, writeFileSync } from 'node:fs';

function crc32c(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

const batch = (name) => readFileSync(new URL(`../../batch/golden/${name}.golden`, import.meta.url));
const write = (name, bytes) => writeFileSync(new URL(`./${name}.golden`, import.meta.url), bytes);
const hex = (text) => Buffer.from(text.replaceAll(/[- ]/g, ''), 'hex');
const field = (size, value) => {
  const bytes = Buffer.alloc(size);
  if (size === 8) bytes.writeBigInt64BE(BigInt(value));
  else bytes.writeUIntBE(value, 0, size);
  return bytes;
};
const u16 = (value) => field(2, value);
const u32 = (value) => field(4, value);
const i64 = (value) => field(8, value);

const section = (type, bytes) => Buffer.concat([u16(type), u16(0), u32(bytes.length), bytes]);

function extent({ topic, partition, bytes, position, records, batches, first, max }, more = []) {
  return Buffer.concat([
    hex(topic),
    u32(partition),
    u32(bytes.length),
    i64(position),
    u32(records),
    u32(batches),
    i64(first),
    i64(max),
    u32(crc32c(bytes)),
    ...more,
  ]);
}

function writer(version, more = Buffer.alloc(0)) {
  const segmentId = hex('0190c3f2-8e4b-7d21-9a6c-5b4f3e2d1c0a');
  return section(
    2,
    Buffer.concat([
      u32(7),
      i64(2),
      i64(1700000000123),
      segmentId,
      u16(version.length),
      Buffer.from(version),
      more,
    ]),
  );
}

function segment(body, sections) {
  const footer = Buffer.concat(sections);
  const covered = Buffer.concat([footer, u32(footer.length), u16(1), u16(0)]);
  return Buffer.concat([body, covered, u32(crc32c(covered)), Buffer.from('KSEG')]);
}

const small = batch('small');
const appendTime = batch('append-time');
const topic = '6f1d2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b';
const append = { partition: 5, batches: 1, records: 1, first: 1700000000000, max: 1700000009999 };
const first = {
  topic,
  partition: 0,
  bytes: small,
  position: 0,
  records: 3,
  batches: 1,
  first: 1700000000000,
  max: 1700000000250,
};

// The worked example of docs/segment-format.md.
const one = extent({ ...append, topic, bytes: appendTime, position: 0 });
write(
  'one-extent',
  segment(appendTime, [
    section(1, Buffer.concat([u16(0), u16(60), u32(1), one])),
    writer('kafscale 0.1.0'),
  ]),
);

const twice = Buffer.concat([appendTime, appendTime]);
const second = extent({
  ...append,
  topic: 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
  bytes: twice,
  position: 115,
  batches: 2,
  records: 2,
});
write(
  'two-extents',
  segment(Buffer.concat([small, twice]), [
    section(1, Buffer.concat([u16(0), u16(60), u32(2), extent(first), second])),
    writer('kafscale 0.1.0'),
  ]),
);

// Compacted, and of a later version: an unknown section, an unknown flag, longer entries, a longer
// writer section. Today's reader must not mind any of it.
const compacted = Buffer.from(small);
compacted.writeBigInt64BE(4294967301n, 0);
compacted.writeInt32BE(3, 12);
const later = extent({ ...first, partition: 12, bytes: compacted }, [
  i64(4294967301),
  hex('deadbeef'),
]);
write(
  'compacted-later',
  segment(compacted, [
    section(9, Buffer.from('from the future')),
    section(1, Buffer.concat([u16(0x8001), u16(72), u32(1), later])),
    writer('kafscale 9.9.9', hex('0102')),
  ]),
);

// Compacted, with a batch index: two batches of an extent, a part each.
const parts = [
  { position: 0, offset: 4294967301, max: 1700000000250 },
  { position: 115, offset: 4294967304, max: 1700000000250 },
];
const follower = Buffer.from(compacted);
follower.writeBigInt64BE(4294967304n, 0);
const both = Buffer.concat([compacted, follower]);
const entries = parts.map(({ position, offset, max }) => [i64(position), i64(offset), i64(max)]);
const indexed = extent({ ...first, bytes: both, batches: 2, records: 6 }, [i64(4294967301)]);
write(
  'batch-index',
  segment(both, [
    section(1, Buffer.concat([u16(1), u16(68), u32(1), indexed])),
    writer('kafscale 0.1.0'),
    section(3, Buffer.concat([u16(0), u16(24), u32(2), ...entries.flat()])),
  ]),
);
