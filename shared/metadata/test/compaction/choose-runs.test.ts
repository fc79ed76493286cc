import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  chooseGrowingRuns,
  type RowRange,
  type RunBounds,
  type RunRow,
  splitIntoRuns,
} from '../../src/compaction/choose-runs.js';

const rows = fc
  .array(
    fc.record({
      gap: fc.integer({ min: 0, max: 9 }).map((dice) => (dice === 0 ? 1 : 0)),
      records: fc.integer({ min: 1, max: 5 }),
      length: fc.integer({ min: 1, max: 100 }),
      maxTimestampMs: fc.integer({ min: 0, max: 1000 }),
    }),
    { maxLength: 40 },
  )
  .map((list): RunRow[] => {
    let offset = 0;
    return list.map(({ gap, length, maxTimestampMs, records }) => {
      const baseOffset = offset + gap;
      offset = baseOffset + records;
      return { baseOffset, nextOffset: offset, length, maxTimestampMs };
    });
  });
const bounds: fc.Arbitrary<RunBounds> = fc.record({
  rowsMax: fc.integer({ min: 1, max: 20 }),
  bytesMax: fc.integer({ min: 1, max: 1000 }),
  spanMsMax: fc.constantFrom(0, 300, Infinity),
});

function isRun(list: readonly RunRow[], limits: RunBounds): boolean {
  const times = list.map((row) => row.maxTimestampMs);
  return (
    list.every((row, index) => index === 0 || list[index - 1]!.nextOffset === row.baseOffset) &&
    (list.length === 1 ||
      (list.length <= limits.rowsMax &&
        sum(list) <= limits.bytesMax &&
        Math.max(...times) - Math.min(...times) <= limits.spanMsMax))
  );
}

function sum(list: readonly RunRow[]): number {
  return list.reduce((bytes, row) => bytes + row.length, 0);
}

function of(list: readonly RunRow[], { from, to }: RowRange): readonly RunRow[] {
  return list.slice(from, to);
}

function grows(list: readonly RunRow[]): boolean {
  return sum(list) >= 4 * Math.max(...list.map((row) => row.length));
}

describe('runs', () => {
  it('have no holes, keep their bounds, and are as few as that allows', () => {
    fc.assert(
      fc.property(rows, bounds, (list, limits) => {
        const runs = splitIntoRuns(list, limits);
        expect(runs.flatMap((run) => of(list, run))).toEqual(list);
        for (const [index, run] of runs.entries()) {
          expect(isRun(of(list, run), limits)).toBe(true);
          const next = list[run.to];
          if (next === undefined) expect(index).toBe(runs.length - 1);
          else expect(isRun([...of(list, run), next], limits)).toBe(false);
        }
      }),
    );
  });

  it('that are merged again grow at least fourfold, and none that would is left out', () => {
    fc.assert(
      fc.property(rows, bounds, (list, limits) => {
        const runs = chooseGrowingRuns(list, limits);
        let end = 0;
        for (const run of runs) {
          expect(run.from).toBeGreaterThanOrEqual(end);
          end = run.to;
          const chosen = of(list, run);
          expect(isRun(chosen, limits) && grows(chosen)).toBe(true);
        }
        if (runs.length > 0) return;
        for (let from = 0; from < list.length; from += 1) {
          for (let to = from + 2; to <= list.length; to += 1) {
            const some = list.slice(from, to);
            expect(isRun(some, limits) && grows(some)).toBe(false);
          }
        }
      }),
    );
  });

  it('end when everything has grown: a byte is rewritten a bounded number of times', () => {
    const limits = { rowsMax: 1000, bytesMax: 4096, spanMsMax: Infinity };
    let list: RunRow[] = [];
    let written = 0;
    for (let index = 0; index < 5000; index += 1) {
      const row = { baseOffset: index, nextOffset: index + 1, length: 1, maxTimestampMs: 0 };
      list.push(row);
      for (let runs = chooseGrowingRuns(list, limits); runs.length > 0;) {
        const [run] = runs;
        const merged = of(list, run!);
        written += sum(merged);
        list = [
          ...list.slice(0, run!.from),
          { ...merged[0]!, nextOffset: merged.at(-1)!.nextOffset, length: sum(merged) },
          ...list.slice(run!.to),
        ];
        runs = chooseGrowingRuns(list, limits);
      }
    }
    // log4(4096) = 6 times at most.
    expect(written).toBeLessThanOrEqual(6 * 5000);
    expect(list.length).toBeLessThan(40);
  });
});
