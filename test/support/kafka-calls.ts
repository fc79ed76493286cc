import {
  apis,
  batchCrcMatches,
  decodeRecords,
  errorName,
  forEachBatch,
  readBatchHeader,
} from '@kafscale/codec';
import type { BatchHeader, MetadataResponse } from '@kafscale/codec';
import type { KafkaConnection } from './kafka-connection.js';

/** Every record of a batch, with what its header says. */
export interface ReadBatch {
  readonly header: BatchHeader;
  readonly values: readonly string[];
}

export interface ReadPartition {
  readonly highWatermark: number;
  readonly batches: readonly ReadBatch[];
}

/** Fails for any error of the protocol, with its name. */
export function expectNoError(errorCode: number, what: string): void {
  if (errorCode !== 0) throw new Error(`${what}: ${errorName(errorCode)} (${errorCode})`);
}

export async function createTopic(
  connection: KafkaConnection,
  name: string,
  numPartitions: number,
): Promise<void> {
  const response = await connection.call(apis.createTopics, {
    topics: [{ name, numPartitions, replicationFactor: 1, assignments: [], configs: [] }],
    timeoutMs: 10_000,
    validateOnly: false,
  });
  for (const topic of response.topics) expectNoError(topic.errorCode, `CreateTopics ${topic.name}`);
}

export async function initProducerId(
  connection: KafkaConnection,
): Promise<{ producerId: number; producerEpoch: number }> {
  const response = await connection.call(apis.initProducerId, {
    transactionalId: null,
    transactionTimeoutMs: 60_000,
  });
  expectNoError(response.errorCode, 'InitProducerId');
  return { producerId: Number(response.producerId), producerEpoch: response.producerEpoch };
}

export function metadataOf(
  connection: KafkaConnection,
  topics: readonly string[],
): Promise<MetadataResponse> {
  return connection.call(apis.metadata, {
    topics: topics.map((name) => ({ name })),
    allowAutoTopicCreation: false,
  });
}

/** -1: the latest offset, which is the high watermark; -2: the earliest. */
export async function listOffset(
  connection: KafkaConnection,
  at: { topic: string; partition: number; timestamp: -1 | -2 },
): Promise<number> {
  const response = await connection.call(apis.listOffsets, {
    replicaId: -1,
    topics: [
      {
        name: at.topic,
        partitions: [{ partitionIndex: at.partition, timestamp: BigInt(at.timestamp) }],
      },
    ],
  });
  const partition = response.topics[0]?.partitions[0];
  expectNoError(partition?.errorCode ?? -1, 'ListOffsets');
  return Number(partition?.offset);
}

/** The last one that names topics, and not their ids. */
const fetchVersion = 12;

/** One Fetch of one partition, with the bytes of its records. */
export async function fetchOnce(
  connection: KafkaConnection,
  at: { topic: string; partition: number; offset: number; maxWaitMs?: number; minBytes?: number },
): Promise<{ errorCode: number; highWatermark: number; records: Buffer }> {
  const response = await connection.call(
    apis.fetch,
    {
      maxWaitMs: at.maxWaitMs ?? 0,
      minBytes: at.minBytes ?? 1,
      maxBytes: 8 * 1024 * 1024,
      isolationLevel: 0,
      sessionEpoch: -1,
      topics: [
        {
          topic: at.topic,
          partitions: [
            {
              partition: at.partition,
              fetchOffset: BigInt(at.offset),
              partitionMaxBytes: 8 * 1024 * 1024,
            },
          ],
        },
      ],
    },
    fetchVersion,
  );
  expectNoError(response.errorCode, 'Fetch');
  const partition = response.responses[0]?.partitions[0];
  if (partition === undefined) throw new Error('Fetch answered without the partition');
  const { errorCode, highWatermark, records } = partition;
  return { errorCode, highWatermark: Number(highWatermark), records: records ?? Buffer.alloc(0) };
}

/** Everything from `from` to the high watermark; checks every CRC. */
export async function readPartition(
  connection: KafkaConnection,
  at: { topic: string; partition: number; from?: number },
): Promise<ReadPartition> {
  const batches: ReadBatch[] = [];
  let offset = at.from ?? 0;
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop
    const answer = await fetchOnce(connection, { ...at, offset });
    expectNoError(answer.errorCode, `Fetch ${at.topic}-${at.partition} from ${offset}`);
    // oxlint-disable-next-line no-await-in-loop
    const read = await decodeBatches(answer.records);
    batches.push(...read);
    const last = read.at(-1);
    if (last !== undefined) offset = last.header.baseOffset + last.header.lastOffsetDelta + 1;
    if (offset >= answer.highWatermark) return { highWatermark: answer.highWatermark, batches };
    if (last === undefined) {
      throw new Error(
        `Fetch of ${offset} is empty below the high watermark ${answer.highWatermark}`,
      );
    }
  }
}

async function decodeBatches(bytes: Buffer): Promise<ReadBatch[]> {
  const positions: number[] = [];
  forEachBatch(bytes, (at) => {
    if (!batchCrcMatches(bytes, at)) throw new Error(`wrong CRC at byte ${at}`);
    positions.push(at);
  });
  return Promise.all(
    positions.map(async (at) => {
      const { records } = await decodeRecords(bytes, at);
      const values = [...records].map(({ value }) => value?.toString('utf8') ?? '');
      return { header: readBatchHeader(bytes, at), values };
    }),
  );
}
