import { coldRangesPrefix } from '@kafscale/codec';
import { systemClock } from '@kafscale/core';
import { expect, it } from 'vitest';
import { ColdIndex } from '../../src/cold/cold-index.js';
import { noColdMetrics } from '../../src/cold/cold-metrics.js';
import { keysUnder, openStore } from '../recovery/world.js';
import { OwnerProcess, query, silentLog, usePostgres } from '../shard/world.js';
import { freeze, placesOf } from './world.js';

const { database } = usePostgres();
const partitions = 4;
/** The figures of COLD-INDEX.md are from more, and are printed. */
const areFiguresWanted = process.env['KAFSCALE_TEST_FIGURES'] !== undefined;
const steps = areFiguresWanted ? [5_000, 20_000] : [2_000, 6_000];

/** As compaction leaves it: a segment of its own for every extent. */
async function addHistory(url: string, perPartition: number): Promise<void> {
  await query(
    url,
    `CREATE TEMP TABLE added AS
       SELECT p.partition_id, p.next_offset + (n - 1) * 1000 AS base_offset,
         gen_random_uuid() AS segment_id
       FROM partitions p, generate_series(1, ${perPartition}) n;
     INSERT INTO segments (segment_id, shard_id, node_id, incarnation, birth_ms, committed_at,
       size_bytes, live_extents, answer, is_compacted)
     SELECT segment_id, 0, -1, 1, 1000, now() - interval '2 days', 33554432, 1, '[]', true
     FROM added;
     INSERT INTO extents (partition_id, base_offset, next_offset, segment_id, position, length,
       first_timestamp_ms, max_timestamp_ms, prefix_max_timestamp_ms, absolute_offsets)
     SELECT partition_id, base_offset, base_offset + 1000, segment_id, 0, 33550000, 1, 1, 1, true
     FROM added;
     UPDATE partitions SET next_offset = next_offset + 1000 * ${perPartition},
       size_bytes = size_bytes + 33550000::bigint * ${perPartition};
     UPDATE orphan_sweep SET watermark_ms = 2000;
     ANALYZE`,
  );
}

it('keeps the rows of a partition to its hot window, whatever the history', async () => {
  const objects = await openStore('files');
  const { owner, store, url } = await OwnerProcess.startForGood(await database());
  await owner.create({ name: 't', partitionCount: partitions, configs: new Map() });
  const cold = new ColdIndex({
    store,
    objectStore: objects,
    ownership: owner,
    unwrittenForMs: () => 0,
    clock: systemClock,
    log: silentLog,
    metrics: noColdMetrics,
    limits: { waitMs: -1_000, startDelayMs: 0 },
  });
  const found: { readonly history: number; readonly rows: number }[] = [];
  for (const perPartition of steps) {
    await addHistory(url, perPartition);
    const before = await placesOf(url);
    const startedAtMs = performance.now();
    await freeze(cold);
    const after = await placesOf(url);
    const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(1);
    const rows = after.extents + after.segments + after.ranges;
    found.push({ history: after.extents + after.cold, rows });
    const keys = await keysUnder(objects, coldRangesPrefix);
    expect(keys).toHaveLength(after.ranges);
    if (areFiguresWanted) {
      process.stdout.write(`${JSON.stringify({ before, after, rows, seconds })}\n`);
    }
  }
  expect(found.map(({ history }) => history)).toEqual(
    areFiguresWanted ? [20_000, 100_000] : [8_000, 32_000],
  );
  // 1,024 to 1,535 rows stay, and as many segments; ranges of 8,192, and a few smaller ones.
  for (const { rows } of found) expect(rows).toBeLessThan(partitions * (2 * 1_536 + 12));
  const [first] = await store.findExtents(1, 0, 1);
  expect(first?.baseOffset).toBeGreaterThan(0);
  for (const offset of [0, 2_345_678, 7_999_999]) {
    const [extent] = await cold.lookups.findExtents(1, offset, 3);
    expect(extent?.baseOffset).toBe(offset - (offset % 1000));
  }
}, 400_000);
