import { invariant } from '@kafscale/core';

/** A topic's retention.ms and retention.bytes; negative: unlimited. */
export interface RetentionPolicy {
  readonly retentionMs: number;
  readonly retentionBytes: number;
}

export interface TrimPartition {
  readonly partitionId: number;
  readonly logStartOffset: number;
  readonly nextOffset: number;
  /** Of all index rows, those below the log start included. */
  readonly sizeBytes: number;
}

/** An index row, as far as retention looks at it. */
export interface TrimExtent {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly length: number;
  /** Greatest record timestamp; of records without timestamps, when they were written. */
  readonly timestampMs: number;
}

export interface TrimDecision {
  /** Rows to delete: they end at or below the log start that everybody knows. */
  readonly deadExtents: number;
  readonly deadBytes: number;
  /** Their end; 0 when there are none. */
  readonly deadEndOffset: number;
  /** Where the log starts from now on. */
  readonly logStartOffset: number;
  /** There is, or may be, something left for another step. */
  readonly more: boolean;
  /** When the oldest row that stays expires, from now; Infinity: not by time, or none is left. */
  readonly dueInMs: number;
  /** How long ago the first row that goes should have gone by time. */
  readonly overdueMs: number;
}

/**
 * What retention does to one partition, given its first index rows in order. Pure.
 *
 * In two steps, so that no reader ever misses a row below a log start that it was not told of: what
 * has expired moves the log start now, and is deleted by the next step, after the feed has said so.
 *
 * Kafka: UnifiedLog.deleteRetentionMsBreachedSegments and deleteRetentionSizeBreachedSegments, with
 * extents for segments and without its exception for the active segment: extents are never appended
 * to. From the oldest on, up to the first that stays.
 */
export function decideTrim(
  partition: TrimPartition,
  extents: readonly TrimExtent[],
  policy: RetentionPolicy,
  how: { readonly nowMs: number; readonly isAll: boolean },
): TrimDecision {
  const { logStartOffset, nextOffset, sizeBytes } = partition;
  const { retentionMs, retentionBytes } = policy;
  const dead = extents.filter((extent) => extent.nextOffset <= logStartOffset);
  const deadBytes = dead.reduce((bytes, { length }) => bytes + length, 0);
  const alive = extents.slice(dead.length);
  let start = logStartOffset;
  let liveBytes = sizeBytes - deadBytes;
  let overdueMs = 0;
  let dueInMs = Infinity;
  let reachedEnd = how.isAll;
  for (const extent of alive) {
    const expiresInMs = retentionMs < 0 ? Infinity : extent.timestampMs + retentionMs - how.nowMs;
    const isTooMuch = retentionBytes >= 0 && liveBytes - extent.length >= retentionBytes;
    if (expiresInMs >= 0 && !isTooMuch) {
      reachedEnd = true;
      dueInMs = expiresInMs;
      break;
    }
    overdueMs = Math.max(overdueMs, -expiresInMs);
    start = extent.nextOffset;
    liveBytes -= extent.length;
  }
  invariant(liveBytes >= 0, 'the size of a partition is that of its index rows');
  invariant(start >= logStartOffset && start <= nextOffset, 'the log starts within itself');
  return {
    deadExtents: dead.length,
    deadBytes,
    deadEndOffset: dead.at(-1)?.nextOffset ?? 0,
    logStartOffset: start,
    more: start > logStartOffset || !reachedEnd,
    dueInMs,
    overdueMs,
  };
}
