import type { BenchServer } from '../peers/bench-server.js';
import { startApacheKafka } from '../peers/apache-kafka.js';
import { startStandalone, type StandaloneServer } from '../peers/kafscale-standalone.js';
import { startBenchS3Server } from '../peers/s3-server.js';
import { ServerMetrics } from '../peers/server-metrics.js';
import { runStand, type Stand } from './framework/stand.js';
import { runTail, tailCpuSecondsPerGigabyte, type TailRun } from './loads/tail-run.js';
import { benchPartitions } from './loads/verify-stored.js';

/** Many groups tail one topic: `npm run bench:fanout`. */

const groups = 10;
const megabytesPerSecond = 20;
const shape = {
  topic: 'fanout',
  partitions: benchPartitions,
  batchBytes: 64 * 1024,
  valueBytes: 1024,
  bytesPerSecond: megabytesPerSecond * 1e6,
  readers: groups,
  warmUpSeconds: 5,
};
const secondsFull = 60;
const secondsQuick = 15;

const loadsPerExtentMax = 1;
/** A block is an extent here: all partitions together may have this many GETs per GB. */
const getsPerGigabyteMax = 1;

/** What readers that want the same at the same time share counts once. */
const loadMetrics = [
  'fetch_writer_views_total',
  'fetch_writer_reads_total',
  'fetch_store_reads_total',
];

interface Counts {
  /** Index rows: what a segment has of a partition. */
  readonly extents: number;
  /** From the writer's memory, or by a GET; one may be of several extents of a segment. */
  readonly loads: number;
  readonly gets: number;
}

class FanoutBench {
  readonly #stand: Stand;
  readonly #rows: string[][] = [];

  constructor(stand: Stand) {
    this.#stand = stand;
  }

  async run(): Promise<void> {
    const { dataRoot, options, report, started } = this.#stand;
    report.section(
      'fan-out',
      `${groups} groups of one raw consumer each tail ${benchPartitions} partitions that ` +
        `${megabytesPerSecond} MB/s of 1 KiB records are written to, in batches of 64 KiB; a load is ` +
        `a read of the writer's memory or of the store; CPU is per GB that readers got`,
    );
    const stop = (server: BenchServer): Promise<void> => server.dispose();
    const files = started(await startStandalone({ dataRoot, name: 'KafScale, files' }), stop);
    await this.#ours(files);
    if (options.only !== 'ours') {
      const peer = started(await startApacheKafka({ dataRoot }), stop);
      const run = await this.#tail(peer);
      this.#rows.push(rowOf(peer.name, run, undefined));
    }
    const store = started(await startBenchS3Server({ dataRoot }), (each) => each.stop());
    const [settings, name] = [store.settings('fanout'), 'KafScale, S3'];
    await this.#ours(
      started(await startStandalone({ dataRoot, settings, name, storePids: [store.pid] }), stop),
    );
    report.table(headings, this.#rows);
  }

  async #tail(server: BenchServer): Promise<TailRun> {
    const { options, report } = this.#stand;
    const run = await runTail(server, {
      ...shape,
      seconds: options.quick ? secondsQuick : secondsFull,
    });
    report.keep(server.name, run);
    return run;
  }

  async #ours(server: StandaloneServer): Promise<void> {
    const { report } = this.#stand;
    const before = await ServerMetrics.read(server.httpUrl);
    const run = await this.#tail(server);
    const after = await ServerMetrics.read(server.httpUrl);
    const grown = (metric: string): number => after.since(before, metric);
    const counts = {
      extents: grown('coordinator_extents_total'),
      loads: loadMetrics.reduce((sum, metric) => sum + grown(metric), 0),
      gets: grown('fetch_store_reads_total'),
    };
    report.keep(server.name, counts);
    this.#rows.push(rowOf(server.name, run, counts));
    const loadsPerExtent = counts.loads / counts.extents;
    const getsPerGigabyte = counts.gets / (run.result.bytesWritten / 1e9);
    report.floor(
      `${server.name}: ≤ ${loadsPerExtentMax} load per block: ${loadsPerExtent.toFixed(3)}`,
      loadsPerExtent <= loadsPerExtentMax,
    );
    report.floor(
      `${server.name}: GETs at the tail ≈ 0 (≤ ${getsPerGigabyteMax} per GB written): ` +
        getsPerGigabyte.toFixed(2),
      getsPerGigabyte <= getsPerGigabyteMax,
    );
  }
}

const headings = [
  'server',
  'MB/s written',
  'MB/s read',
  'p50 ms',
  'p99 ms',
  'extents',
  'loads per extent',
  'GETs',
  'CPU s/GB read',
  'of it PostgreSQL',
  'client CPU s/GB read',
];

function rowOf(server: string, run: TailRun, counts: Counts | undefined): string[] {
  const { bytes, latency, seconds } = run.result;
  const read = bytes / 1e6 / seconds;
  return [
    server,
    (read / groups).toFixed(1),
    read.toFixed(1),
    latency.p50.toFixed(1),
    latency.p99.toFixed(1),
    counts === undefined ? '–' : String(counts.extents),
    counts === undefined ? '–' : (counts.loads / counts.extents).toFixed(3),
    counts === undefined ? '–' : String(counts.gets),
    (tailCpuSecondsPerGigabyte(run) / groups).toFixed(2),
    counts === undefined
      ? '–'
      : (run.usage.postgresCpuSeconds / ((run.result.bytesWritten / 1e9) * groups)).toFixed(2),
    (run.clientCpuSeconds / ((run.result.bytesWritten / 1e9) * groups)).toFixed(2),
  ];
}

await runStand({ name: 'fanout', body: (stand) => new FanoutBench(stand).run() });
