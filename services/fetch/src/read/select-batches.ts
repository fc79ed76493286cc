import { invariant } from '@kafscale/core';
import type { LoadedExtent } from '../blocks/verify-extent.js';

export interface SelectOptions {
  /** The selection starts with the batch that contains it. */
  readonly offset: number;
  readonly bytesMax: number;
  /** KIP-74: take the first batch even if it is larger than `bytesMax`. */
  readonly atLeastOne: boolean;
}

export interface SelectedBatches {
  /** Views of the loaded extents. */
  readonly chunks: readonly Buffer[];
  readonly bytes: number;
  /** The offset after the last selected batch; the asked one if there is none. */
  readonly nextOffset: number;
}

/** Whole batches from consecutive extents, as many as fit. Copies nothing. */
export function selectBatches(
  extents: readonly LoadedExtent[],
  options: SelectOptions,
): SelectedBatches {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let { offset } = options;
  for (const loaded of extents) {
    const { table } = loaded;
    invariant(offset >= loaded.extent.baseOffset, 'extents are consecutive');
    const bytesLeft = options.bytesMax - bytes;
    const atLeastOne = options.atLeastOne && bytes === 0;
    const endRow = lastRow(loaded, { offset, bytesMax: bytesLeft, atLeastOne });
    for (let row = table.rowOfOffset(offset); row < endRow;) {
      const start = table.positionAt(row);
      let end = table.endAt(row);
      // Batches that were not accepted lie between two accepted ones as a hole.
      for (row++; row < endRow && table.positionAt(row) === end; row++) end = table.endAt(row);
      addViews(chunks, loaded.pieces, start, end);
      bytes += end - start;
      offset = row < table.count ? table.baseOffsetAt(row) : table.nextOffset;
    }
    if (endRow < table.count) break;
  }
  return { chunks, bytes, nextOffset: offset };
}

/** The bytes of an extent from `start` to `end`. */
function addViews(chunks: Buffer[], pieces: readonly Buffer[], start: number, end: number): void {
  let position = 0;
  for (const piece of pieces) {
    const from = Math.max(start, position) - position;
    const to = Math.min(end, position + piece.length) - position;
    if (from < to) chunks.push(piece.subarray(from, to));
    position += piece.length;
    if (position >= end) return;
  }
}

/** The row after the last one that fits. */
function lastRow({ table }: LoadedExtent, options: SelectOptions): number {
  const first = table.rowOfOffset(options.offset);
  let bytes = 0;
  let row = first;
  for (; row < table.count; row++) {
    bytes += table.endAt(row) - table.positionAt(row);
    if (bytes > options.bytesMax && !(options.atLeastOne && row === first)) break;
  }
  return row;
}
