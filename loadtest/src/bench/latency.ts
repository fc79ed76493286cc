import type { BenchServer } from '../peers/bench-server.js';
import { startStandalone, type StandaloneServer } from '../peers/kafscale-standalone.js';
import { startBenchS3Server, type BenchS3Server } from '../peers/s3-server.js';
import { ServerMetrics } from '../peers/server-metrics.js';
import type { LatencyFigures } from '../raw/latency-figures.js';
import { runBench, type Bench } from './framework/bench.js';
import type { Verdict } from './framework/floors.js';
import { cpuSecondsPerGigabyte, runOpenLoop, type OpenLoopRun } from './loads/open-loop-run.js';
import { probePuts } from './loads/put-probe.js';
import { benchPartitions } from './loads/verify-stored.js';

/** Produce latency at rates that are given, not at the most that goes: `npm run bench:latency`. */

const ratesMegabytesPerSecond = [1, 5, 20];
const valueBytes = 1024;
const batchBytes = 16 * 1024;
/** With answers after 250 ms a client needs more requests under way than one connection may have. */
const flushAtOnce = { connections: 4, inFlightPerConnection: 32 };
const flushByAge = { connections: 16, inFlightPerConnection: 32 };

async function latencyBench(bench: Bench): Promise<void> {
  const { dataRoot, defer, peer } = bench;
  const latency = new LatencyBench(bench);
  for (const server of bench.servers) await latency.warmUp(server);
  for (const megabytes of ratesMegabytesPerSecond) {
    for (const server of bench.servers) await latency.atOnce(megabytes, server, server === peer);
  }
  latency.print('flush 0', atOnceDescription);
  if (bench.options.only === 'peer') return;
  const store = await startBenchS3Server({ dataRoot });
  defer(() => store.stop());
  const settings = store.settings('latency');
  const byAge = await startStandalone({ dataRoot, settings, name: 'KafScale with S3' });
  defer(() => byAge.dispose());
  await latency.warmUp(byAge);
  for (const megabytes of ratesMegabytesPerSecond) await latency.byAge(megabytes, byAge, store);
  latency.print('flush 250 ms', byAgeDescription(store));
}

const shapeDescription =
  `Open loop: requests of one batch of 16 KiB (1 KiB records) are sent when they are due, round robin ` +
  `over ${benchPartitions} partitions; latency is from then to the answer, acks=all.`;
const atOnceDescription =
  `${shapeDescription} ${flushAtOnce.connections} connections; local files and flush.interval.ms=0, ` +
  `beside Kafka with flush.messages=1 (fsync before the ack).`;

function byAgeDescription({ description }: BenchS3Server): string {
  return (
    `${shapeDescription} ${flushByAge.connections} connections; flush.interval.ms=250 and S3: ` +
    `${description}. "PUT" is of an object as large as the mean segment of the run, alone afterwards.`
  );
}

class LatencyBench {
  readonly #bench: Bench;
  #rows: string[][] = [];
  #verdicts: Verdict[] = [];
  /** Of the last run with flush 0. */
  #ours: LatencyFigures | undefined;
  #runs = 0;

  constructor(bench: Bench) {
    this.#bench = bench;
  }

  async warmUp(server: BenchServer): Promise<void> {
    await this.#run(server, { megabytes: 20, seconds: 4 }, flushByAge);
  }

  /** Ours first, then the peer at the same rate. */
  async atOnce(megabytes: number, server: BenchServer, isPeer: boolean): Promise<void> {
    const configs = isPeer ? { 'flush.messages': '1' } : undefined;
    const run = await this.#measured(server, megabytes, flushAtOnce, configs);
    this.#row(isPeer ? `${server.name}, fsync before ack` : server.name, megabytes, run, '–');
    if (isPeer) this.#judgeAtOnce(megabytes, run.result.latency);
    else this.#ours = run.result.latency;
    if (this.#bench.peer === undefined) this.#judgeAtOnce(megabytes, undefined);
  }

  async byAge(megabytes: number, server: StandaloneServer, store: BenchS3Server): Promise<void> {
    const before = await ServerMetrics.read(server.httpUrl);
    const run = await this.#measured(server, megabytes, flushByAge);
    const after = await ServerMetrics.read(server.httpUrl);
    const segments = after.since(before, 'ingest_segments_committed_total');
    const bytes = Math.round(after.since(before, 'ingest_batch_bytes_total') / segments);
    const put = await probePuts(store, { bytes, count: this.#bench.options.quick ? 100 : 400 });
    const perSecond = segments / (run.bytesSent / 1e6 / megabytes);
    this.#row(
      server.name,
      megabytes,
      run,
      `${(bytes / 1e6).toFixed(2)} MB, p50 ${put.p50.toFixed(0)}, p99 ${put.p99.toFixed(0)} ms, ` +
        `${perSecond.toFixed(1)}/s`,
    );
    const { p99 } = run.result.latency;
    this.#verdicts.push({
      text: `${megabytes} MB/s, flush 250: p99 ${p99.toFixed(0)} ≤ 400 + ${put.p99.toFixed(0)} ms`,
      holds: p99 <= 400 + put.p99,
    });
  }

  print(title: string, description: string): void {
    const [rows, verdicts] = [this.#rows, this.#verdicts];
    this.#bench.table({ title, description, headings, rows, verdicts });
    this.#rows = [];
    this.#verdicts = [];
  }

  #judgeAtOnce(megabytes: number, theirs: LatencyFigures | undefined): void {
    const ours = this.#ours;
    if (ours === undefined) return;
    const isFast = ours.p50 <= 8 && ours.p99 <= 25;
    const isNear = theirs !== undefined && ours.p50 <= 3 * theirs.p50 && ours.p99 <= 3 * theirs.p99;
    const beside =
      theirs === undefined
        ? ''
        : `, or 3× Kafka's ${theirs.p50.toFixed(1)} and ${theirs.p99.toFixed(1)}`;
    this.#verdicts.push({
      text:
        `${megabytes} MB/s, flush 0: p50 ${ours.p50.toFixed(1)} ≤ 8 ms and ` +
        `p99 ${ours.p99.toFixed(1)} ≤ 25 ms${beside}`,
      holds: isFast || isNear,
    });
  }

  async #measured(
    server: BenchServer,
    megabytes: number,
    connections: typeof flushAtOnce,
    configs: Readonly<Record<string, string>> = {},
  ): Promise<OpenLoopRun> {
    const seconds = this.#bench.options.quick ? 8 : 60;
    const run = await this.#run(server, { megabytes, seconds }, connections, configs);
    const { p50, p99 } = run.result.latency;
    console.error(
      `  ${server.name} at ${megabytes} MB/s: p50 ${p50.toFixed(1)} p99 ${p99.toFixed(1)} ms`,
    );
    return run;
  }

  async #run(
    server: BenchServer,
    { megabytes, seconds }: { readonly megabytes: number; readonly seconds: number },
    connections: typeof flushAtOnce,
    configs: Readonly<Record<string, string>> = {},
  ): Promise<OpenLoopRun> {
    this.#runs += 1;
    const shape = {
      topic: `latency-${this.#runs}`,
      partitions: benchPartitions,
      batchBytes,
      batchesPerRequest: 1,
      valueBytes,
      ...connections,
      bytesPerSecond: megabytes * 1e6,
      warmUpSeconds: 2,
      seconds,
    };
    return await runOpenLoop(server, shape, configs);
  }

  #row(name: string, megabytes: number, run: OpenLoopRun, put: string): void {
    const { latency, bytes, seconds } = run.result;
    const cores = run.clientCpuSeconds / (run.bytesSent / 1e6 / megabytes);
    this.#rows.push([
      name,
      String(megabytes),
      (bytes / 1e6 / seconds).toFixed(1),
      ...[latency.p50, latency.p99, latency.p999, latency.max].map((each) => each.toFixed(1)),
      cpuSecondsPerGigabyte(run).toFixed(1),
      cores.toFixed(2),
      put,
    ]);
  }
}

const headings = [
  'server',
  'MB/s offered',
  'answered',
  'p50 ms',
  'p99',
  'p99.9',
  'max',
  'server CPU s/GB',
  'client cores',
  'PUT',
];

await runBench({ name: 'latency', runs: { quick: 1, full: 1 }, body: latencyBench });
