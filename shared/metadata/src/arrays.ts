import { invariant } from '@kafscale/core';

/**
 * PostgreSQL array literals, one per column of what a statement takes through unnest(): one
 * parameter per column whatever the number of rows, so the statement text never changes and stays
 * prepared.
 */
export function numberArray(values: readonly number[]): string {
  return `{${values.join(',')}}`;
}

/** For texts without quotes and backslashes as well as any others; null becomes NULL. */
export function textArray(values: readonly (string | null)[]): string {
  const items = values.map((value) => {
    if (value === null) return 'NULL';
    return `"${special.test(value) ? value.replaceAll(everySpecial, String.raw`\$&`) : value}"`;
  });
  return `{${items.join(',')}}`;
}

const special = /["\\]/;
const everySpecial = /["\\]/g;

/** The numbers of an int or bigint array as the server prints it; `null` is empty. */
export function parseNumberArray(text: string | null): number[] {
  if (text === null || text === '{}') return [];
  return text.slice(1, -1).split(',').map(Number);
}

/** The same of bigints, each of which must be exact as a number. */
export function parseSafeIntegers(text: string | null): number[] {
  const values = parseNumberArray(text);
  for (const value of values) {
    // Not `invariant(…)` at once: its message would be put together for every value.
    if (!Number.isSafeInteger(value)) invariant(false, `${value} is beyond 2^53`);
  }
  return values;
}
