import { describeError } from '@kafscale/core';
import { startApacheKafka } from '../peers/apache-kafka.js';
import type { BenchServer } from '../peers/bench-server.js';
import { startStandalone, type StandaloneServer } from '../peers/kafscale-standalone.js';
import { startBenchS3Server } from '../peers/s3-server.js';
import { ServerMetrics } from '../peers/server-metrics.js';
import { runBench, type Bench } from './framework/bench.js';
import type { Verdict } from './framework/floors.js';
import { cpuSecondsPerGigabyte, runOpenLoop, type OpenLoopRun } from './loads/open-loop-run.js';

/**
 * What partitions cost at a fixed rate: `npm run bench:partitions`. The same bytes in requests of the
 * same size, over more and more partitions.
 */

const megabytesPerSecond = 20;
const partitionCounts = [1, 6, 100, 1_000, 10_000];
const valueBytes = 1024;
/** A request has about a MB whatever the partitions: 972 or 1,000 records. */
const batchesPerRequestMax = 1_000;
const connections = 4;
const inFlightPerConnection = 8;

const ratioTo6Max = 2;
/**
 * PUTs per second are called constant within this: a segment begins with a request, and they come every 50 ms, so
 * there are 250 to 300 ms from one to the next, whatever is in it.
 */
const putsRatioMax = 1.25;

interface Row {
  readonly server: string;
  readonly partitions: number;
  readonly run: OpenLoopRun;
  /** Of ours. */
  readonly own: OwnFigures | undefined;
}

interface OwnFigures {
  readonly putsPerSecond: number;
  readonly extentsPerSecond: number;
  readonly extents: number;
  readonly commitMs: number;
}

async function partitionsBench(bench: Bench): Promise<void> {
  const rows: Row[] = [];
  const failures: string[] = [];
  const noteUnsent = ({ partitions, run, server }: Row): void => {
    const { requests, unsent } = run.result;
    if (unsent === 0) return;
    failures.push(
      `${server} did not keep up at ${partitions}: ${unsent} of ${requests + unsent} requests could not be ` +
        `sent until 20 s after the last one was due, and are in no figure.`,
    );
  };
  const measureAll = async (server: BenchServer, ours?: StandaloneServer): Promise<void> => {
    for (const partitions of [6, 1_000]) {
      const warming = runAt(server, { partitions, seconds: 3, topic: `warm-${partitions}` });
      // A peer that fails here fails again where it counts, and that is reported.
      await warming.catch((error: unknown) => {
        if (ours !== undefined) throw error;
      });
    }
    for (const partitions of partitionCounts) {
      if (!`${partitions}`.includes(bench.options.loadFilter)) continue;
      const row = await measured(bench, server, partitions, ours).catch((error: unknown) => {
        if (ours !== undefined) throw error;
        failures.push(`${server.name} failed at ${partitions}: ${describeError(error)}`);
      });
      if (row === undefined) continue;
      rows.push(row);
      noteUnsent(row);
    }
  };
  for (const server of bench.servers) {
    await measureAll(server, hasMetrics(server) ? server : undefined);
  }
  bench.table({
    title: `${megabytesPerSecond} MB/s over 1 to 10,000 partitions`,
    description: describe(failures),
    headings,
    rows: rows.map(cellsOf),
    verdicts: verdictsOf(rows),
    figures: rows,
  });
}

/** Ours have metrics. */
function hasMetrics(server: BenchServer): server is StandaloneServer {
  return 'httpUrl' in server;
}

const headings = [
  'server',
  'partitions',
  'MB/s',
  'PUTs/s',
  'extents/s',
  'commit ms',
  'CPU s/GB',
  'of it PostgreSQL',
  'CPU µs/extent',
  'peak RSS MB',
  'p50 ms',
  'p99',
  'client cores',
];

function describe(failures: readonly string[]): string {
  return [
    `Open loop, acks=all, ${connections} connections: requests of about 1 MB of 1 KiB records, with a ` +
      `batch for each of up to ${batchesPerRequestMax} partitions, so of one record from 1,000 on; at ` +
      `10,000 each request goes to another tenth. PUTs are the segments that our server counted.`,
    `"CPU µs/extent" is all of the CPU time, divided by the index rows written: from 1,000 on it is `,
    `what an extent costs, with its share of everything else.`,
    ...failures,
  ].join('\n');
}

function cellsOf({ own, partitions, run, server }: Row): string[] {
  const { bytes, latency, seconds } = run.result;
  return [
    server,
    String(partitions),
    (bytes / 1e6 / seconds).toFixed(1),
    own?.putsPerSecond.toFixed(1) ?? '–',
    own?.extentsPerSecond.toFixed(0) ?? '–',
    own?.commitMs.toFixed(1) ?? '–',
    cpuSecondsPerGigabyte(run).toFixed(1),
    own === undefined ? '–' : (run.usage.postgresCpuSeconds / (run.bytesSent / 1e9)).toFixed(1),
    own === undefined ? '–' : ((run.usage.cpuSeconds / own.extents) * 1e6).toFixed(0),
    (run.usage.peakResidentBytes / 1e6).toFixed(0),
    latency.p50.toFixed(0),
    latency.p99.toFixed(0),
    (run.clientCpuSeconds / (run.bytesSent / 1e6 / megabytesPerSecond)).toFixed(2),
  ];
}

function verdictsOf(rows: readonly Row[]): Verdict[] {
  const verdicts: Verdict[] = [];
  const ours = rows.filter(({ own }) => own !== undefined);
  const cost = (from: readonly Row[], partitions: number): number | undefined => {
    const row = from.find((each) => each.partitions === partitions);
    return row === undefined ? undefined : cpuSecondsPerGigabyte(row.run);
  };
  if (ours.length > 1) {
    const puts = ours.map(({ own }) => own?.putsPerSecond ?? 0);
    const ratio = Math.max(...puts) / Math.min(...puts);
    verdicts.push({
      text: `PUTs/s constant: largest ÷ smallest ${ratio.toFixed(2)} ≤ ${putsRatioMax}`,
      holds: ratio <= putsRatioMax,
    });
  }
  for (const { partitions, run, server } of ours) {
    if (run.result.unsent === 0) continue;
    verdicts.push({ text: `${server} keeps up at ${partitions}`, holds: false });
  }
  const [at6, at1000, at10000] = [cost(ours, 6), cost(ours, 1_000), cost(ours, 10_000)];
  if (at6 !== undefined && at1000 !== undefined) {
    verdicts.push({
      text: `CPU s/GB at 1,000 ÷ that at 6: ${(at1000 / at6).toFixed(2)} ≤ ${ratioTo6Max}`,
      holds: at1000 <= ratioTo6Max * at6,
    });
  }
  const theirs = rows.filter(({ own }) => own === undefined);
  const peerAt10000 = cost(theirs, 10_000);
  if (at10000 !== undefined && peerAt10000 !== undefined) {
    verdicts.push({
      text: `CPU s/GB at 10,000: ${at10000.toFixed(1)} ≤ Kafka's ${peerAt10000.toFixed(1)}`,
      holds: at10000 <= peerAt10000,
    });
  }
  return verdicts;
}

async function measured(
  bench: Bench,
  server: BenchServer,
  partitions: number,
  ours: StandaloneServer | undefined,
): Promise<Row> {
  const seconds = bench.options.quick ? 5 : 40;
  const topic = `partitions-${partitions}`;
  let before: ServerMetrics | undefined;
  // Not before: 1,000 partitions and more get a first request each, which is not in the CPU time either.
  const onBegin = async (): Promise<void> => {
    before = ours && (await ServerMetrics.read(ours.httpUrl));
  };
  const run = await runAt(server, { partitions, seconds, topic }, onBegin);
  const after = ours && (await ServerMetrics.read(ours.httpUrl));
  const own = before && after && ownFigures(before, after, run);
  console.error(
    `  ${server.name} at ${partitions}: ${cpuSecondsPerGigabyte(run).toFixed(1)} CPU s/GB, ` +
      `${own?.putsPerSecond.toFixed(1) ?? '–'} PUTs/s, p50 ${run.result.latency.p50.toFixed(0)} ms`,
  );
  return { server: server.name, partitions, run, own };
}

function ownFigures(before: ServerMetrics, after: ServerMetrics, run: OpenLoopRun): OwnFigures {
  const segments = after.since(before, 'ingest_segments_committed_total');
  const extents = after.since(before, 'coordinator_extents_total');
  const transactions = after.since(before, 'coordinator_commit_seconds_count');
  const seconds = after.since(before, 'coordinator_commit_seconds_sum');
  const duration = run.result.seconds + warmUpSeconds;
  return {
    putsPerSecond: segments / duration,
    extentsPerSecond: extents / duration,
    extents,
    commitMs: (seconds / transactions) * 1000,
  };
}

const warmUpSeconds = 2;

async function runAt(
  server: BenchServer,
  load: { readonly partitions: number; readonly seconds: number; readonly topic: string },
  onBegin?: () => Promise<void>,
): Promise<OpenLoopRun> {
  const { partitions, seconds, topic } = load;
  const batchesPerRequest = Math.min(partitions, batchesPerRequestMax);
  const recordsPerBatch = Math.max(1, Math.floor(972 / batchesPerRequest));
  const shape = {
    topic,
    partitions,
    batchBytes: 61 + recordsPerBatch * (valueBytes + 10),
    batchesPerRequest,
    valueBytes,
    connections,
    inFlightPerConnection,
    bytesPerSecond: megabytesPerSecond * 1e6,
    warmUpSeconds,
    seconds,
  };
  return await runOpenLoop(server, shape, {}, onBegin);
}

await runBench({
  name: 'partitions',
  runs: { quick: 1, full: 1 },
  start: async (context) => {
    const { dataRoot, defer, options } = context;
    const { only, profileDir } = options;
    const peer = only === 'ours' ? undefined : await startApacheKafka({ dataRoot });
    if (peer !== undefined) defer(() => peer.dispose());
    if (only === 'peer') return { peer };
    const store = await startBenchS3Server({ dataRoot });
    defer(() => store.stop());
    const ours = await startStandalone({
      dataRoot,
      profileDir,
      settings: store.settings('partitions'),
      description: `kafscale standalone, flush.interval.ms=250 and S3: ${store.description}`,
      storePids: [store.pid],
    });
    defer(() => ours.dispose());
    return { ours, peer };
  },
  body: partitionsBench,
});
