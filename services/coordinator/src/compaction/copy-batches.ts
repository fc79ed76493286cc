import {
  batchBaseOffsetAt,
  batchCrcMatches,
  emptyBatchHeader,
  nextBatchPosition,
  readBatchHeader,
  stampBatch,
} from '@kafscale/codec';
import type { MergePiece } from './merge-reads.js';

// Filled and read between two awaits only, so one serves all.
const header = emptyBatchHeader();

/**
 * Copies the accepted batches of one row to their place, checks each one's CRC-32C and that together
 * they are the offsets that the row claims, and stamps base offset and leader epoch. Returns what is
 * wrong, or null. Damage must not spread: a reader of the old object would have found it too.
 */
export function copyBatches(source: Buffer, piece: MergePiece, target: Buffer): string | null {
  let offset = piece.baseOffset;
  let ordinal = 0;
  let skippedCount = 0;
  let written = piece.target;
  let end: number;
  for (let at = 0; at < source.length; at = end) {
    end = nextBatchPosition(source, at, source.length);
    if (end === -1) return `no whole batch at byte ${piece.position + at}`;
    if (piece.skippedBatches[skippedCount] === ordinal++) {
      skippedCount += 1;
      continue;
    }
    if (!batchCrcMatches(source, at)) return `CRC mismatch at byte ${piece.position + at}`;
    const { recordCount } = readBatchHeader(source, at, header);
    if (recordCount <= 0) return `${recordCount} records at byte ${piece.position + at}`;
    source.copy(target, written, at, end);
    if (!piece.isAbsolute) stampBatch(target, written, offset, piece.leaderEpoch);
    else if (batchBaseOffsetAt(source, at) !== offset) return `another offset than ${offset}`;
    offset += recordCount;
    written += end - at;
  }
  if (offset !== piece.nextOffset || skippedCount !== piece.skippedBatches.length) {
    return `it ends at offset ${offset} instead of ${piece.nextOffset}`;
  }
  piece.kept = written - piece.target;
  return null;
}
