import { sleep, systemClock } from '@kafscale/core';
import { runProgram } from '../../clients/run-program.js';
import type { BenchServer } from '../../peers/bench-server.js';
import type { OpenLoopLoad, OpenLoopResult } from '../../raw/open-loop-load.js';
import { recordsIn } from '../../raw/produce-frames.js';
import { runRawLoad } from '../../raw/run-raw-load.js';
import { endedChildrenCpuSeconds } from '../framework/process-tree.js';
import { ServerMeter, type ServerUsage } from '../framework/server-usage.js';
import { createTopic, endOffsetsOf, verifyStored } from './verify-stored.js';

export interface OpenLoopRun {
  readonly result: OpenLoopResult;
  /** From the first request to the last answer, warm-up too. */
  readonly usage: ServerUsage;
  readonly clientCpuSeconds: number;
  /** Of record values, warm-up too: what `usage` was spent on. */
  readonly bytesSent: number;
}

type Shape = Omit<OpenLoopLoad, 'address' | 'overtimeSeconds'>;

/** A server that is behind by more has failed at the rate. */
const overtimeSeconds = 20;

/**
 * Makes the topic, runs the load, and compares what was stored with what was acknowledged. `onBegin` is called just
 * before the first request of what `usage` covers.
 */
export async function runOpenLoop(
  server: BenchServer,
  shape: Shape,
  topicConfigs: Readonly<Record<string, string>> = {},
  onBegin: () => Promise<void> = () => Promise.resolve(),
): Promise<OpenLoopRun> {
  const { partitions, topic: name } = shape;
  await createTopic(server, { name, partitions, configs: topicConfigs });
  await untilServed(server, name, partitions);
  const recordsBefore = await touch(server, shape);
  await runProgram({ label: 'sync', command: 'sync', arguments: [], timeoutMs: 120_000 });
  await onBegin();
  const clientBefore = endedChildrenCpuSeconds();
  const meter = new ServerMeter(server);
  let usage: ServerUsage | undefined;
  try {
    const result = await runRawLoad({
      kind: 'openLoop',
      ...shape,
      address: server.address,
      overtimeSeconds,
    });
    usage = meter.stop();
    const clientCpuSeconds = endedChildrenCpuSeconds() - clientBefore;
    await verifyStored(server, name, recordsBefore + result.recordsSent, partitions);
    return { result, usage, clientCpuSeconds, bytesSent: result.recordsSent * shape.valueBytes };
  } finally {
    if (usage === undefined) meter.stop();
  }
}

const servedMsMax = 120_000;

/** Kafka names leaders before they have made their logs. */
async function untilServed(server: BenchServer, topic: string, partitions: number): Promise<void> {
  const deadlineMs = systemClock.monotonicMs() + servedMsMax;
  for (;;) {
    try {
      await endOffsetsOf(server, topic, partitions);
      return;
    } catch (error) {
      if (systemClock.monotonicMs() > deadlineMs) throw error;
      await sleep(200);
    }
  }
}

/** Below, the warm-up does it. */
const touchedPartitionsMin = 1_000;

/**
 * One request from each place, at the server's own pace: the first write to a partition opens files in
 * some servers, which for thousands of them would be the most of what is measured.
 */
async function touch(server: BenchServer, shape: Shape): Promise<number> {
  const { connections, inFlightPerConnection, partitions } = shape;
  if (partitions < touchedPartitionsMin) return 0;
  const { records } = await runRawLoad({
    kind: 'produce',
    address: server.address,
    topic: shape.topic,
    partitions,
    batchBytes: shape.batchBytes,
    batchesPerRequest: shape.batchesPerRequest,
    valueBytes: shape.valueBytes,
    connections,
    inFlightPerConnection,
    totalBytes:
      connections *
      inFlightPerConnection *
      shape.batchesPerRequest *
      recordsIn(shape) *
      shape.valueBytes,
  });
  return records;
}

/** Server CPU seconds per 10⁹ bytes of record values. */
export function cpuSecondsPerGigabyte({ bytesSent, usage }: OpenLoopRun): number {
  return usage.cpuSeconds / (bytesSent / 1e9);
}
