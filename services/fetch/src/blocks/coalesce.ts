import { invariant } from '@kafscale/core';

/** A byte range of one segment. */
export interface ByteRange {
  readonly position: number;
  readonly length: number;
}

export interface CoalesceLimits {
  /** Longest range that is read for more than one member. */
  readonly lengthMax: number;
  /** Unwanted bytes between two members that are read along rather than asked for separately. */
  readonly gapMax: number;
}

export interface Run<T> extends ByteRange {
  /** By position. */
  readonly members: readonly T[];
}

/**
 * The longest run around `first` that one ranged read may cover: neighbours of the same segment
 * that touch it, or nearly do, are taken along while the limits hold.
 */
export function coalesce<T extends ByteRange>(
  first: T,
  candidates: readonly T[],
  limits: CoalesceLimits,
): Run<T> {
  const sorted = candidates.slice().sort((left, right) => left.position - right.position);
  const middle = sorted.indexOf(first);
  invariant(middle >= 0, 'the first of a run is among its candidates');
  let { position } = first;
  let end = first.position + first.length;
  let from = middle;
  let to = middle + 1;
  for (let next = sorted[to]; next !== undefined; next = sorted[to]) {
    const nextEnd = Math.max(end, next.position + next.length);
    if (next.position - end > limits.gapMax || nextEnd - position > limits.lengthMax) break;
    end = nextEnd;
    to++;
  }
  for (let next = sorted[from - 1]; next !== undefined; next = sorted[from - 1]) {
    const gap = position - (next.position + next.length);
    if (gap > limits.gapMax || end - next.position > limits.lengthMax) break;
    if (next.position + next.length > end) break;
    position = next.position;
    from--;
  }
  return { position, length: end - position, members: sorted.slice(from, to) };
}
