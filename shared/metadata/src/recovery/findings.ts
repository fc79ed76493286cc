import { limits } from '@kafscale/core';

/** The first of what was found, and how much there is. */
export interface Findings<T> {
  readonly total: number;
  readonly items: readonly T[];
}

/** Rows carry the total that `count(*) OVER ()` gives beside a LIMIT. */
export function listed<Row extends { readonly total: number }, T>(
  rows: readonly Row[],
  itemOf: (row: Row) => T,
): Findings<T> {
  return { total: rows[0]?.total ?? 0, items: rows.map(itemOf) };
}

export const listedMax = limits.checkFindingsPerKindMax;
