import { describe, expect, it } from 'vitest';
import { Ledger } from '../../src/clients/ledger.js';
import type { ConsumedRecord, TestRecord } from '../../src/clients/records.js';

/** The checks of the checks: each way to lose, repeat, reorder or change a record must be noticed. */
const record = (partition: number, text: string): TestRecord => ({
  topic: 'logs',
  partition,
  key: Buffer.from(`key ${text}`),
  value: Buffer.from(text),
  headers: [{ name: 'name', value: Buffer.from(`header ${text}`) }],
});

const at = (offset: number, sent: TestRecord): ConsumedRecord => ({ ...sent, offset });

const [sentA, sentB, sentC, sentD] = [
  record(0, 'a'),
  record(1, 'b'),
  record(0, 'c'),
  record(0, 'd'),
] as const;
const sent = [sentA, sentB, sentC, sentD];
const [a, b, c, d] = [at(0, sentA), at(0, sentB), at(1, sentC), at(2, sentD)] as const;

function ledgerOf(records: readonly TestRecord[]): Ledger {
  const ledger = new Ledger();
  ledger.add(records);
  return ledger;
}

describe('Ledger', () => {
  it('is settled when every record was delivered, in several goes and any order of partitions', () => {
    const ledger = ledgerOf(sent);
    expect(ledger.pending).toBe(4);
    ledger.deliver([b, a]);
    expect(ledger.pending).toBe(2);
    ledger.deliver([c, d]);
    ledger.settle();
    expect(ledger.pending).toBe(0);
  });

  it('takes partitions from where the group was, also for records added later', () => {
    const ledger = ledgerOf(sent);
    ledger.deliver([a, b, c, d]);
    const more = record(1, 'e');
    ledger.add([more]);
    expect(() => ledger.settle()).toThrow(
      'logs[1]: offset 1 and what follows, up to 1, is missing',
    );
    ledger.deliver([at(1, more)]);
    ledger.settle();
  });

  it.each<[string, ConsumedRecord[], string]>([
    ['lost', [a, d], 'logs[0]: offset 2 came where 1 was next'],
    ['out of order', [a, b, d, c], 'logs[0]: offset 2 came where 1 was next'],
    ['twice', [a, c, c, d], 'logs[0]: offset 1 was delivered twice'],
    ['twice, under another offset', [a, at(1, sentA)], 'offset 1: key'],
    ['one too many', [a, c, d, at(3, sentA)], 'logs[0]: offset 3 was never produced'],
    ['of another partition', [at(0, record(2, 'a'))], 'logs[2]: offset 0 was never produced'],
    ['swapped', [at(0, sentC)], 'logs[0] offset 0: key'],
  ])('notices a record that is %s', (_, delivered, message) => {
    expect(() => ledgerOf(sent).deliver(delivered)).toThrow(message);
  });

  it.each<[string, Partial<ConsumedRecord>, string]>([
    ['a byte of the value', { value: Buffer.from('A') }, 'value: 1 bytes came back as 1'],
    ['the end of the value', { value: Buffer.from('ab') }, 'value: 1 bytes came back as 2'],
    ['an empty value for one', { value: Buffer.alloc(0) }, 'value: 1 bytes came back as 0'],
    ['no value for one', { value: null }, 'value: <61> came back as null'],
    ['no key for one', { key: null }, 'key: <6b65792061> came back as null'],
    ['no headers', { headers: [] }, 'headers ["name"] came back as []'],
    ['no header value', { headers: [{ name: 'name', value: null }] }, 'header name: <'],
    ['a header value', { headers: [{ name: 'name', value: Buffer.from('x') }] }, 'header name: 8'],
    ['a header name', { headers: [{ name: 'n', value: Buffer.from('header a') }] }, '["n"]'],
  ])('notices %s', (_, change, message) => {
    expect(() => ledgerOf(sent).deliver([{ ...a, ...change }])).toThrow(message);
  });

  it('tells null from empty', () => {
    const ledger = ledgerOf([{ ...sentA, key: Buffer.alloc(0), value: null }]);
    expect(() => ledger.deliver([{ ...a, key: null, value: null }])).toThrow(
      'key: <> came back as',
    );
    expect(() => ledger.deliver([{ ...a, key: Buffer.alloc(0), value: Buffer.alloc(0) }])).toThrow(
      'value: null came back as <>',
    );
  });

  it('knows whether what is pending has all come, however often', () => {
    const ledger = ledgerOf(sent);
    expect(ledger.isCoveredBy([a, a, b, c])).toBe(false);
    expect(ledger.isCoveredBy([a, c, a, b, d])).toBe(true);
    ledger.deliver([a, b, c]);
    expect(ledger.isCoveredBy([a, b, c])).toBe(false);
    expect(ledger.isCoveredBy([d])).toBe(true);
  });

  it('allows the same records again where it is told to, and only those', () => {
    const ledger = ledgerOf(sent);
    ledger.deliver([a, c, a, c, d], { repeats: true });
    expect(() => ledger.deliver([{ ...c, value: null }], { repeats: true })).toThrow(
      'again: value',
    );
    expect(ledger.pending).toBe(1);
  });
});
