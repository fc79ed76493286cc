import { describe, expect, it } from 'vitest';
import { KcatOutput } from '../../src/clients/kcat-output.js';
import type { ConsumedRecord } from '../../src/clients/records.js';

/** Three records as kcat prints them: binary with a new line in it, null, and empty. */
const printed = Buffer.concat([
  Buffer.from('logs 3 17 2 4\nk\n'),
  Buffer.from([0x0a, 0x00, 0xff, 0x0a]),
  Buffer.from('a=x=y,b=\n'),
  Buffer.from('logs 0 18 -1 -1\n\n'),
  Buffer.from('logs 0 19 0 0\nname=é\n'),
]);

const records: ConsumedRecord[] = [
  {
    topic: 'logs',
    partition: 3,
    offset: 17,
    key: Buffer.from('k\n'),
    value: Buffer.from([0x0a, 0x00, 0xff, 0x0a]),
    headers: [
      { name: 'a', value: Buffer.from('x=y') },
      { name: 'b', value: Buffer.alloc(0) },
    ],
  },
  { topic: 'logs', partition: 0, offset: 18, key: null, value: null, headers: [] },
  {
    topic: 'logs',
    partition: 0,
    offset: 19,
    key: Buffer.alloc(0),
    value: Buffer.alloc(0),
    headers: [{ name: 'name', value: Buffer.from('é') }],
  },
];

describe('KcatOutput', () => {
  it.each([1, 2, 3, 7, 1000])('parses what comes in pieces of %d bytes', (size) => {
    const parsed: ConsumedRecord[] = [];
    const output = new KcatOutput((record) => parsed.push(record));
    for (let start = 0; start < printed.length; start += size) {
      output.push(printed.subarray(start, start + size));
    }
    expect(parsed).toEqual(records);
  });

  it('refuses what is not a record', () => {
    const output = new KcatOutput(() => {});
    expect(() => output.push(Buffer.from('% ERROR: no\n'))).toThrow('kcat printed a record');
  });
});
