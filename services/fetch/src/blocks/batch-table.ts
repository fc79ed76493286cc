import { invariant } from '@kafscale/core';

/** One batch of the log within its extent. */
export interface BatchPlace {
  readonly baseOffset: number;
  /** Bytes from the extent's start. */
  readonly position: number;
  readonly end: number;
  readonly maxTimestampMs: number;
}

const columns = { baseOffset: 0, position: 1, end: 2, maxTimestamp: 3 } as const;
const columnCount = 4;

/**
 * The batches of one loaded extent that are part of the log, in one flat array: no object per batch.
 * Doubles hold every value exactly (offsets and timestamps are safe integers).
 */
export class BatchTable {
  readonly #rows: Float64Array;
  /** The offset after the last batch. */
  readonly nextOffset: number;

  constructor(rows: Float64Array, nextOffset: number) {
    invariant(rows.length > 0 && rows.length % columnCount === 0, 'a batch table has whole rows');
    this.#rows = rows;
    this.nextOffset = nextOffset;
  }

  get count(): number {
    return this.#rows.length / columnCount;
  }

  get memoryBytes(): number {
    return this.#rows.byteLength;
  }

  baseOffsetAt(row: number): number {
    return this.#valueAt(row, columns.baseOffset);
  }

  positionAt(row: number): number {
    return this.#valueAt(row, columns.position);
  }

  endAt(row: number): number {
    return this.#valueAt(row, columns.end);
  }

  maxTimestampAt(row: number): number {
    return this.#valueAt(row, columns.maxTimestamp);
  }

  /** The row of the batch that contains `offset`, which lies in the extent. O(log n). */
  rowOfOffset(offset: number): number {
    invariant(offset < this.nextOffset, 'the offset lies before the end of the extent');
    let low = 0;
    let high = this.count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if (this.baseOffsetAt(middle) <= offset) low = middle + 1;
      else high = middle - 1;
    }
    invariant(high >= 0, 'the offset lies in the extent');
    return high;
  }

  /** Bytes of log from the batch that contains `offset` on, skipped batches included. */
  bytesFrom(offset: number): number {
    return this.endAt(this.count - 1) - this.positionAt(this.rowOfOffset(offset));
  }

  #valueAt(row: number, column: number): number {
    const value = this.#rows[row * columnCount + column];
    invariant(value !== undefined, 'a row of a batch table exists');
    return value;
  }
}

/** Collects rows without garbage: one instance serves load after load. */
export class BatchTableBuilder {
  #rows = new Float64Array(64 * columnCount);
  #length = 0;

  start(): void {
    this.#length = 0;
  }

  add(place: BatchPlace): void {
    if (this.#length === this.#rows.length) {
      const grown = new Float64Array(this.#rows.length * 2);
      grown.set(this.#rows);
      this.#rows = grown;
    }
    this.#rows[this.#length + columns.baseOffset] = place.baseOffset;
    this.#rows[this.#length + columns.position] = place.position;
    this.#rows[this.#length + columns.end] = place.end;
    this.#rows[this.#length + columns.maxTimestamp] = place.maxTimestampMs;
    this.#length += columnCount;
  }

  finish(nextOffset: number): BatchTable {
    return new BatchTable(this.#rows.slice(0, this.#length), nextOffset);
  }
}
