import { OperatingError } from '@kafscale/core';
import type { BenchServer } from '../../peers/bench-server.js';
import { runConsumerPerformance } from '../../peers/kafka-tools.js';
import { runRawLoad } from '../../raw/run-raw-load.js';
import type { Load } from '../framework/measure.js';
import { recordBytes } from './produce-loads.js';
import { benchPartitions, createTopic, endOffsetsOf, verifyStored } from './verify-stored.js';

export interface FilledTopic {
  readonly name: string;
  readonly megabytes: number;
  readonly batchKibibytes: number;
}

/** The same batches for every server, as Java producers with their defaults send them. */
export async function fillTopic(server: BenchServer, topic: FilledTopic): Promise<void> {
  await createTopic(server, { name: topic.name, partitions: benchPartitions });
  const { records } = await runRawLoad({
    kind: 'produce',
    address: server.address,
    topic: topic.name,
    partitions: benchPartitions,
    batchBytes: topic.batchKibibytes * 1024,
    batchesPerRequest: benchPartitions,
    valueBytes: recordBytes,
    connections: 4,
    inFlightPerConnection: 5,
    totalBytes: topic.megabytes * 1e6,
  });
  await verifyStored(server, topic.name, records);
}

/** Kafka's own ConsumerPerformance, alone in a new group, from the start of the topic. */
export function javaFetch(topic: FilledTopic): Load {
  return {
    name: 'consumer',
    description:
      `ConsumerPerformance with its defaults, ${describeTopic(topic)}; ` +
      `the time to join the group is left out`,
    prepare: async () => {},
    run: async (server, { id, isWarmUp }) => {
      const records = await recordsIn(server, topic);
      return await runConsumerPerformance({
        address: server.address,
        topic: topic.name,
        group: id,
        records: isWarmUp ? Math.round(records / 4) : records,
        recordBytes,
      });
    },
    verify: async () => {},
  };
}

interface RawFetchOptions {
  readonly connections: number;
  readonly passes: number;
}

const partitionBytesMax = 1024 * 1024;

/** Reads batch headers only; throws unless every record that ListOffsets counts has come. */
export function rawFetch(topic: FilledTopic, { connections, passes }: RawFetchOptions): Load {
  return {
    name: `raw-${connections}`,
    description:
      `raw fetch requests, batch headers only, ${describeTopic(topic)}, read ${passes} times, ` +
      `${connections} connections × 1 in flight, 1 MiB per partition and request`,
    prepare: async () => {},
    run: async (server, { isWarmUp }) =>
      runRawLoad({
        kind: 'fetch',
        address: server.address,
        topic: topic.name,
        endOffsets: await endOffsetsOf(server, topic.name),
        valueBytes: recordBytes,
        connections,
        passes: isWarmUp ? 1 : passes,
        partitionBytesMax,
      }),
    verify: async () => {},
  };
}

function describeTopic(topic: FilledTopic): string {
  return (
    `${topic.megabytes} MB of 1 KiB records in batches of ${topic.batchKibibytes} KiB, ` +
    `${benchPartitions} partitions`
  );
}

async function recordsIn(server: BenchServer, topic: FilledTopic): Promise<number> {
  const endOffsets = await endOffsetsOf(server, topic.name);
  const records = endOffsets.reduce((sum, each) => sum + each, 0);
  if (records * recordBytes >= topic.megabytes * 1e6) return records;
  throw new OperatingError('RECORDS_MISSING', `${server.name} has ${records} of ${topic.name}`);
}
