import type { Extent } from '@kafscale/cluster';
import {
  batchBaseOffsetAt,
  emptyBatchHeader,
  firstCorruptBatch,
  nextBatchPosition,
  readBatchHeader,
  stampBatch,
} from '@kafscale/codec';
import { type BatchTable, BatchTableBuilder } from './batch-table.js';
import type { BlockMemory } from './block-memory.js';

/** An extent in memory, verified, with the offsets and epoch of its batches stamped. */
export interface LoadedExtent {
  readonly extent: Extent;
  /** Exactly the extent's bytes. Nobody changes them any more: responses are views of them. */
  readonly bytes: Buffer;
  readonly table: BatchTable;
  /** What `bytes` is a view of; null: the garbage collector's. */
  readonly memory: BlockMemory | null;
}

export type Verdict =
  | { readonly kind: 'intact'; readonly loaded: LoadedExtent }
  | { readonly kind: 'damaged'; readonly reason: string };

// Filled and read between two awaits only, so one of each serves all loads.
const header = emptyBatchHeader();
const builder = new BatchTableBuilder();

/**
 * Walks the batches of an extent, checks each one's CRC-32C and that together they are as many
 * records as the extent's row says, and stamps base offsets and the leader epoch in place: they are
 * facts that no longer change, and the CRC does not cover them. Batches that were not accepted are
 * passed over: their bytes need not even be intact. `bytes` must be the caller's to change.
 */
export function verifyExtent(
  bytes: Buffer,
  extent: Extent,
  leaderEpoch: number,
  memory: BlockMemory | null = null,
): Verdict {
  if (bytes.length !== extent.length) {
    return damaged(`${bytes.length} bytes instead of ${extent.length}`);
  }
  const reason = findDamage(bytes, extent.skippedBatches);
  if (reason !== null) return damaged(reason);
  builder.start();
  let offset = extent.baseOffset;
  let ordinal = 0;
  let skippedCount = 0;
  let end: number;
  for (let at = 0; at < bytes.length; at = end) {
    end = nextBatchPosition(bytes, at, bytes.length);
    if (extent.skippedBatches[skippedCount] === ordinal++) {
      skippedCount++;
      continue;
    }
    if (extent.absoluteOffsets) {
      const found = batchBaseOffsetAt(bytes, at);
      if (found !== offset) return damaged(`offset ${found} instead of ${offset} at byte ${at}`);
    } else {
      stampBatch(bytes, at, offset, leaderEpoch);
    }
    const { maxTimestampMs, recordCount } = readBatchHeader(bytes, at, header);
    if (recordCount <= 0) return damaged(`${recordCount} records at byte ${at}`);
    builder.add({ baseOffset: offset, position: at, end, maxTimestampMs });
    offset += recordCount;
  }
  if (offset !== extent.nextOffset || skippedCount !== extent.skippedBatches.length) {
    return damaged(`it ends at offset ${offset} instead of ${extent.nextOffset}`);
  }
  return { kind: 'intact', loaded: { extent, bytes, table: builder.finish(offset), memory } };
}

/** Checks what lies between skipped batches in one go. */
function findDamage(bytes: Buffer, skippedBatches: readonly number[]): string | null {
  let runStart = 0;
  let ordinal = 0;
  let skippedCount = 0;
  let end: number;
  for (let at = 0; at < bytes.length; at = end) {
    end = nextBatchPosition(bytes, at, bytes.length);
    if (end === -1) return `no whole batch at byte ${at}`;
    if (skippedBatches[skippedCount] !== ordinal++) continue;
    skippedCount++;
    const corrupt = firstCorruptBatch(bytes, runStart, at);
    if (corrupt !== -1) return `CRC mismatch at byte ${corrupt}`;
    runStart = end;
  }
  const corrupt = firstCorruptBatch(bytes, runStart, bytes.length);
  return corrupt === -1 ? null : `CRC mismatch at byte ${corrupt}`;
}

function damaged(reason: string): Verdict {
  return { kind: 'damaged', reason };
}
