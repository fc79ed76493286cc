import { OperatingError } from '@kafscale/core';
import { batchHeaderBytes, batchMagicAt, batchSizeAt } from './batch-header.js';

/**
 * The position just after the batch at `at`, or −1 when no whole v2 batch lies between `at` and
 * `end`. For loops over trusted bytes that must not allocate; never moves backwards.
 */
export function nextBatchPosition(buffer: Buffer, at: number, end: number): number {
  if (end - at < batchHeaderBytes) return -1;
  const sizeBytes = batchSizeAt(buffer, at);
  if (sizeBytes < batchHeaderBytes || sizeBytes > end - at) return -1;
  return batchMagicAt(buffer, at) === 2 ? at + sizeBytes : -1;
}

/**
 * Calls `visit` with the position and size of each of the concatenated batches, which must fill
 * `start` to `end` exactly: BATCH_CORRUPT otherwise (after the good ones have been visited).
 * `visit` returns false to stop early.
 */
export function forEachBatch(
  buffer: Buffer,
  visit: (at: number, sizeBytes: number) => boolean | void,
  start = 0,
  end = buffer.length,
): void {
  let at = start;
  while (at < end) {
    const next = nextBatchPosition(buffer, at, end);
    if (next === -1) {
      throw new OperatingError('BATCH_CORRUPT', `no whole record batch at byte ${at} of ${end}`);
    }
    if (visit(at, next - at) === false) return;
    at = next;
  }
}
