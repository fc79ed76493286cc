import { startCoordinatorServer, type CoordinatorServer } from '../peers/kafscale-coordinator.js';
import { ServerMetrics } from '../peers/server-metrics.js';
import { runRawLoad } from '../raw/run-raw-load.js';
import { runBench, type Bench } from './framework/bench.js';
import type { Verdict } from './framework/floors.js';
import { endedChildrenCpuSeconds } from './framework/process-tree.js';
import { ServerMeter } from './framework/server-usage.js';

/** The coordinator alone, with segments that nobody has uploaded: `npm run bench:commit`. */

const partitions = 100;
const batchesPerPartition = 10;
const warmUpSeconds = 3;

const oneP50MsMax = 15;
const six = 6;
const sixSegmentsPerSecondMin = 80;

interface Shape {
  readonly committers: number;
  readonly producersPerPartition: number;
}

/** The batches of a partition are of one producer, in sequence, or each of another. */
const shapes: readonly Shape[] = [
  { committers: 1, producersPerPartition: 1 },
  { committers: six, producersPerPartition: 1 },
  { committers: 1, producersPerPartition: batchesPerPartition },
  { committers: six, producersPerPartition: batchesPerPartition },
];

async function commitBench(bench: Bench): Promise<void> {
  const { dataRoot, defer, options } = bench;
  const { profileDir } = options;
  const coordinator = await startCoordinatorServer({ dataRoot, profileDir });
  defer(() => coordinator.dispose());
  const rows: string[][] = [];
  const verdicts: Verdict[] = [];
  const figures: unknown[] = [];
  for (const shape of shapes) {
    const measured = await measure(coordinator, shape, options.quick ? 12 : 60);
    rows.push(measured.row);
    if (measured.verdict !== undefined) verdicts.push(measured.verdict);
    figures.push(measured.figures);
  }
  bench.table({
    title: 'commits',
    description:
      `${coordinator.description}. Each segment has ${batchesPerPartition} idempotent batches for each ` +
      `of ${partitions} partitions (${partitions * batchesPerPartition} in all), and its answer is ` +
      `stored. Every committer is an ingest node with a link of its own that sends a segment when the ` +
      `one before is answered; all write the same partitions. CPU is the coordinator's and ` +
      `PostgreSQL's.`,
    headings,
    rows,
    verdicts,
    figures,
  });
}

const headings = [
  'producers per partition, committers',
  'segments/s',
  'p50 ms',
  'p99',
  'batches/s',
  'segments per transaction',
  'CPU ms per segment',
  'of it PostgreSQL',
  'CPU µs per extent',
  'client cores',
];

async function measure(coordinator: CoordinatorServer, shape: Shape, seconds: number) {
  const { committers, producersPerPartition } = shape;
  const before = await ServerMetrics.read(coordinator.httpUrl);
  const clientBefore = endedChildrenCpuSeconds();
  const meter = new ServerMeter(coordinator);
  const { secret, url } = coordinator;
  const result = await runRawLoad({
    kind: 'commit',
    url,
    secret,
    topic: `commit-${committers}-${producersPerPartition}`,
    partitions,
    batchesPerPartition,
    warmUpSeconds,
    seconds,
    ...shape,
  });
  const usage = meter.stop();
  const clientCores = (endedChildrenCpuSeconds() - clientBefore) / (seconds + warmUpSeconds);
  const after = await ServerMetrics.read(coordinator.httpUrl);
  const transactions = after.since(before, 'coordinator_commit_seconds_count');
  const extents = after.since(before, 'coordinator_extents_total');
  const { latency, segmentsInAll } = result;
  const segmentsPerSecond = result.segments / seconds;
  console.error(
    `  ${committers}: ${segmentsPerSecond.toFixed(0)}/s, p50 ${latency.p50.toFixed(1)} ms`,
  );
  return {
    figures: { ...shape, ...result, usage, transactions, extents },
    verdict: verdictOf(shape, segmentsPerSecond, latency.p50),
    row: [
      `${producersPerPartition}, ${committers}`,
      segmentsPerSecond.toFixed(1),
      latency.p50.toFixed(1),
      latency.p99.toFixed(1),
      (segmentsPerSecond * partitions * batchesPerPartition).toFixed(0),
      (segmentsInAll / transactions).toFixed(1),
      ((usage.cpuSeconds / segmentsInAll) * 1000).toFixed(1),
      ((usage.postgresCpuSeconds / segmentsInAll) * 1000).toFixed(1),
      ((usage.cpuSeconds / extents) * 1e6).toFixed(0),
      clientCores.toFixed(2),
    ],
  };
}

/** The promises are of batches in sequence; of ten producers the figures are shown. */
function verdictOf(shape: Shape, segmentsPerSecond: number, p50Ms: number): Verdict | undefined {
  if (shape.producersPerPartition > 1) return undefined;
  return shape.committers === 1
    ? {
        text: `one committer: p50 ${p50Ms.toFixed(1)} ≤ ${oneP50MsMax} ms`,
        holds: p50Ms <= oneP50MsMax,
      }
    : {
        text:
          `${shape.committers} committers on the same partitions: ` +
          `${segmentsPerSecond.toFixed(0)} ≥ ${sixSegmentsPerSecondMin} segments/s in all`,
        holds: segmentsPerSecond >= sixSegmentsPerSecondMin,
      };
}

await runBench({
  name: 'commit',
  runs: { quick: 1, full: 1 },
  start: () => Promise.resolve({}),
  body: commitBench,
});
