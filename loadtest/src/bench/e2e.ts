import { startApacheKafka } from '../peers/apache-kafka.js';
import type { BenchServer } from '../peers/bench-server.js';
import { startStandalone, type StandaloneServer } from '../peers/kafscale-standalone.js';
import { startBenchS3Server } from '../peers/s3-server.js';
import { ServerMetrics } from '../peers/server-metrics.js';
import { runStand, type Stand } from './framework/stand.js';
import { runTail, tailCpuSecondsPerGigabyte, type TailRun } from './loads/tail-run.js';
import { benchPartitions } from './loads/verify-stored.js';

/** From when a record is due until a consumer has it, at a given rate: `npm run bench:e2e`. */

const megabytesPerSecond = 5;
const shape = {
  partitions: benchPartitions,
  batchBytes: 16 * 1024,
  valueBytes: 1024,
  bytesPerSecond: megabytesPerSecond * 1e6,
  readers: 1,
  warmUpSeconds: 10,
};
const secondsFull = 60;
const secondsQuick = 15;

interface LatencyFloor {
  readonly p50: number;
  readonly p99: number;
}

const atOnce: LatencyFloor = { p50: 10, p99: 30 };
const byAge: LatencyFloor = { p50: 300, p99: 450 };

class EndToEndBench {
  readonly #stand: Stand;
  readonly #rows: string[][] = [];

  constructor(stand: Stand) {
    this.#stand = stand;
  }

  async run(): Promise<void> {
    const { dataRoot, options, report, started } = this.#stand;
    report.section(
      'end to end',
      `open loop: ${megabytesPerSecond} MB/s of 1 KiB records in batches of 16 KiB, one per ` +
        `request, ${benchPartitions} partitions, acks=all; one raw consumer of all of them, ` +
        `max_wait 500 ms; latency is from when a batch was due to be sent until the consumer had it`,
    );
    const stop = (server: BenchServer): Promise<void> => server.dispose();
    const files = started(await startStandalone({ dataRoot, name: 'KafScale, files' }), stop);
    await this.#measure(files, files, 'flush 0', atOnce);
    if (options.only !== 'ours') {
      const peer = started(await startApacheKafka({ dataRoot }), stop);
      await this.#measure(peer, undefined, 'page cache');
    }
    const store = started(await startBenchS3Server({ dataRoot }), (each) => each.stop());
    const settings = store.settings('e2e');
    const name = 'KafScale, S3';
    const bucket = started(
      await startStandalone({ dataRoot, settings, name, storePids: [store.pid] }),
      stop,
    );
    await this.#measure(bucket, bucket, 'flush 250 ms', byAge);
    report.table(headings, this.#rows);
  }

  async #measure(
    server: BenchServer,
    ours: StandaloneServer | undefined,
    flush: string,
    floor?: LatencyFloor,
  ): Promise<void> {
    const { options, report } = this.#stand;
    const seconds = options.quick ? secondsQuick : secondsFull;
    const before = ours && (await ServerMetrics.read(ours.httpUrl));
    const run = await runTail(server, { ...shape, topic: 'e2e', seconds });
    const gets =
      ours &&
      before &&
      (await ServerMetrics.read(ours.httpUrl)).since(before, 'fetch_store_reads_total');
    report.keep(server.name, { ...run, gets });
    this.#rows.push(rowOf({ server: server.name, flush, run, gets }));
    if (floor === undefined) return;
    const { p50, p99 } = run.result.latency;
    report.floor(
      `${flush}: p50/p99 ≤ ${floor.p50}/${floor.p99} ms: ${p50.toFixed(1)}/${p99.toFixed(1)}`,
      p50 <= floor.p50 && p99 <= floor.p99,
    );
  }
}

const headings = [
  'server',
  'flush',
  'p50 ms',
  'p99 ms',
  'p99.9 ms',
  'max ms',
  'fetches/s',
  'GETs/GB',
  'CPU s/GB',
  'of it PostgreSQL',
  'client CPU s/GB',
];

function rowOf(row: {
  readonly server: string;
  readonly flush: string;
  readonly run: TailRun;
  readonly gets: number | undefined;
}): string[] {
  const { flush, gets, run, server } = row;
  const { bytesWritten, fetches, latency } = run.result;
  const gigabytes = bytesWritten / 1e9;
  const totalSeconds = bytesWritten / shape.bytesPerSecond;
  return [
    server,
    flush,
    ...[latency.p50, latency.p99, latency.p999, latency.max].map((each) => each.toFixed(1)),
    (fetches / totalSeconds).toFixed(0),
    gets === undefined ? '–' : (gets / gigabytes).toFixed(0),
    tailCpuSecondsPerGigabyte(run).toFixed(2),
    gets === undefined ? '–' : (run.usage.postgresCpuSeconds / gigabytes).toFixed(2),
    (run.clientCpuSeconds / gigabytes).toFixed(2),
  ];
}

await runStand({ name: 'e2e', body: (stand) => new EndToEndBench(stand).run() });
