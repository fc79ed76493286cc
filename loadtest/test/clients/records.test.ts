import { describe, expect, it } from 'vitest';
import { generateRecords } from '../../src/clients/records.js';
import type { RecordFeatures } from '../../src/clients/records.js';

const everything: RecordFeatures = {
  nullValues: true,
  emptyRecords: true,
  headers: 'record',
  binaryHeaders: true,
  nullHeaders: true,
  repeatedHeaders: true,
};
const options = { topic: 'logs', partitions: 6, count: 2_000, seed: 1, features: everything };

describe('generateRecords', () => {
  it('is the same for the same seed, and another for another', () => {
    const textOf = (seed: number): string =>
      JSON.stringify(generateRecords({ ...options, count: 300, seed }));
    expect(textOf(1)).toBe(textOf(1));
    expect(textOf(2)).not.toBe(textOf(1));
  });

  it('has every shape that it promises, in every partition', () => {
    const records = generateRecords(options);
    for (let partition = 0; partition < 6; partition += 1) {
      const own = records.filter((record) => record.partition === partition);
      expect(own.length).toBeGreaterThanOrEqual(333);
      expect(own.some(({ key }) => key === null)).toBe(true);
      expect(own.some(({ key }) => key !== null)).toBe(true);
    }
    expect(records.some(({ key }) => key?.length === 0)).toBe(true);
    expect(records.some(({ value }) => value === null)).toBe(true);
    expect(records.some(({ value }) => value?.length === 0)).toBe(true);
    expect(records.some(({ key, value }) => key === null && value?.length === 0)).toBe(true);
    expect(records.filter(({ value }) => (value?.length ?? 0) > 100_000).length).toBe(5);
    const headers = records.flatMap((record) => record.headers);
    expect(headers.some(({ value }) => value === null)).toBe(true);
    expect(headers.some(({ value }) => value?.length === 0)).toBe(true);
    expect(headers.some(({ value }) => value?.includes('日本語') === true)).toBe(true);
    expect(records.some((record) => record.headers.length === 0)).toBe(true);
    expect(
      records.some((record) => {
        const names = record.headers.map(({ name }) => name);
        return new Set(names).size < names.length;
      }),
    ).toBe(true);
  });

  it('leaves out what a client cannot express', () => {
    const records = generateRecords({
      ...options,
      features: {
        ...everything,
        nullValues: false,
        emptyRecords: false,
        headers: 'partition',
        nullHeaders: false,
      },
    });
    expect(records.every(({ value }) => value !== null)).toBe(true);
    expect(records.every(({ key, value }) => key !== null || value?.length !== 0)).toBe(true);
    expect(records.flatMap(({ headers }) => headers).every(({ value }) => value !== null)).toBe(
      true,
    );
    const sets = records.map(({ partition, headers }) => `${partition} ${headers.length}`);
    expect(new Set(sets).size).toBe(6);
  });
});
