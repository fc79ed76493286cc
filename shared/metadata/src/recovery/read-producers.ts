import type { IndexProducer } from '@kafscale/codec';
import { invariant, limits } from '@kafscale/core';

import { numberArray, parseNumberArray } from '../arrays.js';
import type { Sql } from '../database.js';
import { pagesOf } from './pages.js';

interface ProducerRow {
  readonly partition_id: number;
  readonly producer_id: number;
  readonly producer_epoch: number;
  readonly batches: string;
}

const rowsMax = limits.indexPageRowsMax;
/** Every producer of these partitions is looked at. */
const partitionsPerPage = 100;

export function liveProducers(
  sql: Sql,
  shardId: number,
): AsyncGenerator<readonly IndexProducer[], void> {
  return pagesSince(sql, { shardId, partitionIds: null, sinceDatabaseTimeMs: 0 });
}

export async function* changedProducers(
  sql: Sql,
  request: {
    shardId: number;
    partitionIds: readonly number[] | null;
    sinceDatabaseTimeMs: number;
  },
): AsyncGenerator<readonly IndexProducer[], void> {
  const { partitionIds } = request;
  if (partitionIds === null) yield* pagesSince(sql, request);
  for (const ids of pagesOf(partitionIds ?? [], partitionsPerPage)) {
    yield* pagesSince(sql, { ...request, partitionIds: ids });
  }
}

async function* pagesSince(
  sql: Sql,
  request: {
    shardId: number;
    partitionIds: readonly number[] | null;
    sinceDatabaseTimeMs: number;
  },
): AsyncGenerator<readonly IndexProducer[], void> {
  const { partitionIds, shardId, sinceDatabaseTimeMs } = request;
  const chosen =
    partitionIds === null
      ? sql`true`
      : sql`r.partition_id = ANY(${numberArray(partitionIds)}::int[])`;
  let after: Pick<ProducerRow, 'partition_id' | 'producer_id'> = {
    partition_id: -1,
    producer_id: -1,
  };
  for (;;) {
    const rows = await sql<ProducerRow[]>`
      SELECT r.partition_id, r.producer_id, r.producer_epoch, r.batches::text AS batches
      FROM producers r JOIN partitions p ON p.partition_id = r.partition_id
      WHERE p.shard_id = ${shardId} AND p.deleted_at IS NULL AND ${chosen}
        AND r.updated_at >= to_timestamp(${sinceDatabaseTimeMs}::float8 / 1000)
        AND (r.partition_id, r.producer_id) > (${after.partition_id}::int, ${after.producer_id}::bigint)
      ORDER BY r.partition_id, r.producer_id LIMIT ${rowsMax}::int`;
    const last = rows[rows.length - 1];
    if (last === undefined) return;
    after = last;
    yield rows.map(producerOf);
  }
}

function producerOf(row: ProducerRow): IndexProducer {
  const numbers = parseNumberArray(row.batches);
  invariant(numbers.length > 0 && numbers.length % 4 === 0, 'a kept batch has four numbers');
  const batches: IndexProducer['batches'][number][] = [];
  for (let at = 0; at < numbers.length; at += 4) {
    const [baseSequence = 0, lastSequence = 0, baseOffset = 0, maxTimestampMs = 0] = numbers.slice(
      at,
      at + 4,
    );
    batches.push({ baseSequence, lastSequence, baseOffset, maxTimestampMs });
  }
  return {
    partitionId: row.partition_id,
    producerId: row.producer_id,
    producerEpoch: row.producer_epoch,
    batches,
  };
}
