import { openCompactionStore } from '@kafscale/metadata';
import { expect, it } from 'vitest';
import { defaultCompactionLimits } from '../../src/compaction/compaction-limits.js';
import { OwnerProcess, query, usePostgres } from '../shard/world.js';

const { database } = usePostgres();
const mebibyte = 1024 * 1024;

/** Only rows: a plan reads no object. */
async function rowsOf(url: string, lengths: readonly number[], isMerged: boolean): Promise<void> {
  await query(
    url,
    `CREATE TEMP TABLE added AS
       SELECT n, length, gen_random_uuid() AS segment_id
       FROM unnest(ARRAY[${lengths.join(',')}]) WITH ORDINALITY AS k (length, n);
     INSERT INTO segments (segment_id, shard_id, node_id, incarnation, birth_ms, committed_at,
       size_bytes, live_extents, answer, is_compacted)
     SELECT segment_id, 0, -1, 1, 1000, now() - interval '1 day', 2 * length,
       (SELECT count(*) FROM partitions), '[]', ${isMerged} FROM added;
     INSERT INTO extents (partition_id, base_offset, next_offset, segment_id, position, length,
       first_timestamp_ms, max_timestamp_ms, prefix_max_timestamp_ms, absolute_offsets)
     SELECT p.partition_id, (n - 1) * 10, n * 10, segment_id, 0, length, 1, 1, 1, ${isMerged}
     FROM added, partitions p;
     UPDATE partitions SET next_offset = 10 * ${lengths.length}`,
  );
}

async function world(partitionCount: number) {
  const { owner, store, url } = await OwnerProcess.start(await database());
  await owner.create({ name: 't', partitionCount, configs: new Map() });
  const compaction = openCompactionStore(store);
  const request = { ...defaultCompactionLimits, shardId: 0, excludedSegmentIds: [] };
  return { url, compaction, request };
}

it('a row that is final gets a segment of its own, so that both can leave together', async () => {
  const { compaction, request, url } = await world(2);
  await rowsOf(
    url,
    Array.from({ length: 5 }, () => 4 * mebibyte),
    true,
  );
  const plan = await compaction.planSmallMerge(request);
  expect(plan!.runs).toHaveLength(1);
  expect(plan!.bytes).toBe(20 * mebibyte);
});

it('rows that are not final yet share one', async () => {
  const { compaction, request, url } = await world(2);
  await rowsOf(
    url,
    Array.from({ length: 5 }, () => mebibyte),
    true,
  );
  const plan = await compaction.planSmallMerge(request);
  expect(plan!.runs).toHaveLength(2);
});

it('a first merge of several partitions leaves rows that are merged once more', async () => {
  const { compaction, request, url } = await world(2);
  await rowsOf(
    url,
    Array.from({ length: 16 }, () => 3 * mebibyte),
    false,
  );
  const plan = await compaction.planFreshMerge(request);
  expect(Math.max(...plan!.runs.map(({ bytes }) => bytes))).toBeLessThanOrEqual(8 * mebibyte);
  const alone = await world(1);
  await rowsOf(
    alone.url,
    Array.from({ length: 16 }, () => mebibyte),
    false,
  );
  const whole = await alone.compaction.planFreshMerge(alone.request);
  expect(whole!.runs).toHaveLength(1);
});
