import type { IndexGroup, IndexGroupOffset } from '@kafscale/codec';

import { textArray } from '../arrays.js';
import type { Sql } from '../database.js';
import { pagesOf } from './pages.js';

interface GroupRow {
  readonly group_id: string;
  readonly generation_id: number;
  readonly protocol_type: string | null;
}

interface OffsetRow {
  readonly group_id: string;
  readonly topic_id: string;
  readonly partition_index: number;
  readonly committed_offset: string;
  readonly leader_epoch: number;
  readonly metadata: Buffer;
}

const groupsPerPage = 50;
/** With 4 KiB of metadata each they fit into an index object. */
const offsetsPerRecord = 1_000;

export async function* liveGroups(
  sql: Sql,
  shardId: number,
): AsyncGenerator<readonly IndexGroup[], void> {
  let after = '';
  for (;;) {
    const rows = await sql<{ group_id: string }[]>`
      SELECT group_id FROM consumer_groups
      WHERE shard_id = ${shardId} AND group_id > ${after}
      ORDER BY group_id LIMIT ${groupsPerPage}::int`;
    const last = rows[rows.length - 1];
    if (last === undefined) return;
    after = last.group_id;
    yield* groupsOf(
      sql,
      shardId,
      rows.map((row) => row.group_id),
    );
  }
}

export async function* groupsOf(
  sql: Sql,
  shardId: number,
  groupIds: readonly string[],
): AsyncGenerator<readonly IndexGroup[], void> {
  for (const ids of pagesOf(groupIds, groupsPerPage)) {
    const [groups, offsets] = await Promise.all([
      sql<GroupRow[]>`
        SELECT group_id, generation_id, protocol_type FROM consumer_groups
        WHERE shard_id = ${shardId} AND group_id = ANY(${textArray(ids)}::text[])`,
      sql<OffsetRow[]>`
        SELECT o.group_id, o.topic_id, o.partition_index, o.leader_epoch, o.metadata,
          o.committed_offset::text AS committed_offset
        FROM group_offsets o JOIN topics t ON t.topic_id = o.topic_id
        WHERE o.shard_id = ${shardId} AND o.group_id = ANY(${textArray(ids)}::text[])
          AND t.deleted_at IS NULL
        ORDER BY o.group_id, o.topic_id, o.partition_index`,
    ]);
    const found = new Map(groups.map((row) => [row.group_id, row]));
    const offsetsOf = new Map<string, IndexGroupOffset[]>();
    for (const row of offsets) {
      const known = offsetsOf.get(row.group_id);
      if (known === undefined) offsetsOf.set(row.group_id, [offsetOf(row)]);
      else known.push(offsetOf(row));
    }
    yield ids.flatMap((id) => recordsOf(id, found.get(id), offsetsOf.get(id) ?? []));
  }
}

/** Group ids are few beside their offsets, so all of them are one answer. */
export async function groupIdsChangedSince(
  sql: Sql,
  shardId: number,
  databaseTimeMs: number,
): Promise<readonly string[]> {
  const rows = await sql<{ group_id: string }[]>`
    SELECT group_id FROM consumer_groups
    WHERE shard_id = ${shardId}
      AND state_changed_at >= to_timestamp(${databaseTimeMs}::float8 / 1000)
    UNION
    SELECT group_id FROM group_offsets
    WHERE shard_id = ${shardId} AND committed_at >= to_timestamp(${databaseTimeMs}::float8 / 1000)
    ORDER BY group_id`;
  return rows.map((row) => row.group_id);
}

function recordsOf(
  groupId: string,
  row: GroupRow | undefined,
  offsets: readonly IndexGroupOffset[],
): IndexGroup[] {
  const first: IndexGroup = {
    groupId,
    isDeleted: row === undefined,
    generationId: row?.generation_id ?? 0,
    protocolType: row?.protocol_type ?? null,
    isContinued: false,
    offsets: row === undefined ? [] : offsets.slice(0, offsetsPerRecord),
  };
  if (row === undefined) return [first];
  const rest = [...pagesOf(offsets.slice(offsetsPerRecord), offsetsPerRecord)];
  return [first, ...rest.map((page) => ({ ...first, isContinued: true, offsets: page }))];
}

function offsetOf(row: OffsetRow): IndexGroupOffset {
  return {
    topicId: row.topic_id,
    partitionIndex: row.partition_index,
    committedOffset: BigInt(row.committed_offset),
    leaderEpoch: row.leader_epoch,
    metadata: row.metadata,
  };
}
