import type { IndexGroup, IndexProducer } from '@kafscale/codec';

import { numberArray, textArray } from '../arrays.js';
import type { Sql } from '../database.js';
import { encodeGroupState } from '../groups/group-record.js';
import { pagesOf } from './pages.js';

export async function restoreProducers(
  sql: Sql,
  producers: readonly IndexProducer[],
): Promise<void> {
  for (const page of pagesOf(producers)) {
    const batches = page.map((producer) =>
      numberArray(
        producer.batches.flatMap((batch) => [
          batch.baseSequence,
          batch.lastSequence,
          batch.baseOffset,
          batch.maxTimestampMs,
        ]),
      ),
    );
    await sql`
      INSERT INTO producers (partition_id, producer_id, producer_epoch, batches, updated_at,
        is_restored)
      SELECT k.partition_id, k.producer_id, k.producer_epoch, k.batches::bigint[],
        clock_timestamp(), true
      FROM unnest(
        ${numberArray(page.map((row) => row.partitionId))}::int[],
        ${numberArray(page.map((row) => row.producerId))}::bigint[],
        ${numberArray(page.map((row) => row.producerEpoch))}::smallint[],
        ${textArray(batches)}::text[]
      ) AS k (partition_id, producer_id, producer_epoch, batches)
      ON CONFLICT (partition_id, producer_id) DO UPDATE SET
        producer_epoch = excluded.producer_epoch, batches = excluded.batches`;
  }
}

/**
 * Groups come back without members: who is in one now joins anew, in a generation that never was.
 * A record replaces all that is known of its group, unless it goes on with the one before it.
 */
export async function restoreGroups(sql: Sql, groups: readonly IndexGroup[]): Promise<void> {
  const begun = groups.filter((group) => !group.isContinued);
  for (const page of pagesOf(begun)) {
    const groupIds = textArray(page.map((group) => group.groupId));
    await sql`DELETE FROM group_offsets WHERE group_id = ANY(${groupIds}::text[])`;
    await sql`DELETE FROM consumer_groups WHERE group_id = ANY(${groupIds}::text[])`;
    const live = page.filter((group) => !group.isDeleted);
    const state = encodeGroupState({ protocolName: null, leaderId: null, members: [] });
    await sql`
      INSERT INTO consumer_groups (shard_id, group_id, generation_id, protocol_type, member_count,
        state, state_changed_at, writer_epoch, writer_sequence)
      SELECT 0, k.group_id, k.generation_id, k.protocol_type, 0, ${state}::text,
        clock_timestamp(), 0, 0
      FROM unnest(
        ${textArray(live.map((group) => group.groupId))}::text[],
        ${numberArray(live.map((group) => group.generationId))}::int[],
        ${textArray(live.map((group) => group.protocolType))}::text[]
      ) AS k (group_id, generation_id, protocol_type)`;
  }
  const offsets = groups.flatMap(({ groupId, offsets: own }) =>
    own.map((offset) => ({ ...offset, groupId })),
  );
  for (const page of pagesOf(offsets)) {
    const metadata = page.map((row) => `\\x${row.metadata.toString('hex')}`);
    await sql`
      INSERT INTO group_offsets (shard_id, group_id, topic_id, partition_index, committed_offset,
        leader_epoch, metadata, committed_at, writer_epoch, writer_sequence)
      SELECT 0, k.group_id, k.topic_id, k.partition_index, k.committed_offset, k.leader_epoch,
        k.metadata, clock_timestamp(), 0, 0
      FROM unnest(
        ${textArray(page.map((row) => row.groupId))}::text[],
        ${textArray(page.map((row) => row.topicId))}::uuid[],
        ${numberArray(page.map((row) => row.partitionIndex))}::int[],
        ${textArray(page.map((row) => String(row.committedOffset)))}::bigint[],
        ${numberArray(page.map((row) => row.leaderEpoch))}::int[],
        ${textArray(metadata)}::bytea[]
      ) AS k (group_id, topic_id, partition_index, committed_offset, leader_epoch, metadata)
      ON CONFLICT (shard_id, group_id, topic_id, partition_index) DO UPDATE SET
        committed_offset = excluded.committed_offset, leader_epoch = excluded.leader_epoch,
        metadata = excluded.metadata`;
  }
}
