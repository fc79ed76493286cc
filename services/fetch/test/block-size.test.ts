import { sizeClassOf, slabPartBytesMin, slabUnitBytes } from '@kafscale/core';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { blockSizeOf } from '../src/blocks/block-size.js';

it('has room for the read, at most half as much again', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1024, max: 8 * 1024 * 1024 }), (bytes) => {
      const size = blockSizeOf(bytes);
      expect(size).toBeGreaterThanOrEqual(bytes);
      expect(size).toBeLessThan(bytes * 1.5 + 1);
      expect(blockSizeOf(size)).toBe(size);
      if (size >= slabPartBytesMin) expect(size % slabUnitBytes).toBe(0);
    }),
  );
});

it('has few sizes below a part of a slab, which the pool has as well', () => {
  const sizes = new Set<number>();
  for (let bytes = 1024; bytes < slabPartBytesMin; bytes += 7) {
    const size = blockSizeOf(bytes);
    sizes.add(size);
    expect(sizeClassOf(size)).toBe(size);
  }
  expect(sizes.size).toBeLessThanOrEqual(2 * 6 + 1);
});
