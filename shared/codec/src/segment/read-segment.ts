import { invariant, limits, OperatingError } from '@kafscale/core';
import { crc32c } from '@node-rs/crc32';
import {
  batchCrcMatches,
  batchHeaderBytes,
  type BatchHeader,
  batchSizeAt,
  readBatchHeader,
} from '../batch/batch-header.js';
import { nextBatchPosition } from '../batch/walk-batches.js';
import { decodeSegmentFooter } from './decode-segment-footer.js';
import type { SegmentExtent, SegmentFooter } from './segment-footer.js';

/** A segment object as bytes; an object store or a file stands behind it. */
export interface SegmentReader {
  readonly sizeBytes: number;
  /** Exactly `length` bytes from `position`, or a rejection. */
  read(position: number, length: number): Promise<Buffer>;
}

export interface SegmentBatch {
  /** In the object. */
  readonly position: number;
  readonly header: BatchHeader;
  readonly crcMatches: boolean;
  /** The whole batch; a view, valid until the next step of the iteration. */
  readonly bytes: Buffer;
}

const windowBytes = 4 * 1024 * 1024;

/** One read when the footer fits into limits.segmentTailBytes, else two. */
export async function readSegmentFooter(reader: SegmentReader): Promise<SegmentFooter> {
  const first = await readTail(reader, limits.segmentTailBytes);
  if (first.kind === 'footer') return first.footer;
  const second = await readTail(reader, first.tailBytes);
  invariant(second.kind === 'footer', 'a tail of the length asked for holds the footer');
  return second.footer;
}

async function readTail(
  reader: SegmentReader,
  tailBytes: number,
): Promise<ReturnType<typeof decodeSegmentFooter>> {
  const length = Math.min(tailBytes, reader.sizeBytes);
  return decodeSegmentFooter(
    await reader.read(reader.sizeBytes - length, length),
    reader.sizeBytes,
  );
}

/**
 * The batches of one extent in order, a window of the object in memory at a time. Returns whether
 * the extent's own checksum matches; throws BATCH_CORRUPT where the batches stop making sense.
 */
export async function* readExtentBatches(
  reader: SegmentReader,
  extent: SegmentExtent,
): AsyncGenerator<SegmentBatch, boolean> {
  const end = extent.position + extent.length;
  let position = extent.position;
  let wantedBytes = windowBytes;
  let crc = 0;
  while (position < end) {
    // oxlint-disable-next-line no-await-in-loop
    const window = await reader.read(position, Math.min(wantedBytes, end - position));
    let at = 0;
    for (;;) {
      const next = nextBatchPosition(window, at, window.length);
      if (next === -1) break;
      yield {
        position: position + at,
        header: readBatchHeader(window, at),
        crcMatches: batchCrcMatches(window, at),
        bytes: window.subarray(at, next),
      };
      at = next;
    }
    wantedBytes = at === 0 ? largerWindow(window, position, end) : windowBytes;
    crc = crc32c(window.subarray(0, at), crc);
    position += at;
  }
  return crc === extent.crc32c;
}

/** The window began with a batch that does not end in it: its size, if that can be. */
function largerWindow(window: Buffer, position: number, end: number): number {
  const sizeBytes = window.length < batchHeaderBytes ? -1 : batchSizeAt(window, 0);
  if (sizeBytes <= window.length || sizeBytes > end - position) {
    throw new OperatingError('BATCH_CORRUPT', `no whole record batch at byte ${position}`);
  }
  return sizeBytes;
}
