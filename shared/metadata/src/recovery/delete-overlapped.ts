import type { Sql } from '../database.js';

/** What overlaps one of the ranges, in a table where little does. */
export async function deleteOverlapped(
  sql: Sql,
  table: 'restored_extents' | 'restored_cold',
  keys: { partitionIds: string; baseOffsets: string; nextOffsets: string },
): Promise<void> {
  await sql`
    DELETE FROM ${sql(table)} r
    USING unnest(${keys.partitionIds}::int[], ${keys.baseOffsets}::bigint[],
                 ${keys.nextOffsets}::bigint[]) AS k (partition_id, base_offset, next_offset)
    WHERE r.partition_id = k.partition_id
      AND r.base_offset < k.next_offset AND r.next_offset > k.base_offset`;
}
