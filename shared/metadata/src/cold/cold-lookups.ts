import type { Extent } from '@kafscale/cluster';

import type { Database, Sql } from '../database.js';
import {
  liveStart,
  selectExtentByTimestamp,
  selectExtentOfMaxTimestamp,
  selectExtents,
} from '../lookups.js';
import { selectColdRanges } from './select-cold.js';
import type { ColdRangeRow } from './types.js';

/** What rows and ranges say of one moment: a piece that moves between them is in one of them. */
interface ColdLookup {
  /** The offset that was asked for, or the log start. */
  readonly start: number;
  /** Those that reach beyond `start`, in offset order. */
  readonly ranges: readonly ColdRangeRow[];
}

/** null: there is no such partition. */
export function lookUpOffset(
  database: Database,
  request: { partitionId: number; offset: number; countMax: number },
): Promise<(ColdLookup & { readonly rows: readonly Extent[] }) | null> {
  const { offset, partitionId } = request;
  return atOneMoment(database, { partitionId, fromOffset: offset }, async (sql, start) => ({
    rows: await selectExtents(sql, { ...request, offset: start }),
  }));
}

/** `row`: the first row that reaches the timestamp, at or after `start`. */
export function lookUpTimestamp(
  database: Database,
  request: { partitionId: number; timestampMs: number; fromOffset: number },
): Promise<(ColdLookup & { readonly row: Extent | null }) | null> {
  return atOneMoment(database, request, async (sql, start) => ({
    row: await selectExtentByTimestamp(sql, { ...request, start }),
  }));
}

/** `row`: the first row with the greatest timestamp of all rows. */
export function lookUpMaxTimestamp(
  database: Database,
  partitionId: number,
): Promise<(ColdLookup & { readonly row: Extent | null }) | null> {
  return atOneMoment(database, { partitionId, fromOffset: 0 }, async (sql, start) => ({
    row: await selectExtentOfMaxTimestamp(sql, { partitionId, start }),
  }));
}

function atOneMoment<T>(
  database: Database,
  request: { partitionId: number; fromOffset: number },
  selectRows: (sql: Sql, start: number) => Promise<T>,
): Promise<(ColdLookup & T) | null> {
  const { fromOffset, partitionId } = request;
  return database.transaction(async ({ sql }) => {
    const [, start] = await Promise.all([
      // Sent at once, before the others: a statement waits until somebody waits for it.
      sql`SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY`.execute(),
      liveStart(sql, partitionId, fromOffset),
    ]);
    if (start === null) return null;
    const ranges = await selectColdRanges(sql, partitionId, start);
    return { start, ranges, ...(await selectRows(sql, start)) };
  });
}
