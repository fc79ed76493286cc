import {
  producerProfiles,
  runProducerPerformance,
  type ProducerProfile,
} from '../../peers/kafka-tools.js';
import type { LoadResult } from '../../raw/produce-load.js';
import { runRawLoad } from '../../raw/run-raw-load.js';
import type { Load } from '../framework/measure.js';
import { benchPartitions, createTopic, verifyStored } from './verify-stored.js';

export const recordBytes = 1024;

/** A warm-up does this part of the work. */
const warmUpShare = 1 / 4;

interface JavaProduceOptions {
  readonly profile: keyof typeof producerProfiles;
  /** Of all producers together. */
  readonly megabytes: number;
  /** Processes at the same time. */
  readonly producers?: number;
  readonly topicConfigs?: Readonly<Record<string, string>>;
}

/** Kafka's own ProducerPerformance: acks=all, idempotent as is the default. */
export function javaProduce(options: JavaProduceOptions): Load {
  const { megabytes, producers = 1, profile, topicConfigs = {} } = options;
  const settings: ProducerProfile = producerProfiles[profile];
  const recordsOf = (isWarmUp: boolean): number =>
    Math.round((megabytes * 1e6 * (isWarmUp ? warmUpShare : 1)) / recordBytes / producers);
  return {
    name: producers === 1 ? profile : `${profile}-${producers}`,
    description: [
      producers === 1 ? 'ProducerPerformance,' : `${producers} ProducerPerformance at once,`,
      `${megabytes} MB of 1 KiB records, acks=all, ${benchPartitions} partitions`,
      ...settings,
    ].join(' '),
    prepare: (server, { id }) =>
      createTopic(server, { name: id, partitions: benchPartitions, configs: topicConfigs }),
    run: async ({ address }, { id, isWarmUp }) => {
      const run = {
        address,
        topic: id,
        recordBytes,
        profile: settings,
        records: recordsOf(isWarmUp),
      };
      return together(
        await Promise.all(Array.from({ length: producers }, () => runProducerPerformance(run))),
      );
    },
    verify: (server, { id }, { records }) => verifyStored(server, id, records),
  };
}

/** All of the work in the time of the slowest: the others were done by then. */
function together(results: readonly LoadResult[]): LoadResult {
  const sum = (figure: (result: LoadResult) => number): number =>
    results.reduce((total, each) => total + figure(each), 0);
  return {
    records: sum(({ records }) => records),
    bytes: sum(({ bytes }) => bytes),
    seconds: Math.max(...results.map(({ seconds }) => seconds)),
  };
}

interface RawProduceOptions {
  readonly batchKibibytes: number;
  readonly megabytes: number;
  /** Default: as many as offer `rawInFlightBytes`, at most 128. */
  readonly connections?: number;
  readonly topicConfigs?: Readonly<Record<string, string>>;
}

/**
 * So much is offered at any time that latency is no server's limit. 4 connections of 64 KiB requests
 * offer 1.3 MB: there ours was bound by the 20 ms that a segment takes, and its segments were 0.5 MB.
 */
const rawInFlightBytes = 32 * 1024 * 1024;
const rawConnectionsMax = 128;
const rawInFlightPerConnection = 5;

/** Requests of one batch each, encoded beforehand. */
export function rawProduce(options: RawProduceOptions): Load {
  const { batchKibibytes, megabytes, topicConfigs = {} } = options;
  const batchBytes = batchKibibytes * 1024;
  const connectionBytes = batchBytes * rawInFlightPerConnection;
  const enough = Math.min(rawConnectionsMax, Math.ceil(rawInFlightBytes / connectionBytes));
  const { connections = enough } = options;
  const inFlightMegabytes = (connections * connectionBytes) / 1e6;
  return {
    name: `raw-${batchKibibytes}k`,
    description:
      `raw produce requests, ${megabytes} MB of 1 KiB records in batches of ${batchKibibytes} KiB, ` +
      `one per request, acks=all, ${benchPartitions} partitions, ` +
      `${connections} connections × ${rawInFlightPerConnection} in flight ` +
      `(${inFlightMegabytes.toFixed(1)} MB)`,
    prepare: (server, { id }) =>
      createTopic(server, { name: id, partitions: benchPartitions, configs: topicConfigs }),
    run: ({ address }, { id, isWarmUp }) =>
      runRawLoad({
        kind: 'produce',
        address,
        topic: id,
        partitions: benchPartitions,
        batchBytes,
        batchesPerRequest: 1,
        valueBytes: recordBytes,
        connections,
        inFlightPerConnection: rawInFlightPerConnection,
        totalBytes: megabytes * 1e6 * (isWarmUp ? warmUpShare : 1),
      }),
    verify: (server, { id }, { records }) => verifyStored(server, id, records),
  };
}
