import type { RecentSegmentView } from '@kafscale/cluster';
import { invariant } from '@kafscale/core';
import type { SealedSegment } from './sealed-segment.js';

/** One reader's hold of a segment in memory. Finds ranges in O(log n) of the segment's batches. */
export class SegmentView implements RecentSegmentView {
  readonly #segment: SealedSegment;
  readonly #onReleased: () => void;
  /** Positions in the object: where each batch that is in it ends, and which one that is. */
  readonly #ends: Float64Array;
  readonly #batchIndexes: Uint32Array;
  #isReleased = false;

  constructor(segment: SealedSegment, onReleased: () => void) {
    this.#segment = segment;
    this.#onReleased = onReleased;
    const { batches } = segment;
    const ends = new Float64Array(batches.length);
    const batchIndexes = new Uint32Array(batches.length);
    let count = 0;
    let end = 0;
    for (const [index, { length }] of batches.entries()) {
      if (segment.isCorrupt(index)) continue;
      end += length;
      ends[count] = end;
      batchIndexes[count] = index;
      count++;
    }
    this.#ends = ends.subarray(0, count);
    this.#batchIndexes = batchIndexes;
  }

  pieces(position: number, length: number): readonly Buffer[] | null {
    const ends = this.#ends;
    const end = position + length;
    let row = this.#rowAt(position);
    if (row === -1) return null;
    const pieces: Buffer[] = [];
    let chunkIndex = -1;
    let from = 0;
    let to = 0;
    for (; row < ends.length && (ends[row] ?? Infinity) <= end; row++) {
      const batch = this.#segment.batches[this.#batchIndexes[row] ?? -1];
      invariant(batch !== undefined, 'a row is of a batch');
      // Batches that lie in a row in memory as well are one piece.
      if (batch.chunk !== chunkIndex || batch.position !== to) {
        this.#add(pieces, chunkIndex, from, to);
        chunkIndex = batch.chunk;
        from = batch.position;
      }
      to = batch.position + batch.length;
    }
    this.#add(pieces, chunkIndex, from, to);
    return ends[row - 1] === end ? pieces : null;
  }

  release(): void {
    invariant(!this.#isReleased, 'a view is released once');
    this.#isReleased = true;
    this.#onReleased();
  }

  /** The batch that begins there, or −1. */
  #rowAt(position: number): number {
    if (position === 0) return 0;
    let low = 0;
    let high = this.#ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ends[middle] ?? 0) < position) low = middle + 1;
      else high = middle;
    }
    return this.#ends[low] === position ? low + 1 : -1;
  }

  #add(pieces: Buffer[], chunkIndex: number, from: number, to: number): void {
    if (to === from) return;
    const chunk = this.#segment.source.chunks[chunkIndex];
    invariant(chunk !== undefined, 'a segment that is looked at keeps its chunks');
    pieces.push(chunk.subarray(from, to));
  }
}
