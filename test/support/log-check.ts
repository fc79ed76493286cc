import { expect } from 'vitest';
import { listOffset, readPartition } from './kafka-calls.js';
import type { KafkaConnection } from './kafka-connection.js';
import type { SentBatch } from './idempotent-producer.js';

/** Where a batch was found: `producerId/partition/baseSequence` to its offset. */
export type FoundBatches = ReadonlyMap<string, number>;

/**
 * Reads a whole topic and holds it against what was sent: acknowledged batches are there once, at
 * the offset of the acknowledgement; unknown ones at most once; refused ones not at all; nothing
 * else is there; each producer's batches are in order; offsets are dense up to the high watermark,
 * which ListOffsets agrees with.
 */
export async function checkLog(
  connection: KafkaConnection,
  topic: string,
  sent: readonly SentBatch[],
): Promise<FoundBatches> {
  const partitions = [...new Set(sent.map(({ partition }) => partition))];
  const found = new Map<string, number>();
  for (const partition of partitions) {
    const ofPartition = sent.filter((batch) => batch.partition === partition);
    // oxlint-disable-next-line no-await-in-loop
    await checkPartition(connection, { topic, partition, sent: ofPartition, found });
  }
  return found;
}

export function batchKey(batch: {
  producerId: number;
  partition: number;
  baseSequence: number;
}): string {
  return `${batch.producerId}/${batch.partition}/${batch.baseSequence}`;
}

async function checkPartition(
  connection: KafkaConnection,
  at: {
    topic: string;
    partition: number;
    sent: readonly SentBatch[];
    found: Map<string, number>;
  },
): Promise<void> {
  const { found, partition, sent, topic } = at;
  const where = `${topic}-${partition}`;
  const read = await readPartition(connection, { topic, partition });
  const expected = new Map(sent.map((batch) => [batchKey(batch), batch]));
  const lastSequence = new Map<number, number>();
  let nextOffset = 0;
  for (const { header, values } of read.batches) {
    const { baseOffset, baseSequence, producerId } = header;
    const key = batchKey({ producerId, partition, baseSequence });
    expect(baseOffset, `offsets of ${where} are dense`).toBe(nextOffset);
    nextOffset += header.lastOffsetDelta + 1;
    expect(found.has(key), `${where}: ${key} is there once`).toBe(false);
    const batch = expected.get(key);
    expect(values, `${where}: ${key} is what was sent`).toEqual(batch?.values);
    const mayBeThere = batch?.outcome !== 'refused' || batch.mayBeWritten;
    expect(mayBeThere, `${where}: ${key} was refused, so it was not written`).toBe(true);
    expect(baseSequence, `${where}: ${key} is in order`).toBe(lastSequence.get(producerId) ?? 0);
    lastSequence.set(producerId, baseSequence + values.length);
    found.set(key, baseOffset);
  }
  expect(read.highWatermark, `the high watermark of ${where}`).toBe(nextOffset);
  expect(await listOffset(connection, { topic, partition, timestamp: -1 })).toBe(nextOffset);
  for (const batch of sent) {
    if (batch.outcome !== 'acked') continue;
    const key = batchKey(batch);
    expect(found.get(key), `${where}: ${key} is where it was acknowledged`).toBe(batch.baseOffset);
  }
}
