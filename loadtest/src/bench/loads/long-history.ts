import { invariant } from '@kafscale/core';
import type { MetadataProbe } from '../../peers/metadata-probe.js';

export interface LongHistory {
  /** Without records; of as many partitions as a segment has extents. */
  readonly topic: string;
  readonly partitions: number;
  readonly segments: number;
}

const recordsPerExtent = 10;
const extentBytes = 1_600;

/**
 * Puts segments with an extent for each partition into the index, with the rows that their commits would have
 * left; the objects do not exist. Returns the end offset of each partition. The server that runs on
 * the database meanwhile does not notice: it must be restarted.
 */
export async function insertHistory(probe: MetadataProbe, history: LongHistory): Promise<number> {
  const { partitions, segments, topic } = history;
  const { sql } = probe;
  const found = await sql<{ partition_id: number }[]>`
    SELECT p.partition_id FROM partitions p JOIN topics t USING (topic_id)
    WHERE t.name = ${topic} AND p.next_offset = 0`;
  invariant(found.length === partitions, 'the topic has that many partitions, and no records');
  const endOffset = segments * recordsPerExtent;
  await sql.begin(async (transaction) => {
    await transaction`
      CREATE TEMP TABLE history ON COMMIT DROP AS
      SELECT number, gen_random_uuid() AS segment_id,
        (extract(epoch FROM clock_timestamp()) * 1000)::bigint - ${segments}::bigint + number AS at_ms
      FROM generate_series(0, ${segments}::int - 1) number`;
    await transaction`
      INSERT INTO segments (segment_id, shard_id, node_id, incarnation, birth_ms, committed_at,
                            size_bytes, live_extents, answer)
      SELECT h.segment_id, 0, (SELECT max(node_id) FROM nodes), c.incarnation, h.at_ms,
        clock_timestamp(), ${partitions * extentBytes}::bigint, ${partitions}::int,
        '[' || rtrim(repeat('[0,' || h.number * ${recordsPerExtent}::int || '],', ${partitions}::int), ',') || ']'
      FROM history h, cluster c`;
    await transaction`
      INSERT INTO extents (partition_id, base_offset, next_offset, segment_id, position, length,
                           first_timestamp_ms, max_timestamp_ms, prefix_max_timestamp_ms)
      SELECT p.partition_id, h.number * ${recordsPerExtent}::int,
        (h.number + 1) * ${recordsPerExtent}::int, h.segment_id,
        p.partition_index * ${extentBytes}::int, ${extentBytes}::int, h.at_ms, h.at_ms, h.at_ms
      FROM history h, partitions p JOIN topics t USING (topic_id)
      WHERE t.name = ${topic}`;
    await transaction`
      UPDATE partitions p SET next_offset = ${endOffset}::bigint,
        size_bytes = ${segments * extentBytes}::bigint,
        max_timestamp_ms = (SELECT max(at_ms) FROM history)
      FROM topics t WHERE t.topic_id = p.topic_id AND t.name = ${topic}`;
  });
  await sql`VACUUM ANALYZE segments, extents, partitions`;
  return endOffset;
}
