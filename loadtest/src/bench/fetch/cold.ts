import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { startStandalone, type StandaloneServer } from '../../peers/kafscale-standalone.js';
import { startBenchS3Server, type BenchS3Server } from '../../peers/s3-server.js';
import { ServerMetrics } from '../../peers/server-metrics.js';
import { runRawLoad } from '../../raw/run-raw-load.js';
import type { LoadResult } from '../../raw/produce-load.js';
import { runYardstick } from '../../raw/run-yardstick.js';
import type { Bench } from '../framework/bench.js';
import type { Verdict } from '../framework/floors.js';
import { endedChildrenCpuSeconds } from '../framework/process-tree.js';
import { ServerMeter, type ServerUsage } from '../framework/server-usage.js';
import { quantile } from '../framework/statistics.js';
import { fillTopic } from '../loads/fetch-loads.js';
import { recordBytes } from '../loads/produce-loads.js';
import { endOffsetsOf } from '../loads/verify-stored.js';

const topic = 'cold';
const prefix = 'cold';
const rangeBytes = 8 * 1024 * 1024;
const parallelisms = [1, 2, 4, 8, 16, 32] as const;
const calibrationBytesQuick = 256e6;
const connections = [1, 4] as const;
const sdkRatioMin = 0.8;
const never = String(24 * 3_600_000);

interface Run {
  readonly bytes: number;
  readonly seconds: number;
  readonly usage: ServerUsage;
  readonly clientCpuSeconds: number;
  readonly gets: number;
}

/**
 * Catch-up reads by a server that was just started, so that nothing is in its memory, from a real S3
 * server that has what it needs in the page cache; beside what the SDK alone gets from that.
 */
export async function coldBench(bench: Bench): Promise<void> {
  const { dataRoot, defer, options } = bench;
  const store = await startBenchS3Server({ dataRoot });
  defer(() => store.stop());
  const cold = new ColdBench(store, bench, await mkdtemp(join(dataRoot, 'cold-')));
  await cold.fill(options.quick ? 1000 : 2000);
  const rows: string[][] = [];
  const verdicts: Verdict[] = [];
  const sdkRuns: Run[] = [];
  const ourRuns = new Map<number, Run[]>(connections.map((count) => [count, []]));
  const parallelism = await cold.bestParallelism(options.quick ? calibrationBytesQuick : undefined);
  for (let round = 0; round < options.runs; round += 1) {
    for (const [count, runs] of ourRuns) runs.push(await cold.read(count));
    sdkRuns.push(await cold.sdk(parallelism));
  }
  for (const [count, runs] of ourRuns) {
    rows.push(rowOf(`KafScale, ${count} connections`, runs));
    const ratio = median(
      runs.map((run, round) => speedOf(run) / speedOf(sdkRuns[round] ?? run)),
      (each) => each,
    );
    const text = `${count} connections: MB/s ≥ ${sdkRatioMin}× the SDK's: ${ratio.toFixed(2)}×`;
    verdicts.push({ text, holds: ratio >= sdkRatioMin });
  }
  rows.push(rowOf(`SDK, ${parallelism} GETs at once`, sdkRuns));
  bench.table({
    title: 'cold',
    description:
      `raw fetch requests, batch headers only, of a topic of 1 KiB records in batches of 16 KiB and ` +
      `6 partitions, 1 MiB per partition and request, by a server that was just started; segments in ` +
      `${store.description}; the SDK reads the same objects in ranges of 8 MiB; medians, ratios of ` +
      `runs side by side`,
    headings,
    rows,
    verdicts,
    figures: { sdkRuns, ourRuns: Object.fromEntries(ourRuns) },
  });
}

class ColdBench {
  readonly #store: BenchS3Server;
  readonly #bench: Pick<Bench, 'dataRoot' | 'options'>;
  readonly #dataDir: string;

  constructor(store: BenchS3Server, bench: Pick<Bench, 'dataRoot' | 'options'>, dataDir: string) {
    this.#store = store;
    this.#bench = bench;
    this.#dataDir = dataDir;
  }

  async fill(megabytes: number): Promise<void> {
    const filled = { name: topic, megabytes, batchKibibytes: 16 };
    await this.#while((server) => fillTopic(server, filled));
  }

  async read(connectionCount: number): Promise<Run> {
    return await this.#while(async (server) => {
      const endOffsets = await endOffsetsOf(server, topic);
      const run = await this.#measure(server.rootPids, () =>
        runRawLoad({
          kind: 'fetch',
          address: server.address,
          topic,
          endOffsets,
          valueBytes: recordBytes,
          connections: connectionCount,
          passes: 1,
          partitionBytesMax: 1024 * 1024,
        }),
      );
      const gets = (await ServerMetrics.read(server.httpUrl)).sum('fetch_store_reads_total');
      return { ...run, gets };
    }, this.#bench.options.profileDir);
  }

  async sdk(parallelism: number): Promise<Run> {
    let gets = 0;
    const run = await this.#measure([], async () => {
      const result = await this.#get(parallelism);
      gets = result.records;
      return result;
    });
    return { ...run, gets };
  }

  /** With how many GETs at once the SDK gets the most from this server, tried once each. */
  async bestParallelism(bytesMax: number | undefined): Promise<number> {
    let best = { parallelism: 1, speed: 0 };
    await this.#get(1, bytesMax);
    for (const parallelism of parallelisms) {
      const speed = speedOf(await this.#get(parallelism, bytesMax));
      console.error(`  SDK, ${parallelism} GETs at once: ${speed.toFixed(0)} MB/s`);
      if (speed > best.speed) best = { parallelism, speed };
    }
    return best.parallelism;
  }

  async #while<Result>(
    work: (server: StandaloneServer) => Promise<Result>,
    profileDir?: string,
  ): Promise<Result> {
    const server = await startStandalone({
      dataRoot: this.#bench.dataRoot,
      profileDir,
      dataDir: this.#dataDir,
      // Merged segments would be read instead of some of these.
      settings: { ...this.#store.settings(prefix), KAFSCALE_COMPACTION_GRACE_MS: never },
    });
    try {
      return await work(server);
    } finally {
      await server.dispose();
    }
  }

  async #measure(
    rootPids: readonly number[],
    work: () => Promise<LoadResult>,
  ): Promise<Omit<Run, 'gets'>> {
    const clientBefore = endedChildrenCpuSeconds();
    const meter = new ServerMeter({ rootPids, storePids: [this.#store.pid] });
    let usage: ServerUsage | undefined;
    try {
      const { bytes, seconds } = await work();
      usage = meter.stop();
      const clientCpuSeconds = endedChildrenCpuSeconds() - clientBefore;
      return { bytes, seconds, usage, clientCpuSeconds };
    } finally {
      if (usage === undefined) meter.stop();
    }
  }

  async #get(parallelism: number, bytesMax?: number): Promise<LoadResult> {
    const { accessKeyId, bucket, endpoint, region, secretAccessKey } = this.#store;
    return await runYardstick({
      kind: 's3Get',
      endpoint,
      bucket,
      region,
      accessKeyId,
      secretAccessKey,
      keyPrefix: `${prefix}/v1/segments/`,
      rangeBytes,
      parallelism,
      bytesMax,
    });
  }
}

const headings = [
  'reader',
  'runs',
  'MB/s (min–max)',
  'GETs/GB',
  'CPU s/GB',
  'of it PostgreSQL',
  'S3 server CPU s/GB',
  'client CPU s/GB',
  'peak RSS MB',
];

function rowOf(name: string, runs: readonly Run[]): string[] {
  const speeds = runs.map(speedOf);
  const perGigabyte = (figure: (run: Run) => number): number =>
    median(runs, (run) => figure(run) / (run.bytes / 1e9));
  const isOurs = runs.some(({ usage }) => usage.peakResidentBytes > 0);
  return [
    name,
    String(runs.length),
    `${quantile(speeds, 0.5).toFixed(0)} (${Math.min(...speeds).toFixed(0)}–${Math.max(...speeds).toFixed(0)})`,
    perGigabyte(({ gets }) => gets).toFixed(0),
    isOurs ? perGigabyte(({ usage }) => usage.cpuSeconds).toFixed(2) : '–',
    isOurs ? perGigabyte(({ usage }) => usage.postgresCpuSeconds).toFixed(2) : '–',
    perGigabyte(({ usage }) => usage.storeCpuSeconds).toFixed(2),
    perGigabyte(({ clientCpuSeconds }) => clientCpuSeconds).toFixed(2),
    isOurs ? median(runs, ({ usage }) => usage.peakResidentBytes / 1e6).toFixed(0) : '–',
  ];
}

/** MB/s. */
function speedOf({ bytes, seconds }: Pick<Run, 'bytes' | 'seconds'>): number {
  return bytes / 1e6 / seconds;
}

function median<Each>(all: readonly Each[], figure: (each: Each) => number): number {
  return quantile(all.map(figure), 0.5);
}
