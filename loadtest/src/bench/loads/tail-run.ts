import { runProgram } from '../../clients/run-program.js';
import type { BenchServer } from '../../peers/bench-server.js';
import { runRawLoad } from '../../raw/run-raw-load.js';
import type { TailLoad, TailResult } from '../../raw/tail-load.js';
import { endedChildrenCpuSeconds } from '../framework/process-tree.js';
import { ServerMeter, type ServerUsage } from '../framework/server-usage.js';
import { createTopic } from './verify-stored.js';

export interface TailRun {
  readonly result: TailResult;
  /** From the first request to the last record, warm-up too. */
  readonly usage: ServerUsage;
  /** Of all clients that ended meanwhile. */
  readonly clientCpuSeconds: number;
}

/** Makes the topic, writes and reads it. Every reader has had every record when this resolves. */
export async function runTail(
  server: BenchServer,
  shape: Omit<TailLoad, 'address'>,
): Promise<TailRun> {
  const { partitions, topic: name } = shape;
  await createTopic(server, { name, partitions });
  await runProgram({ label: 'sync', command: 'sync', arguments: [], timeoutMs: 120_000 });
  const clientBefore = endedChildrenCpuSeconds();
  const meter = new ServerMeter(server);
  let usage: ServerUsage | undefined;
  try {
    const result = await runRawLoad({ kind: 'tail', ...shape, address: server.address });
    usage = meter.stop();
    return { result, usage, clientCpuSeconds: endedChildrenCpuSeconds() - clientBefore };
  } finally {
    if (usage === undefined) meter.stop();
  }
}

/** Server CPU seconds per 10⁹ bytes of record values written: reading them is in it. */
export function tailCpuSecondsPerGigabyte({ result, usage }: TailRun): number {
  return usage.cpuSeconds / (result.bytesWritten / 1e9);
}
