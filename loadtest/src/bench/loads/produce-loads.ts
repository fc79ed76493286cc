import {
  producerProfiles,
  runProducerPerformance,
  type ProducerProfile,
} from '../../peers/kafka-tools.js';
import { runRawLoad } from '../../raw/run-raw-load.js';
import type { Load } from '../framework/measure.js';
import { benchPartitions, createTopic, verifyStored } from './verify-stored.js';

export const recordBytes = 1024;

/** A warm-up does this part of the work. */
const warmUpShare = 1 / 4;

interface JavaProduceOptions {
  readonly profile: keyof typeof producerProfiles;
  readonly megabytes: number;
  readonly topicConfigs?: Readonly<Record<string, string>>;
}

/** Kafka's own ProducerPerformance: one producer, acks=all, idempotent as is the default. */
export function javaProduce({ profile, megabytes, topicConfigs = {} }: JavaProduceOptions): Load {
  const settings: ProducerProfile = producerProfiles[profile];
  const recordsOf = (isWarmUp: boolean): number =>
    Math.round((megabytes * 1e6 * (isWarmUp ? warmUpShare : 1)) / recordBytes);
  return {
    name: profile,
    description: [
      `ProducerPerformance, ${megabytes} MB of 1 KiB records, acks=all, ${benchPartitions} partitions`,
      ...settings,
    ].join(' '),
    prepare: (server, { id }) =>
      createTopic(server, { name: id, partitions: benchPartitions, configs: topicConfigs }),
    run: ({ address }, { id, isWarmUp }) =>
      runProducerPerformance({
        address,
        topic: id,
        records: recordsOf(isWarmUp),
        recordBytes,
        profile: settings,
      }),
    verify: (server, { id }, { records }) => verifyStored(server, id, records),
  };
}

interface RawProduceOptions {
  readonly batchKibibytes: number;
  readonly megabytes: number;
}

const rawConnections = 4;
const rawInFlightPerConnection = 5;

/** Requests of one batch each, encoded beforehand. */
export function rawProduce({ batchKibibytes, megabytes }: RawProduceOptions): Load {
  return {
    name: `raw-${batchKibibytes}k`,
    description:
      `raw produce requests, ${megabytes} MB of 1 KiB records in batches of ${batchKibibytes} KiB, ` +
      `one per request, acks=all, ${benchPartitions} partitions, ` +
      `${rawConnections} connections × ${rawInFlightPerConnection} in flight`,
    prepare: (server, { id }) => createTopic(server, { name: id, partitions: benchPartitions }),
    run: ({ address }, { id, isWarmUp }) =>
      runRawLoad({
        kind: 'produce',
        address,
        topic: id,
        partitions: benchPartitions,
        batchBytes: batchKibibytes * 1024,
        batchesPerRequest: 1,
        valueBytes: recordBytes,
        connections: rawConnections,
        inFlightPerConnection: rawInFlightPerConnection,
        totalBytes: megabytes * 1e6 * (isWarmUp ? warmUpShare : 1),
      }),
    verify: (server, { id }, { records }) => verifyStored(server, id, records),
  };
}
