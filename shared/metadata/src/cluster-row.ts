import { randomUUID } from 'node:crypto';

import type { Database } from './database.js';

/** Makes the rows that exist once per cluster. Concurrent starters make them once. */
export async function ensureCluster(database: Database, shardCount: number): Promise<void> {
  await database.transaction(async ({ sql, commitWith }) => {
    await commitWith([
      sql`
        INSERT INTO cluster (cluster_id, incarnation) VALUES (${randomClusterId()}, 1)
        ON CONFLICT DO NOTHING`,
      sql`INSERT INTO producer_ids (next_producer_id) VALUES (0) ON CONFLICT DO NOTHING`,
      sql`
        INSERT INTO shards (shard_id) SELECT generate_series(0, ${shardCount - 1}::int)
        ON CONFLICT DO NOTHING`,
    ]);
  });
}

/** 22 characters, as Kafka's `Uuid.randomUuid().toString()`. */
function randomClusterId(): string {
  const bytes = Buffer.from(randomUUID().replaceAll('-', ''), 'hex');
  const text = bytes.toString('base64url');
  // Kafka avoids a leading dash: command lines take it for an option.
  return text.startsWith('-') ? randomClusterId() : text;
}
