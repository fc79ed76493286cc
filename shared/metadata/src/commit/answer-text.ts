import type { BatchAnswer, SegmentAnswer } from '@kafscale/cluster';
import { invariant } from '@kafscale/core';

/**
 * The stored answer of a segment: JSON, one array per extent: its log start offset, then per batch
 * the base offset, or the negated error code.
 */
export function encodeAnswer(answer: SegmentAnswer): string {
  invariant(answer.kind === 'committed', 'only a committed segment has a stored answer');
  return JSON.stringify(answer.extents.map(encodeExtent));
}

function encodeExtent(batches: readonly BatchAnswer[]): number[] {
  const items = [batches[0]?.logStartOffset ?? -1];
  for (const batch of batches) {
    invariant(batch.logStartOffset === items[0], 'a partition has one log start per commit');
    items.push(batch.errorCode === 0 ? batch.baseOffset : -batch.errorCode);
  }
  return items;
}

export function decodeAnswer(text: string): SegmentAnswer {
  const extents = JSON.parse(text) as number[][];
  return { kind: 'committed', extents: extents.map(decodeExtent) };
}

function decodeExtent([logStartOffset = -1, ...items]: number[]): BatchAnswer[] {
  return items.map((item) =>
    item < 0
      ? { errorCode: -item, baseOffset: -1, logStartOffset }
      : { errorCode: 0, baseOffset: item, logStartOffset },
  );
}
