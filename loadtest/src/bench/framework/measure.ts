import { invariant, systemClock } from '@kafscale/core';
import { runProgram } from '../../clients/run-program.js';
import type { BenchServer } from '../../peers/bench-server.js';
import type { LoadResult } from '../../raw/produce-load.js';
import { endedChildrenCpuSeconds } from './process-tree.js';
import { ServerMeter, type ServerUsage } from './server-usage.js';

/** Work for a server, done by client processes that end with it. */
export interface Load {
  readonly name: string;
  /** What it does, for the report. */
  readonly description: string;
  /** Called before each run, unmeasured: makes the topic, for example. */
  prepare(server: BenchServer, run: RunId): Promise<void>;
  /** Throws when the server did not do all of the work. Measured. */
  run(server: BenchServer, run: RunId): Promise<LoadResult>;
  /** Called after each run, unmeasured. Throws when the server says that something is missing. */
  verify(server: BenchServer, run: RunId, result: LoadResult): Promise<void>;
}

export interface RunId {
  /** Differs between all runs of a benchmark: for names of topics and groups. */
  readonly id: string;
  /** A warm-up does a part of the work; its figures are thrown away. */
  readonly isWarmUp: boolean;
}

export interface Measurement {
  readonly result: LoadResult;
  readonly server: ServerUsage;
  readonly client: ClientUsage;
}

/** Of the client processes, from their start to their end: a JVM's start-up is in it. */
export interface ClientUsage {
  readonly cpuSeconds: number;
  readonly wallSeconds: number;
}

let runCount = 0;

/** One run of a load, verified. What earlier runs left in the page cache is written out first. */
export async function measure(
  server: BenchServer,
  load: Load,
  isWarmUp: boolean,
): Promise<Measurement> {
  runCount += 1;
  const run: RunId = { id: `${load.name}-${runCount}`, isWarmUp };
  await load.prepare(server, run);
  await runProgram({ label: 'sync', command: 'sync', arguments: [], timeoutMs: 120_000 });
  const meter = new ServerMeter(server);
  const clientCpuBefore = endedChildrenCpuSeconds();
  const startMs = systemClock.monotonicMs();
  let result: LoadResult;
  try {
    result = await load.run(server, run);
  } catch (error) {
    meter.stop();
    throw error;
  }
  const client = {
    cpuSeconds: endedChildrenCpuSeconds() - clientCpuBefore,
    wallSeconds: (systemClock.monotonicMs() - startMs) / 1000,
  };
  const usage = meter.stop();
  invariant(result.bytes > 0 && result.seconds > 0, 'a load does something');
  await load.verify(server, run, result);
  return { result, server: usage, client };
}

/** A server under a load, as one row of a table. */
export interface Contender {
  readonly name: string;
  readonly server: BenchServer;
  readonly load: Load;
  /** Whose promises the floors are. */
  readonly isOurs?: boolean;
}

export interface ContenderRuns {
  readonly contender: Contender;
  readonly runs: readonly Measurement[];
}

/**
 * Drives the contenders in turn: a warm-up each, then `runs` rounds, every second one in the opposite
 * order, so that run n of one stands beside run n of the other and neither always goes first.
 */
export async function alternate(
  contenders: readonly Contender[],
  runs: number,
): Promise<ContenderRuns[]> {
  const results = contenders.map((contender) => ({ contender, runs: [] as Measurement[] }));
  for (const { contender } of results) await measure(contender.server, contender.load, true);
  for (let round = 0; round < runs; round += 1) {
    for (const each of round % 2 === 0 ? results : results.toReversed()) {
      const measurement = await measure(each.contender.server, each.contender.load, false);
      each.runs.push(measurement);
      progress(each.contender, measurement);
    }
  }
  return results;
}

function progress(contender: Contender, { result, server }: Measurement): void {
  const megabytes = result.bytes / 1e6;
  const figures = [
    `${(megabytes / result.seconds).toFixed(1)} MB/s`,
    `${(server.cpuSeconds / (megabytes / 1000)).toFixed(2)} CPU s/GB`,
  ];
  console.error(`  ${contender.load.name} ${contender.name}: ${figures.join(', ')}`);
}
