import { invariant } from '@kafscale/core';

/**
 * How much memory a read of so many bytes gets: a power of two, or one and a half of it. Reads are of
 * any length up to 8 MiB; with finer sizes what is idle is rarely of the size that is wanted, and
 * fresh memory costs a page fault per 4 KiB and garbage collections. The price is an eighth of the
 * cache on average, a third at most.
 */
export function blockSizeOf(bytes: number): number {
  invariant(bytes > 0, 'a read has bytes');
  const power = 2 ** Math.ceil(Math.log2(bytes));
  return bytes <= power * 0.75 ? power * 0.75 : power;
}
