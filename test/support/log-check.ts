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
  const nextSequence = new Map<number, number>();
  const problems: string[] = [];
  let nextOffset = 0;
  for (const { header, values } of read.batches) {
    const { baseOffset, baseSequence, producerId } = header;
    const key = batchKey({ producerId, partition, baseSequence });
    const batch = expected.get(key);
    const here = `${key} at offset ${baseOffset}`;
    if (baseOffset !== nextOffset) problems.push(`${here}, and the log went to ${nextOffset}`);
    if (found.has(key)) problems.push(`${here} is there a second time`);
    if (values.join() !== batch?.values.join()) problems.push(`${here} is not what was sent`);
    if (batch?.outcome === 'refused' && !batch.mayBeWritten) problems.push(`${here} was refused`);
    if (baseSequence !== (nextSequence.get(producerId) ?? 0)) problems.push(`${here} out of order`);
    nextOffset = baseOffset + header.lastOffsetDelta + 1;
    nextSequence.set(producerId, baseSequence + values.length);
    found.set(key, baseOffset);
  }
  for (const batch of sent) {
    if (batch.outcome !== 'acked') continue;
    const offset = found.get(batchKey(batch));
    if (offset === batch.baseOffset) continue;
    problems.push(`${batchKey(batch)}, acknowledged at ${batch.baseOffset}, is at ${offset}`);
  }
  const latest = await listOffset(connection, { topic, partition, timestamp: -1 });
  if (latest !== nextOffset)
    problems.push(`ListOffsets says ${latest}, the log ends at ${nextOffset}`);
  if (read.highWatermark !== nextOffset) problems.push(`high watermark ${read.highWatermark}`);
  expect(problems.slice(0, 20), `${where}, ${problems.length} problems`).toEqual([]);
}
