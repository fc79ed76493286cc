import { invariant, slabPartBytesMin, slabUnitBytes } from '@kafscale/core';

/**
 * How much memory a read of so many bytes gets: whole units of a slab, or where that is too little
 * for a part of one a power of two, or one and a half of it: few sizes, so that memory is found again.
 */
export function blockSizeOf(bytes: number): number {
  invariant(bytes > 0, 'a read has bytes');
  if (bytes > slabPartBytesMin * 0.75) return Math.ceil(bytes / slabUnitBytes) * slabUnitBytes;
  const power = 2 ** Math.ceil(Math.log2(bytes));
  return bytes <= power * 0.75 ? power * 0.75 : power;
}
