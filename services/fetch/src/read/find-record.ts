import {
  batchHeaderBytes,
  decodeRecords,
  emptyBatchHeader,
  readBatchHeader,
} from '@kafscale/codec';
import { invariant } from '@kafscale/core';
import type { LoadedExtent } from '../blocks/verify-extent.js';

export interface FoundRecord {
  readonly offset: number;
  readonly timestampMs: number;
}

/** What is looked for within an extent; records before the log start do not exist any more. */
export interface RecordWish {
  readonly logStartOffset: number;
  readonly timestampMs: number;
}

const header = emptyBatchHeader();

/**
 * The first record at or after a timestamp. Timestamps of records need not ascend, and the maximum
 * in a header is the producer's claim, so batch after batch is tried until one holds such a record.
 * Rejects as decodeRecords does.
 */
export async function findRecordAtOrAfter(
  loaded: LoadedExtent,
  wish: RecordWish,
): Promise<FoundRecord | null> {
  const { table } = loaded;
  for (let row = firstRow(loaded, wish.logStartOffset); row < table.count; row++) {
    if (table.maxTimestampAt(row) < wish.timestampMs) continue;
    const found = await findInBatch(loaded, row, wish);
    if (found !== null) return found;
  }
  return null;
}

/** The first of the records with the greatest timestamp of the extent. */
export async function findRecordOfMaxTimestamp(
  loaded: LoadedExtent,
  logStartOffset: number,
): Promise<FoundRecord | null> {
  const { table } = loaded;
  const first = firstRow(loaded, logStartOffset);
  let best = -1;
  for (let row = first; row < table.count; row++) {
    if (best === -1 || table.maxTimestampAt(row) > table.maxTimestampAt(best)) best = row;
  }
  if (best === -1) return null;
  let found: FoundRecord | null = null;
  await forEachRecord(loaded, best, (offset, timestampMs) => {
    if (offset < logStartOffset) return true;
    if (found === null || timestampMs > found.timestampMs) found = { offset, timestampMs };
    return true;
  });
  return found;
}

function firstRow({ table, extent }: LoadedExtent, logStartOffset: number): number {
  if (logStartOffset >= extent.nextOffset) return table.count;
  return logStartOffset <= extent.baseOffset ? 0 : table.rowOfOffset(logStartOffset);
}

async function findInBatch(
  loaded: LoadedExtent,
  row: number,
  wish: RecordWish,
): Promise<FoundRecord | null> {
  let found: FoundRecord | null = null;
  await forEachRecord(loaded, row, (offset, timestampMs) => {
    if (offset < wish.logStartOffset || timestampMs < wish.timestampMs) return true;
    found = { offset, timestampMs };
    return false;
  });
  return found;
}

/** `visit` says whether to go on. LogAppendTime: all records have the batch's time, unread. */
async function forEachRecord(
  loaded: LoadedExtent,
  row: number,
  visit: (offset: number, timestampMs: number) => boolean,
): Promise<void> {
  const { table, bytes } = loaded;
  const baseOffset = table.baseOffsetAt(row);
  const position = table.positionAt(row);
  invariant(bytes.length - position >= batchHeaderBytes, 'a batch has its header');
  const { isLogAppendTime, maxTimestampMs, recordCount } = readBatchHeader(bytes, position, header);
  if (isLogAppendTime) {
    for (let delta = 0; delta < recordCount; delta++) {
      if (!visit(baseOffset + delta, maxTimestampMs)) return;
    }
    return;
  }
  const { records } = await decodeRecords(bytes, position);
  for (const record of records) {
    if (!visit(baseOffset + record.offsetDelta, record.timestampMs)) return;
  }
}
