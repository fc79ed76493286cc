import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { copyInto } from '../src/copy-into.js';

const sizeBytes = 16 * 1024;

describe.each([
  ['shared', 'own'],
  ['own', 'shared'],
  ['shared', 'shared'],
  ['own', 'own'],
])('copying from %s to %s memory', (from, to) => {
  const memory = (kind: string) =>
    Buffer.from(kind === 'shared' ? new SharedArrayBuffer(sizeBytes) : new ArrayBuffer(sizeBytes));

  it.each([0, 1, 100, 4096, 9001])('copies %s bytes, and those only', (length) => {
    const source = memory(from);
    randomBytes(sizeBytes).copy(source);
    const target = memory(to).fill(7);
    copyInto(source.subarray(3, 3 + length), target, 1000);
    const expected = Buffer.alloc(sizeBytes, 7);
    source.copy(expected, 1000, 3, 3 + length);
    expect(target.equals(expected)).toBe(true);
  });

  it.each([100, 9001])('refuses %s bytes that have no room', (length) => {
    const source = memory(from).subarray(0, length);
    expect(() => copyInto(source, memory(to), sizeBytes - length + 1)).toThrow(RangeError);
  });
});
