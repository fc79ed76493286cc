import type { Sql } from '../database.js';
import { listed, listedMax } from './findings.js';
import type { Findings } from './findings.js';

/** A committed offset that lay beyond the end of its log. */
export interface OffsetFinding {
  readonly groupId: string;
  readonly topic: string;
  readonly partitionIndex: number;
  readonly committedOffset: string;
  readonly endOffset: number;
}

/**
 * Offsets beyond the end are of records that came after the last manifest. Left as they are they
 * would skip, silently, as many new records as have that offset again; at the end nothing is skipped.
 */
export async function clampOffsets(sql: Sql): Promise<Findings<OffsetFinding>> {
  const rows = await sql<
    {
      group_id: string;
      name: string;
      partition_index: number;
      committed_offset: string;
      next_offset: number;
      total: number;
    }[]
  >`
    SELECT o.group_id, t.name, o.partition_index, o.committed_offset::text AS committed_offset,
      p.next_offset, (count(*) OVER ())::int AS total
    FROM group_offsets o JOIN topics t ON t.topic_id = o.topic_id
    JOIN partitions p ON p.topic_id = o.topic_id AND p.partition_index = o.partition_index
    WHERE o.committed_offset > p.next_offset
    ORDER BY o.group_id, t.name, o.partition_index LIMIT ${listedMax}::int`;
  await sql`
    UPDATE group_offsets o SET committed_offset = p.next_offset, leader_epoch = p.leader_epoch
    FROM partitions p
    WHERE p.topic_id = o.topic_id AND p.partition_index = o.partition_index
      AND o.committed_offset > p.next_offset`;
  return listed(rows, (row) => ({
    groupId: row.group_id,
    topic: row.name,
    partitionIndex: row.partition_index,
    committedOffset: row.committed_offset,
    endOffset: row.next_offset,
  }));
}
