import { invariant } from '@kafscale/core';

import type { Database } from './database.js';

/**
 * The first of `count` producer ids that are never given out again. Ids of an answer that got lost
 * are not given out either.
 */
export async function allocateProducerIds(database: Database, count: number): Promise<number> {
  invariant(Number.isSafeInteger(count) && count > 0, 'a block of producer ids has a size');
  const rows = await database.write(
    (sql) => sql<{ first: number }[]>`
      UPDATE producer_ids SET next_producer_id = next_producer_id + ${count}
      RETURNING next_producer_id - ${count} AS first`,
  );
  const [row] = rows;
  invariant(row !== undefined, 'there is a row of producer ids');
  return row.first;
}
