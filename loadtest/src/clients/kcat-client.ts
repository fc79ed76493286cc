import { createInterface } from 'node:readline';
import { invariant } from '@kafscale/core';
import { ConsumerProcess } from './consumer-process.js';
import type { ConsumerSink, ConsumerStreams } from './consumer-process.js';
import type { ConsumeOptions, KafkaClient, ProduceOptions } from './kafka-client.js';
import { KcatOutput, kcatFormat } from './kcat-output.js';
import { partitionName } from './ledger.js';
import type { RecordHeader, TestRecord } from './records.js';
import { runProgram } from './run-program.js';

/**
 * kcat as it is: records by its standard input with delimiters that no record contains, headers by
 * the run (-H has no other way), what it consumes by a format with lengths (its JSON output would
 * lose bytes that are not UTF-8). It drops a record without key and value, and cannot create topics:
 * producing does.
 */
export async function openKcatClient(): Promise<KafkaClient> {
  const { stdout } = await runProgram({
    label: 'kcat -V',
    command: 'kcat',
    arguments: ['-V'],
  });
  const version = /^Version (\S+) .*?(librdkafka \S+)/m.exec(stdout.toString());
  return {
    name: 'kcat',
    version: version === null ? 'unknown' : `${version[1]} (${version[2]})`,
    codecs: ['none', 'gzip', 'snappy', 'lz4', 'zstd'],
    features: {
      nullValues: false,
      emptyRecords: false,
      headers: 'partition',
      binaryHeaders: false,
      nullHeaders: false,
      repeatedHeaders: true,
      redelivers: 'never',
      endsWithServer: true,
    },
    produce,
    consume,
  };
}

const recordDelimiter = '<record 5b1fd3>';
const keyDelimiter = '<key 5b1fd3>';

async function produce({ bootstrap, codec, records }: ProduceOptions): Promise<void> {
  const runs = new Map<string, TestRecord[]>();
  for (const record of records) {
    const name = `${partitionName(record)} ${formatHeaders(record.headers)}`;
    const run = runs.get(name) ?? [];
    run.push(record);
    runs.set(name, run);
  }
  for (const run of runs.values()) await produceRun(bootstrap, codec, run);
}

async function produceRun(
  bootstrap: string,
  codec: string,
  records: readonly TestRecord[],
): Promise<void> {
  const [first] = records;
  invariant(first !== undefined, 'a run has a record');
  const headers = first.headers.flatMap(({ name, value }) => ['-H', `${name}=${String(value)}`]);
  await runProgram({
    label: `kcat -P ${partitionName(first)}`,
    command: 'kcat',
    arguments: [
      ['-P', '-b', bootstrap, '-t', first.topic, '-p', String(first.partition)],
      ['-z', codec, '-D', recordDelimiter, '-K', keyDelimiter],
      ...headers,
    ].flat(),
    input: Buffer.concat(records.flatMap(formatInput)),
  });
}

function formatInput({ key, value }: TestRecord): Buffer[] {
  invariant(value !== null, 'kcat cannot send both empty and null values');
  for (const bytes of [key ?? value, value]) {
    invariant(
      !bytes.includes(recordDelimiter) && !bytes.includes(keyDelimiter),
      'a record has no delimiter in it',
    );
  }
  const keyParts = key === null ? [] : [key, Buffer.from(keyDelimiter)];
  return [...keyParts, value, Buffer.from(recordDelimiter)];
}

function consume({ bootstrap, group, topics }: ConsumeOptions): ConsumerProcess {
  return new ConsumerProcess(`kcat in group ${group}`, {
    command: 'kcat',
    arguments: [
      ['-b', bootstrap, '-X', 'auto.offset.reset=earliest', '-u', '-f', kcatFormat],
      ['-G', group, ...topics],
    ].flat(),
    attach,
  });
}

function attach({ stdout, stderr }: ConsumerStreams, sink: ConsumerSink): void {
  const output = new KcatOutput((record) => sink.record(record));
  stdout.on('data', (chunk: Buffer) => sink.attempt(() => output.push(chunk)));
  createInterface({ input: stderr }).on('line', (line) => {
    const rebalance = /^% Group .* rebalanced \(memberid .*?\): (assigned|revoked): (.*)$/.exec(
      line,
    );
    if (rebalance === null) return;
    const [, change, list = ''] = rebalance;
    sink.assigned(change === 'assigned' ? parsePartitions(list) : []);
  });
}

/** `logs [0], logs [1]` */
function parsePartitions(list: string): { topic: string; partition: number }[] {
  return [...list.matchAll(/(\S+) \[(\d+)\]/g)].map(([, topic = '', partition]) => ({
    topic,
    partition: Number(partition),
  }));
}

function formatHeaders(headers: readonly RecordHeader[]): string {
  return headers.map(({ name, value }) => `${name}=${String(value)}`).join(',');
}
