import { invariant } from '@kafscale/core';

import { numberArray, parseNumberArray } from '../arrays.js';
import type { Database } from '../database.js';
import { fenceShard, requireLease } from '../shards.js';
import type { Lease } from '../store-types.js';

/** A row of producers. Pages go on behind it. */
export interface ProducerKey {
  readonly partitionId: number;
  readonly producerId: number;
}

export interface ProducerPage {
  /** Idle for longer than the limit. */
  readonly expired: readonly ProducerKey[];
  /** Idle time of the one, among those that stay, that was silent for longest; −1: there is none. */
  readonly idleMsMax: number;
  /** Null: this was the last page. */
  readonly last: ProducerKey | null;
}

interface PageRow {
  readonly seen: number;
  readonly last_partition_id: number | null;
  readonly last_producer_id: number | null;
  readonly idle_ms_max: number | null;
  readonly partition_ids: string | null;
  readonly producer_ids: string | null;
}

/** Looks at `rowsMax` producers, in the order of their key, without locks. */
export async function findIdleProducers(
  database: Database,
  request: { after: ProducerKey | null; idleMsMax: number; rowsMax: number },
): Promise<ProducerPage> {
  const { after, idleMsMax, rowsMax } = request;
  const [row] = await database.read(
    (sql) => sql<PageRow[]>`
      WITH page AS MATERIALIZED (
        SELECT partition_id, producer_id,
          (extract(epoch FROM clock_timestamp() - updated_at) * 1000)::float8 AS idle_ms
        FROM producers
        WHERE (partition_id, producer_id)
          > (${after?.partitionId ?? -1}::int, ${after?.producerId ?? -1}::bigint)
        ORDER BY partition_id, producer_id LIMIT ${rowsMax}::int
      ), last AS (
        SELECT partition_id, producer_id FROM page
        ORDER BY partition_id DESC, producer_id DESC LIMIT 1
      )
      SELECT count(*)::int AS seen,
        (SELECT partition_id FROM last) AS last_partition_id,
        (SELECT producer_id FROM last) AS last_producer_id,
        max(idle_ms) FILTER (WHERE idle_ms <= ${idleMsMax}::float8) AS idle_ms_max,
        array_agg(partition_id ORDER BY partition_id, producer_id)
          FILTER (WHERE idle_ms > ${idleMsMax}::float8)::text AS partition_ids,
        array_agg(producer_id ORDER BY partition_id, producer_id)
          FILTER (WHERE idle_ms > ${idleMsMax}::float8)::text AS producer_ids
      FROM page`,
  );
  invariant(row !== undefined, 'an aggregate has a row');
  const producerIds = parseNumberArray(row.producer_ids);
  const expired = parseNumberArray(row.partition_ids).map((partitionId, index): ProducerKey => {
    return { partitionId, producerId: producerIds[index] ?? -1 };
  });
  const { last_partition_id: partitionId, last_producer_id: producerId, seen } = row;
  const isLast = seen < rowsMax || partitionId === null || producerId === null;
  return {
    expired,
    idleMsMax: row.idle_ms_max ?? -1,
    last: isLast ? null : { partitionId, producerId },
  };
}

/**
 * Forgets producers that are still idle when their partitions are locked; returns how many. The
 * partition remembers that it may lack the state of producer ids up to the greatest of them: should
 * one come back, its first sequence may be anything, as in Kafka.
 */
export async function expireProducers(
  database: Database,
  lease: Lease,
  request: { producers: readonly ProducerKey[]; idleMsMax: number },
): Promise<number> {
  const { idleMsMax, producers } = request;
  const partitionIds = numberArray(producers.map((producer) => producer.partitionId));
  const producerIds = numberArray(producers.map((producer) => producer.producerId));
  return database.transaction(async ({ sql }) => {
    const [fence, , rows] = await Promise.all([
      fenceShard(sql, lease),
      // A statement of its own: a commit that held a lock has made its producer less idle.
      sql`
        SELECT partition_id FROM partitions
        WHERE partition_id = ANY(${partitionIds}::int[])
          AND shard_id = ${lease.shardId} AND deleted_at IS NULL
        ORDER BY partition_id FOR UPDATE`,
      sql<{ expired: number }[]>`
        WITH expired AS (
          DELETE FROM producers p
          USING unnest(${partitionIds}::int[], ${producerIds}::bigint[])
              AS k (partition_id, producer_id),
            partitions q
          WHERE p.partition_id = k.partition_id AND p.producer_id = k.producer_id
            AND q.partition_id = k.partition_id
            AND q.shard_id = ${lease.shardId} AND q.deleted_at IS NULL
            AND p.updated_at
              < clock_timestamp() - ${idleMsMax}::float8 * interval '1 millisecond'
          RETURNING p.partition_id, p.producer_id
        ), floors AS (
          SELECT partition_id, max(producer_id) AS producer_id FROM expired GROUP BY partition_id
        ), raised AS (
          UPDATE partitions q SET
            producer_state_floor = greatest(q.producer_state_floor, f.producer_id)
          FROM floors f WHERE q.partition_id = f.partition_id
        )
        SELECT count(*)::int AS expired FROM expired`,
    ]);
    requireLease(fence, lease);
    return rows[0]?.expired ?? 0;
  });
}
