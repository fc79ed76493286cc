import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Extent } from '@kafscale/cluster';

import { batchOf, CommitFixture } from './support/commits.js';
import { useTestDatabases } from './support/test-databases.js';

const databases = useTestDatabases();

/** One partition with one extent per timestamp, of 1 to 3 records, cut off at `logStart`. */
async function partitionOf(
  f: CommitFixture,
  timestamps: readonly number[],
  truncateTo: number,
): Promise<{ partitionId: number; extents: readonly Extent[]; logStart: number }> {
  const topic = await f.store.createTopic(f.lease, {
    name: `t${Math.random()}`,
    partitionCount: 1,
    configs: new Map(),
  });
  const { partitionId } = topic.partitions[0]!;
  const segments = timestamps.map((maxTimestampMs, index) =>
    f.segment([[partitionId, batchOf((index % 3) + 1, { maxTimestampMs })]]),
  );
  const extents: Extent[] = [];
  for (let index = 0; index < segments.length; index += 20) {
    const group = segments.slice(index, index + 20);
    extents.push(...(await f.store.commitSegments(f.lease, group)).extents);
  }
  const end = extents.at(-1)?.nextOffset ?? 0;
  const logStart = Math.min(truncateTo, end);
  await f.store.database.write(
    (sql) =>
      sql`UPDATE partitions SET log_start_offset = ${logStart} WHERE partition_id = ${partitionId}`,
  );
  return { partitionId, extents, logStart };
}

describe('lookups', () => {
  it('find what a walk over the live extents finds', async () => {
    const f = await CommitFixture.create(await databases.openStore());
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: -1, max: 20 }), { maxLength: 30 }),
        fc.integer({ min: 0, max: 40 }),
        fc.boolean(),
        async (timestamps, truncateTo, purged) => {
          const { partitionId, extents, logStart } = await partitionOf(f, timestamps, truncateTo);
          if (purged) {
            await f.store.database.write(
              (sql) => sql`
                DELETE FROM extents
                WHERE partition_id = ${partitionId} AND next_offset <= ${logStart}`,
            );
          }
          const live = extents.filter((extent) => extent.nextOffset > logStart);
          for (const offset of [0, logStart, logStart + 1, 13, 1000]) {
            const from = Math.max(offset, logStart);
            expect(await f.store.findExtents(partitionId, offset, 4)).toEqual(
              live.filter((extent) => extent.nextOffset > from).slice(0, 4),
            );
          }
          for (const timestampMs of [-1, 0, 7, 15, 20, 21]) {
            expect(await f.store.findExtentByTimestamp(partitionId, timestampMs)).toEqual(
              live.find((extent) => extent.maxTimestampMs >= timestampMs) ?? null,
            );
            expect(await f.store.findExtentByTimestamp(partitionId, timestampMs, 9)).toEqual(
              live.find(
                (extent) => extent.nextOffset > 9 && extent.maxTimestampMs >= timestampMs,
              ) ?? null,
            );
          }
          const greatest = Math.max(...live.map((extent) => extent.maxTimestampMs));
          expect(await f.store.findExtentOfMaxTimestamp(partitionId)).toEqual(
            live.find((extent) => extent.maxTimestampMs === greatest) ?? null,
          );
        },
      ),
      { numRuns: 25 },
    );
  });

  it('do not grow with the depth of the partition', async () => {
    const url = await databases.createUrl();
    const f = await CommitFixture.create(await databases.openStore({ url }));
    const p = f.partitionId();
    const segmentId = f.segment([[p, batchOf(1)]]).segmentId;
    // 50,000 rows of history, written as commits would have.
    await databases.query(
      url,
      `INSERT INTO segments VALUES ('${segmentId}', 0, ${f.node.nodeId}, 1, 1, now(), 1, 50000, '[]');
       INSERT INTO extents SELECT ${p}, n * 10, n * 10 + 10, '${segmentId}', 0, 1, NULL, n, n, n, false
         FROM generate_series(0, 49999) n;
       ALTER TABLE extents SET (autovacuum_enabled = false);
       UPDATE partitions SET next_offset = 500000, max_timestamp_ms = 49999;
       ANALYZE extents; ANALYZE segments; ANALYZE partitions`,
    );
    const blocksRead = async (): Promise<number> => {
      const [row] = await databases.query(
        url,
        `SELECT (heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::int AS blocks
         FROM pg_statio_user_tables WHERE relname = 'extents'`,
      );
      return row!['blocks'] as number;
    };
    // A session adds its numbers to the statistics when it ends, a little after its client has left.
    const othersHaveEnded = async (): Promise<boolean> => {
      const others = await databases.query(
        url,
        `SELECT FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()`,
      );
      return others.length === 0;
    };
    await f.store.close();
    await expect.poll(othersHaveEnded).toBe(true);
    const before = await blocksRead();
    const deep = await databases.openStore({ url });
    const results = [
      await deep.findExtents(p, 250_005, 3),
      await deep.findExtents(p, 499_995, 3),
      await deep.findExtentByTimestamp(p, 30_000),
      await deep.findExtentOfMaxTimestamp(p),
    ];
    await deep.close();
    await expect.poll(othersHaveEnded).toBe(true);
    expect(results).toMatchObject([
      [{ baseOffset: 250_000 }, { baseOffset: 250_010 }, { baseOffset: 250_020 }],
      [{ baseOffset: 499_990 }],
      { baseOffset: 300_000 },
      { baseOffset: 499_990 },
    ]);
    const blocks = (await blocksRead()) - before;
    expect(blocks).toBeGreaterThan(0);
    // Four steps down the key, and two searches that halve 500,000 offsets: 19 steps of 4 blocks each.
    expect(blocks).toBeLessThan(250);
  });
});
