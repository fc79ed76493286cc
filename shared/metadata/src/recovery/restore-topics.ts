import type { IndexPartition, IndexRecords } from '@kafscale/codec';

import { numberArray, textArray } from '../arrays.js';
import type { Sql } from '../database.js';
import { pagesOf } from './pages.js';

/** Deletions first: a topic of the same name may follow. */
export async function restoreTopics(
  sql: Sql,
  records: Pick<IndexRecords, 'deletedTopics' | 'topics' | 'partitions'>,
): Promise<void> {
  const { deletedTopics, partitions, topics } = records;
  if (deletedTopics.length > 0) {
    const topicIds = textArray(deletedTopics.map(({ topicId }) => topicId));
    await sql`DELETE FROM partitions WHERE topic_id = ANY(${topicIds}::uuid[])`;
    await sql`DELETE FROM topics WHERE topic_id = ANY(${topicIds}::uuid[])`;
  }
  for (const page of pagesOf(topics)) {
    const configs = page.map((topic) =>
      JSON.stringify(Object.fromEntries(topic.configs.map(({ name, value }) => [name, value]))),
    );
    const topicIds = textArray(page.map((topic) => topic.topicId));
    await sql`
      INSERT INTO topics (topic_id, name, shard_id, partition_count, configs, created_at)
      SELECT k.topic_id, k.name, 0, 0, k.configs::jsonb, to_timestamp(k.created_at_ms / 1000.0)
      FROM unnest(
        ${topicIds}::uuid[],
        ${textArray(page.map((topic) => topic.name))}::text[],
        ${textArray(configs)}::text[],
        ${numberArray(page.map((topic) => topic.createdAtMs))}::bigint[]
      ) AS k (topic_id, name, configs, created_at_ms)
      ON CONFLICT (topic_id) DO UPDATE SET name = excluded.name, configs = excluded.configs`;
    await sql`
      INSERT INTO entry_topics SELECT unnest(${topicIds}::uuid[]) ON CONFLICT DO NOTHING`;
  }
  for (const page of pagesOf(partitions)) await upsertPartitions(sql, page);
}

/** After a complete entry: topics that it did not name are gone. */
export async function deleteOtherTopics(sql: Sql): Promise<void> {
  await sql`DELETE FROM partitions WHERE topic_id NOT IN (SELECT topic_id FROM entry_topics)`;
  await sql`DELETE FROM topics WHERE topic_id NOT IN (SELECT topic_id FROM entry_topics)`;
}

async function upsertPartitions(sql: Sql, page: readonly IndexPartition[]): Promise<void> {
  await sql`
    INSERT INTO partitions (partition_id, topic_id, partition_index, shard_id, leader_epoch,
      log_start_offset, next_offset, max_timestamp_ms, producer_state_floor)
    OVERRIDING SYSTEM VALUE
    SELECT k.partition_id, k.topic_id, k.partition_index, 0, k.leader_epoch,
      k.log_start_offset, k.next_offset, k.max_timestamp_ms, k.producer_state_floor
    FROM unnest(
      ${numberArray(page.map((row) => row.partitionId))}::int[],
      ${textArray(page.map((row) => row.topicId))}::uuid[],
      ${numberArray(page.map((row) => row.partitionIndex))}::int[],
      ${numberArray(page.map((row) => row.leaderEpoch))}::int[],
      ${numberArray(page.map((row) => row.logStartOffset))}::bigint[],
      ${numberArray(page.map((row) => row.nextOffset))}::bigint[],
      ${numberArray(page.map((row) => row.maxTimestampMs))}::bigint[],
      ${numberArray(page.map((row) => row.producerStateFloor))}::bigint[]
    ) AS k (partition_id, topic_id, partition_index, leader_epoch, log_start_offset, next_offset,
            max_timestamp_ms, producer_state_floor)
    ON CONFLICT (partition_id) DO UPDATE SET
      leader_epoch = excluded.leader_epoch, log_start_offset = excluded.log_start_offset,
      next_offset = excluded.next_offset, max_timestamp_ms = excluded.max_timestamp_ms,
      producer_state_floor = excluded.producer_state_floor`;
  const epochs = page.flatMap(({ leaderEpochs, partitionId }) =>
    leaderEpochs.map((epoch) => ({ ...epoch, partitionId })),
  );
  if (epochs.length === 0) return;
  await sql`
    INSERT INTO leader_epochs (partition_id, leader_epoch, start_offset)
    SELECT * FROM unnest(
      ${numberArray(epochs.map((epoch) => epoch.partitionId))}::int[],
      ${numberArray(epochs.map((epoch) => epoch.leaderEpoch))}::int[],
      ${numberArray(epochs.map((epoch) => epoch.startOffset))}::bigint[]
    ) ON CONFLICT (partition_id, leader_epoch) DO UPDATE SET start_offset = excluded.start_offset`;
}
