import { limits } from '@kafscale/core';

/** `items` in pieces that one statement takes. */
export function* pagesOf<T>(
  items: readonly T[],
  countMax: number = limits.indexPageRowsMax,
): Generator<readonly T[], void> {
  for (let at = 0; at < items.length; at += countMax) yield items.slice(at, at + countMax);
}
