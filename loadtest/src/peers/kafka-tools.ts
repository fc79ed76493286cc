import { invariant, OperatingError } from '@kafscale/core';
import { runProgram } from '../clients/run-program.js';
import type { Address } from '../raw/frame-socket.js';
import type { LoadResult } from '../raw/produce-load.js';
import { kafkaClassPath, kafkaJvmOptions } from './kafka-jars.js';

/** Settings of the Java producer that are not its defaults, as `name=value`. */
export type ProducerProfile = readonly string[];

export const producerProfiles = {
  defaults: [],
  batched: [
    'batch.size=1048576',
    'linger.ms=50',
    'max.request.size=8388608',
    'buffer.memory=134217728',
  ],
} as const satisfies Record<string, ProducerProfile>;

interface ToolRun {
  readonly address: Address;
  readonly topic: string;
  readonly records: number;
}

const toolHeap = '-Xmx512m';
const toolMsMax = 240_000;

export async function runProducerPerformance(
  run: ToolRun & { readonly recordBytes: number; readonly profile: ProducerProfile },
): Promise<LoadResult> {
  const said = await runTool('org.apache.kafka.tools.ProducerPerformance', [
    ['--bootstrap-server', bootstrapOf(run), '--topic', run.topic],
    ['--num-records', String(run.records), '--record-size', String(run.recordBytes)],
    ['--throughput', '-1', '--command-property', 'acks=all', ...run.profile],
  ]);
  // Its last line; lines before it with the same beginning are of intervals.
  const total = [...said.matchAll(/^(\d+) records sent, ([\d.]+) records\/sec /gm)].at(-1);
  const sent = Number(total?.[1]);
  if (sent !== run.records) {
    throw new OperatingError('LOAD_FAILED', `not every record was acknowledged:\n${said}`);
  }
  return resultOf(run.records, run.recordBytes, run.records / Number(total?.[2]));
}

/** The seconds are those of fetching: the time until the group has joined is left out. */
export async function runConsumerPerformance(
  run: ToolRun & { readonly recordBytes: number; readonly group: string },
): Promise<LoadResult> {
  const said = await runTool('org.apache.kafka.tools.ConsumerPerformance', [
    ['--bootstrap-server', bootstrapOf(run), '--topic', run.topic, '--group', run.group],
    ['--num-records', String(run.records), '--timeout', '30000', '--hide-header'],
  ]);
  // start, end, MB, MB/s, records, records/s, rebalance ms, fetch ms, fetch MB/s, fetch records/s
  const fields = said.trim().split('\n').at(-1)?.split(', ') ?? [];
  const consumed = Number(fields[4]);
  if (fields.length !== 10 || consumed < run.records) {
    throw new OperatingError('LOAD_FAILED', `not every record was consumed:\n${said}`);
  }
  return resultOf(consumed, run.recordBytes, Number(fields[7]) / 1000);
}

function resultOf(records: number, recordBytes: number, seconds: number): LoadResult {
  invariant(seconds > 0, 'the tool says how long it took');
  return { records, bytes: records * recordBytes, seconds };
}

async function runTool(
  mainClass: string,
  toolArguments: readonly (readonly string[])[],
): Promise<string> {
  const { stdout } = await runProgram({
    label: mainClass,
    command: 'java',
    arguments: [
      [toolHeap, ...kafkaJvmOptions, '-Dorg.slf4j.simpleLogger.defaultLogLevel=error'],
      ['-cp', await kafkaClassPath(), mainClass],
      ...toolArguments,
    ].flat(),
    timeoutMs: toolMsMax,
  });
  return stdout.toString();
}

function bootstrapOf({ address }: ToolRun): string {
  return `${address.host}:${address.port}`;
}
