import { invariant } from '@kafscale/core';

/** An index row, as far as the choice looks at it. */
export interface RunRow {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly length: number;
  readonly maxTimestampMs: number;
}

/** What retention can live with: a merged row goes as a whole. */
export interface RunBounds {
  readonly rowsMax: number;
  readonly bytesMax: number;
  /** Most that the records of one row may differ in age, by the maximum timestamps of its parts. */
  readonly spanMsMax: number;
}

/** Rows `from` (inclusive) to `to` (exclusive). */
export interface RowRange {
  readonly from: number;
  readonly to: number;
}

/** Cuts rows, in offset order, into the longest runs without a hole that the bounds allow. Pure. */
export function splitIntoRuns(rows: readonly RunRow[], bounds: RunBounds): RowRange[] {
  const runs: RowRange[] = [];
  let from = 0;
  let extent = new RunExtent(bounds);
  for (const [index, row] of rows.entries()) {
    if (index > from && !extent.accepts(row)) {
      runs.push({ from, to: index });
      from = index;
      extent = new RunExtent(bounds);
    }
    extent.add(row);
  }
  if (rows.length > from) runs.push({ from, to: rows.length });
  return runs;
}

/**
 * Runs that are worth merging again: the result is at least four times as large as any of its rows.
 * So a byte that lives in rows of B bytes is rewritten at most log4(target / B) times, whatever the
 * order in which rows come. From the oldest on, the longest first. Pure.
 */
export function chooseGrowingRuns(rows: readonly RunRow[], bounds: RunBounds): RowRange[] {
  const chosen: RowRange[] = [];
  let from = 0;
  while (from < rows.length) {
    const to = longestGrowingRun(rows, from, bounds);
    if (to > from) chosen.push({ from, to });
    from = Math.max(to, from + 1);
  }
  return chosen;
}

const growthMin = 4;

function longestGrowingRun(rows: readonly RunRow[], from: number, bounds: RunBounds): number {
  const extent = new RunExtent(bounds);
  let to = from;
  let lengthMax = 0;
  for (let index = from; index < rows.length; index += 1) {
    const row = rows[index];
    invariant(row !== undefined, 'an index below the length');
    if (index > from && !extent.accepts(row)) break;
    extent.add(row);
    lengthMax = Math.max(lengthMax, row.length);
    if (extent.bytes >= growthMin * lengthMax) to = index + 1;
  }
  return to;
}

/** A run as it grows. */
class RunExtent {
  readonly #bounds: RunBounds;
  bytes = 0;
  #rowCount = 0;
  #nextOffset = 0;
  #timestampMin = Infinity;
  #timestampMax = -Infinity;

  constructor(bounds: RunBounds) {
    this.#bounds = bounds;
  }

  accepts(row: RunRow): boolean {
    const newest = Math.max(this.#timestampMax, row.maxTimestampMs);
    const oldest = Math.min(this.#timestampMin, row.maxTimestampMs);
    return (
      row.baseOffset === this.#nextOffset &&
      this.#rowCount < this.#bounds.rowsMax &&
      this.bytes + row.length <= this.#bounds.bytesMax &&
      newest - oldest <= this.#bounds.spanMsMax
    );
  }

  add(row: RunRow): void {
    this.bytes += row.length;
    this.#rowCount += 1;
    this.#nextOffset = row.nextOffset;
    this.#timestampMax = Math.max(this.#timestampMax, row.maxTimestampMs);
    this.#timestampMin = Math.min(this.#timestampMin, row.maxTimestampMs);
  }
}
