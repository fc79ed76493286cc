import { invariant } from '@kafscale/core';

import type { RowRange, RunBounds, RunRow } from './choose-runs.js';
import { mergeRowColumns } from './types.js';
import type { MergeRun } from './types.js';

/** The rows of one partition as the planning statements return them: one database row for all. */
export interface PartitionRows {
  readonly partition_id: number;
  readonly topic_id: string;
  readonly partition_index: number;
  readonly leader_epoch: number;
  /** The topic's own settings, or null. */
  readonly retention_ms: string | null;
  readonly retention_bytes: string | null;
  /** Comma-separated, {@link numbersPerRow} each, in offset order. */
  readonly numbers: string;
  /** JSON: by base offset, the ordinals of refused batches; null: none in any row. */
  readonly skipped: string | null;
}

const numbersPerRow = 7;
const sharesOfRetention = 24;
const retentionMsDefault = 7 * 24 * 60 * 60_000;

interface ParsedRow extends RunRow {
  readonly segment: number;
  readonly position: number;
  readonly isAbsolute: number;
}

/** The rows of one partition, parsed: text in one piece costs a fraction of a row each. */
export class PartitionMerge {
  readonly rows: readonly ParsedRow[];
  readonly #found: PartitionRows;
  readonly #skipped: Readonly<Record<string, readonly number[]>>;

  constructor(found: PartitionRows) {
    this.#found = found;
    this.rows = parseRows(found.numbers);
    this.#skipped =
      found.skipped === null
        ? {}
        : (JSON.parse(found.skipped) as Readonly<Record<string, readonly number[]>>);
  }

  /**
   * Retention deletes whole rows, so a row must not hold much more than it may keep: a 24th of the
   * promised time (7 hours of 7 days) and of the promised bytes.
   */
  bounds({ bytesMax, rowsMax }: Pick<RunBounds, 'bytesMax' | 'rowsMax'>): RunBounds {
    const retentionMs = Number(this.#found.retention_ms ?? retentionMsDefault);
    const retentionBytes = Number(this.#found.retention_bytes ?? -1);
    return {
      rowsMax,
      spanMsMax: retentionMs < 0 ? Infinity : Math.ceil(retentionMs / sharesOfRetention),
      bytesMax:
        retentionBytes < 0
          ? bytesMax
          : Math.min(bytesMax, Math.ceil(retentionBytes / sharesOfRetention)),
    };
  }

  run({ from, to }: RowRange): MergeRun {
    const rows = this.rows.slice(from, to);
    const [first] = rows;
    const last = rows.at(-1);
    invariant(first !== undefined && last !== undefined, 'a run has rows');
    const numbers = new Float64Array(rows.length * mergeRowColumns.count);
    const skippedBatches = new Map<number, readonly number[]>();
    let bytes = 0;
    for (const [index, row] of rows.entries()) {
      const at = index * mergeRowColumns.count;
      numbers[at + mergeRowColumns.nextOffset] = row.nextOffset;
      numbers[at + mergeRowColumns.segment] = row.segment;
      numbers[at + mergeRowColumns.position] = row.position;
      numbers[at + mergeRowColumns.length] = row.length;
      numbers[at + mergeRowColumns.isAbsolute] = row.isAbsolute;
      bytes += row.length;
      const skipped = this.#skipped[row.baseOffset];
      if (skipped !== undefined && skipped.length > 0) skippedBatches.set(index, skipped);
    }
    return {
      partitionId: this.#found.partition_id,
      topicId: this.#found.topic_id,
      partitionIndex: this.#found.partition_index,
      leaderEpoch: this.#found.leader_epoch,
      baseOffset: first.baseOffset,
      nextOffset: last.nextOffset,
      rowCount: rows.length,
      bytes,
      rows: numbers,
      skippedBatches,
    };
  }
}

function parseRows(text: string): ParsedRow[] {
  const numbers = JSON.parse(`[${text}]`) as number[];
  invariant(numbers.length % numbersPerRow === 0, 'rows are whole');
  const rows: ParsedRow[] = [];
  for (let at = 0; at < numbers.length; at += numbersPerRow) {
    rows.push({
      baseOffset: numbers[at] ?? 0,
      nextOffset: numbers[at + 1] ?? 0,
      segment: numbers[at + 2] ?? 0,
      position: numbers[at + 3] ?? 0,
      length: numbers[at + 4] ?? 0,
      maxTimestampMs: numbers[at + 5] ?? 0,
      isAbsolute: numbers[at + 6] ?? 0,
    });
  }
  return rows;
}
