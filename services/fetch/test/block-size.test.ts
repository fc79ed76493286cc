import { sizeClassOf } from '@kafscale/core';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { blockSizeOf } from '../src/blocks/block-size.js';

it('has room for the read, at most half as much again, in few sizes that the pool has as well', () => {
  const sizes = new Set<number>();
  fc.assert(
    fc.property(fc.integer({ min: 1024, max: 8 * 1024 * 1024 }), (bytes) => {
      const size = blockSizeOf(bytes);
      sizes.add(size);
      expect(size).toBeGreaterThanOrEqual(bytes);
      expect(size).toBeLessThan(bytes * 1.5 + 1);
      expect(sizeClassOf(size)).toBe(size);
      expect(blockSizeOf(size)).toBe(size);
    }),
  );
  expect(sizes.size).toBeLessThanOrEqual(2 * 13 + 1);
});
