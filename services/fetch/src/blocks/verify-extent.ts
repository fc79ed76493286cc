import type { Extent } from '@kafscale/cluster';
import {
  batchBaseOffsetAt,
  emptyBatchHeader,
  firstCorruptBatch,
  nextBatchPosition,
  readBatchHeader,
  stampBatch,
} from '@kafscale/codec';
import type { PooledMemory } from '@kafscale/core';
import { type BatchTable, BatchTableBuilder } from './batch-table.js';

/** An extent in memory, verified, with the offsets and epoch of its batches stamped. */
export interface LoadedExtent {
  readonly extent: Extent;
  /** Exactly the extent's bytes, whole batches each. Nobody changes them: responses are views. */
  readonly pieces: readonly Buffer[];
  /** All of them in a row: a copy if there are several. */
  readonly bytes: Buffer;
  readonly table: BatchTable;
  /** What `bytes` is a view of; null: the garbage collector's. */
  readonly memory: PooledMemory | null;
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
 * passed over: their bytes need not even be intact. The bytes must be the caller's to change; they may
 * lie in several pieces of whole batches.
 */
export function verifyExtent(
  bytes: Buffer | readonly Buffer[],
  extent: Extent,
  leaderEpoch: number,
  memory: PooledMemory | null = null,
): Verdict {
  const pieces = Buffer.isBuffer(bytes) ? [bytes] : bytes;
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (length !== extent.length) return damaged(`${length} bytes instead of ${extent.length}`);
  builder.start();
  const walk: Walk = { offset: extent.baseOffset, ordinal: 0, skippedCount: 0, position: 0 };
  for (const piece of pieces) {
    // A look ahead: what is stamped below is in the range whose sum is taken here.
    const reason =
      findDamage(piece, extent.skippedBatches, walk) ??
      stampPiece(piece, extent, leaderEpoch, walk);
    if (reason !== null) return damaged(reason);
    walk.position += piece.length;
  }
  const { offset, skippedCount } = walk;
  if (offset !== extent.nextOffset || skippedCount !== extent.skippedBatches.length) {
    return damaged(`it ends at offset ${offset} instead of ${extent.nextOffset}`);
  }
  const table = builder.finish(offset);
  return { kind: 'intact', loaded: loadedExtent({ extent, pieces, table, memory }) };
}

/** Where in an extent the next piece begins. */
interface Walk {
  offset: number;
  /** Of the next batch. */
  ordinal: number;
  skippedCount: number;
  position: number;
}

function loadedExtent(parts: Omit<LoadedExtent, 'bytes'>): LoadedExtent {
  const [first, second] = parts.pieces;
  if (first !== undefined && second === undefined) return { ...parts, bytes: first };
  return {
    ...parts,
    get bytes() {
      return Buffer.concat(this.pieces);
    },
  };
}

/** Gives the batches of a piece their offsets, and lists them. What is wrong, or null. */
function stampPiece(piece: Buffer, extent: Extent, leaderEpoch: number, walk: Walk): string | null {
  let end: number;
  for (let at = 0; at < piece.length; at = end) {
    end = nextBatchPosition(piece, at, piece.length);
    const position = walk.position + at;
    if (extent.skippedBatches[walk.skippedCount] === walk.ordinal++) {
      walk.skippedCount++;
      continue;
    }
    if (extent.absoluteOffsets) {
      const found = batchBaseOffsetAt(piece, at);
      if (found !== walk.offset) {
        return `offset ${found} instead of ${walk.offset} at byte ${position}`;
      }
    } else {
      stampBatch(piece, at, walk.offset, leaderEpoch);
    }
    const { maxTimestampMs, recordCount } = readBatchHeader(piece, at, header);
    if (recordCount <= 0) return `${recordCount} records at byte ${position}`;
    builder.add({
      baseOffset: walk.offset,
      position,
      end: walk.position + end,
      maxTimestampMs,
    });
    walk.offset += recordCount;
  }
  return null;
}

/** Checks what lies between skipped batches in one go. Does not move the walk. */
function findDamage(
  piece: Buffer,
  skippedBatches: readonly number[],
  walk: Readonly<Walk>,
): string | null {
  let { ordinal, skippedCount } = walk;
  let runStart = 0;
  let end: number;
  for (let at = 0; at < piece.length; at = end) {
    end = nextBatchPosition(piece, at, piece.length);
    if (end === -1) return `no whole batch at byte ${walk.position + at}`;
    if (skippedBatches[skippedCount] !== ordinal++) continue;
    skippedCount++;
    const corrupt = firstCorruptBatch(piece, runStart, at);
    if (corrupt !== -1) return `CRC mismatch at byte ${walk.position + corrupt}`;
    runStart = end;
  }
  const corrupt = firstCorruptBatch(piece, runStart, piece.length);
  return corrupt === -1 ? null : `CRC mismatch at byte ${walk.position + corrupt}`;
}

function damaged(reason: string): Verdict {
  return { kind: 'damaged', reason };
}
