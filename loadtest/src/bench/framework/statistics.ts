import { invariant } from '@kafscale/core';

/** Middle, smallest and largest of some values. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spreadOf(values: readonly number[]): Spread {
  return {
    median: quantile(values, 0.5),
    min: Math.min(...values),
    max: Math.max(...values),
  };
}

/** Interpolated between the two nearest values. */
export function quantile(values: readonly number[], fraction: number): number {
  invariant(values.length > 0, 'there is something to take a quantile of');
  const sorted = values.toSorted((left, right) => left - right);
  const position = (sorted.length - 1) * fraction;
  const below = sorted[Math.floor(position)] ?? 0;
  const above = sorted[Math.ceil(position)] ?? below;
  return below + (above - below) * (position - Math.floor(position));
}

/**
 * The ratio of each run of one server to the run of the other that stood beside it, so that what
 * slows down the whole machine for a while slows down both.
 */
export function ratiosOfPairs(ours: readonly number[], theirs: readonly number[]): Spread {
  invariant(ours.length === theirs.length, 'both servers ran equally often');
  return spreadOf(ours.map((value, index) => value / (theirs[index] ?? Number.NaN)));
}
