// Makes the golden index objects beside this file from docs/index-format.md alone, field by field and
// without our encoder. With --table it prints the worked example of that page.
import { writeFileSync } from 'node:fs';

function crc32c(bytes) {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

const hex = (text) => Buffer.from(text.replaceAll(/[- ]/g, ''), 'hex');
const int = (size) => (value) => {
  const bytes = Buffer.alloc(size);
  if (size === 8) bytes.writeBigInt64BE(BigInt(value));
  else bytes.writeIntBE(value, 0, size);
  return bytes;
};
const [i16, i32, i64] = [int(2), int(4), int(8)];
const bool = (value) => Buffer.from([value ? 1 : 0]);
const uvarint = (value) => {
  const bytes = [];
  let rest = value;
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
};
const bytes = (value) => Buffer.concat([uvarint(value.length + 1), value]);
const string = (text) => bytes(Buffer.from(text));
const none = Buffer.from([0]); // null, and no tagged fields

/** [bytes, meaning] of everything, in order. */
const array = (name, items) => [
  [uvarint(items.length + 1), `${items.length} ${name}`],
  ...items.flat(),
];

function object(kind, kindName, rows, version = 1) {
  const body = Buffer.concat(rows.map(([part]) => part));
  const head = Buffer.alloc(16);
  head.write('KIDX', 0, 'latin1');
  head.writeUInt16BE(version, 4);
  head.writeUInt16BE(kind, 6);
  head.writeUInt32BE(body.length, 8);
  head.writeUInt32BE(crc32c(Buffer.concat([head.subarray(0, 12), body])), 12);
  const headRows = [
    [head.subarray(0, 4), '`KIDX`'],
    [head.subarray(4, 6), `format version ${version}`],
    [head.subarray(6, 8), `kind ${kind}: ${kindName}`],
    [head.subarray(8, 12), `body of ${body.length} bytes`],
    [head.subarray(12, 16), 'CRC-32C'],
  ];
  return { bytes: Buffer.concat([head, body]), rows: [...headRows, ...rows] };
}

const topicId = '6f1d2b3c-4d5e-4f60-8a7b-9c0d1e2f3a4b';
const segmentId = '0190c3f2-8e4b-7d21-9a6c-5b4f3e2d1c0a';
const clusterId = 'AAECAwQFBgcICQoLDA0ODw';
const end = [none, 'no tagged fields'];

const entryHead = (sequence) => [
  [string(clusterId), `cluster ${clusterId}`],
  [i32(2), 'incarnation 2'],
  [i32(0), 'shard 0'],
  [i64(sequence), `sequence ${sequence}`],
  [i64(9), 'shard epoch 9'],
  [i64(41), 'feed sequence 41'],
  [i64(1700000000123), 'database time 1700000000123'],
  [string('kafscale 0.1.0'), 'software version'],
  [i64(3000), 'next producer id 3000'],
  [i64(1999), 'producer ids up to 1999 are from before a recovery'],
];

const partition = [
  [i32(5), 'partition id 5'],
  [hex(topicId), `topic ${topicId}`],
  [i32(0), 'partition 0'],
  [i32(1), 'leader epoch 1'],
  [i64(10), 'log start 10'],
  [i64(103), 'next offset 103'],
  [i64(1700000000100), 'greatest timestamp 1700000000100'],
  [i64(1999), 'producer state floor 1999'],
  ...array('leader epoch', [[[i32(1), 'epoch 1'], [i64(100), 'from offset 100'], end]]),
  end,
];
const segment = [
  [hex(segmentId), `segment ${segmentId}`],
  [i32(7), 'node 7'],
  [i32(2), 'incarnation 2'],
  [i64(1700000000000), 'born at 1700000000000'],
  [i64(1700000000090), 'committed at 1700000000090'],
  [i64(500), '500 bytes'],
  [bool(false), 'not merged'],
  [bytes(Buffer.from('[[10,100]]')), 'answer `[[10,100]]`'],
  end,
];
const extent = [
  [i32(5), 'partition id 5'],
  [i64(100), 'base offset 100'],
  [i64(103), 'next offset 103'],
  [hex(segmentId), `segment ${segmentId}`],
  [i64(0), 'position 0'],
  [i64(140), '140 bytes'],
  [i64(1700000000000), 'first timestamp 1700000000000'],
  [i64(1700000000100), 'greatest timestamp 1700000000100'],
  [bool(false), 'no absolute offsets'],
  ...array('skipped batch', [[[i32(1), 'batch 1']]]),
  end,
];

const manifest = object(2, 'manifest', [
  ...entryHead(12),
  [bool(false), 'not complete'],
  ...array('parts', []),
  ...array('topics', []),
  ...array('deleted topics', []),
  ...array('partition', [partition]),
  ...array('segment', [segment]),
  ...array('extent', [extent]),
  ...array('producers', []),
  ...array('groups', []),
  [none, 'no tagged fields of the records'],
  [none, 'no tagged fields of the entry'],
]);

const part = object(3, 'part', [
  ...array('topic', [
    [
      [hex(topicId), 'topic id'],
      [string('orders'), 'name'],
      [i64(1600000000000), 'created'],
      ...array('config', [[[string('retention.ms'), 'name'], [string('-1'), 'value'], end]]),
      end,
    ],
  ]),
  ...array('deleted topic', [[[hex('aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee'), 'topic id'], end]]),
  ...array('partitions', []),
  ...array('segments', []),
  ...array('extents', []),
  ...array('producer', [
    [
      [i32(5), 'partition id'],
      [i64(2001), 'producer id'],
      [i16(3), 'producer epoch'],
      ...array('batch', [
        [
          [i32(2147483647), 'first'],
          [i32(1), 'last'],
          [i64(100), 'offset'],
          [i64(-1), 'time'],
          end,
        ],
      ]),
      end,
    ],
  ]),
  ...array('groups', [
    [
      [string('readers'), 'group id'],
      [bool(false), 'not deleted'],
      [i32(4), 'generation'],
      [string('consumer'), 'protocol type'],
      [bool(false), 'not continued'],
      ...array('offset', [
        [
          [hex(topicId), 'topic id'],
          [i32(0), 'partition'],
          [i64(9223372036854775807n), 'offset'],
          [i32(-1), 'no leader epoch'],
          [bytes(Buffer.from([0, 0xff])), 'metadata'],
          end,
        ],
      ]),
      end,
    ],
    [
      [string('gone'), 'group id'],
      [bool(true), 'deleted'],
      [i32(0), 'generation'],
      [none, 'no protocol type'],
      [bool(false), 'not continued'],
      ...array('offsets', []),
      end,
    ],
  ]),
  end,
]);
const partId = '5d0c8f0e-3a4b-4c6d-9e8f-0a1b2c3d4e5f';

const snapshot = object(1, 'snapshot', [
  ...entryHead(11),
  [bool(true), 'complete'],
  ...array('part', [
    [
      [hex(partId), 'part id'],
      [i32(part.bytes.length), 'size'],
      [i64(part.bytes.readUInt32BE(12)), 'its CRC-32C'],
      end,
    ],
  ]),
  ...Array.from({ length: 7 }, () => [uvarint(1), 'none']),
  end,
  end,
]);

const claim = object(4, 'claim', [
  [string(clusterId), 'cluster'],
  [i32(3), 'incarnation'],
  [i64(1700000500000), 'when'],
  [i32(2), 'from incarnation'],
  [i32(0), 'shard'],
  [i64(12), 'sequence'],
  end,
]);

const objectId = '5d0c8f0e-3a4b-4c6d-9e8f-0a1b2c3d4e5f';

const coldManifest = object(
  2,
  'manifest',
  [
    ...entryHead(13),
    [bool(false), 'not complete'],
    ...array('part', []),
    ...Array.from({ length: 7 }, () => [uvarint(1), 'none']),
    ...array('cold range', [
      [
        [i32(5), 'partition id'],
        [i64(0), 'base offset'],
        [i64(7), 'next offset'],
        [hex(objectId), 'object'],
        [i32(2), 'extents'],
        end,
      ],
    ]),
    end,
    end,
  ],
  2,
);

const coldExtent = ([base, next], position, ordinals, flags) => [
  [i64(base), 'base offset'],
  [i64(next), 'next offset'],
  [i64(position), 'position'],
  [i64(70), 'length'],
  [i64(1700000000000), 'first timestamp'],
  [i64(1700000000100), 'greatest timestamp'],
  [i64(1700000000200), 'greatest so far'],
  [bool(flags.absolute), 'absolute offsets'],
  ...array(
    'ordinal',
    ordinals.map((ordinal) => [[i32(ordinal), 'not in the log']]),
  ),
  [hex(segmentId), 'segment'],
  [i32(-1), 'node'],
  [i32(2), 'incarnation'],
  [i64(1700000000300), 'birth'],
  [i64(1700000000400), 'committed'],
  [i64(4096), 'size'],
  [bool(flags.merged), 'merged'],
  [bool(flags.shared), 'shared'],
  end,
];

const coldRange = object(
  5,
  'cold range',
  [
    [hex(objectId), 'object'],
    [string(clusterId), 'cluster'],
    [hex(topicId), 'topic'],
    [i32(3), 'partition index'],
    [i32(5), 'partition id'],
    ...array('extent', [
      coldExtent([0, 4], 0, [], { absolute: true, merged: true, shared: false }),
      coldExtent([4, 7], 70, [1, 300], { absolute: false, merged: false, shared: true }),
    ]),
    end,
  ],
  2,
);

if (process.argv.includes('--table')) {
  let at = 0;
  for (const [row, meaning] of manifest.rows) {
    const text = row.toString('hex').replaceAll(/(..)(?=.)/g, '$1 ');
    process.stdout.write(`| ${at} | \`${text}\` | ${meaning} |\n`);
    at += row.length;
  }
} else {
  for (const [name, made] of Object.entries({
    manifest,
    part,
    snapshot,
    claim,
    'cold-manifest': coldManifest,
    'cold-range': coldRange,
  })) {
    writeFileSync(new URL(`./${name}.golden`, import.meta.url), made.bytes);
  }
}
