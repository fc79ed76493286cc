import { join } from 'node:path';
import { limits, sleep } from '@kafscale/core';
import { startStandalone, type StandaloneServer } from '../peers/kafscale-standalone.js';
import { S3Proxy } from '../peers/s3-proxy.js';
import { startBenchS3Server } from '../peers/s3-server.js';
import type { LedgerCheckResult } from '../raw/ledger-check.js';
import type { LedgerResult } from '../raw/ledger-load.js';
import { runRawLoad } from '../raw/run-raw-load.js';
import { runBench, type Bench } from './framework/bench.js';
import type { Verdict } from './framework/floors.js';
import { ResidentSeries } from './framework/resident-series.js';
import { ServerMeter, type ServerUsage } from './framework/server-usage.js';
import { benchPartitions, createTopic, endOffsetsOf } from './loads/verify-stored.js';

/** More than goes, while the store is ill: `npm run bench:memory`. */

const MiB = 1024 * 1024;
const topic = 'memory';
const valueBytes = 1024;
const batchBytes = 64 * 1024;
const overload = 3;
/** 128 MiB in flight, twice what the server may hold of requests. */
const connections = 64;
const inFlightPerConnection = 32;

const failureShare = 0.5;
/** The store of the full run takes a second for a PUT: what it takes in two minutes must fit on a disk, twice. */
const phasesOf = {
  quick: { seconds: { load: 40, failFrom: 12, failFor: 10 }, putDelayMs: 0 },
  full: { seconds: { load: 120, failFrom: 40, failFor: 30 }, putDelayMs: 1000 },
} as const;

/** What an operator sets here: the rest are the server's own limits. */
const requestBytesInFlightMax = 64 * MiB;
const blockCacheBytes = 32 * MiB;

type Bound = readonly [name: string, bytes: number];

/** Everything that may grow with load, each with its bound, and what a process needs that does nothing. */
const bounds: readonly Bound[] = [
  // Those being assembled are among them: the front takes both of its budgets for such a request.
  ['KAFSCALE_REQUEST_BYTES_IN_FLIGHT_MAX', requestBytesInFlightMax],
  ['pieces of request memory', limits.frameSlabBytes],
  ['segments not committed yet', limits.ingestBytesInFlightMax],
  ['pieces of segment memory', limits.chunkSlabBytes],
  ['segments just written', limits.recentSegmentsBytesMax],
  ['KAFSCALE_BLOCK_CACHE_BYTES', blockCacheBytes],
  ['code, heap and threads of the process', 256 * MiB],
];

/** Of merges under way, and of what they are reading. */
const compaction: Bound = [
  'segment compaction',
  limits.compactionJobsInFlightMax *
    (limits.compactionBytesMax + limits.compactionReadsInFlightMax * limits.compactionReadBytesMax),
];

/** Nothing is merged in a run that ends before its first segments are old enough. */
function boundsOf(seconds: Seconds): readonly Bound[] {
  return seconds.load * 1000 < limits.compactionGraceMs / 2 ? bounds : [...bounds, compaction];
}

function sumOf(each: readonly Bound[]): number {
  return each.reduce((sum, [, bytes]) => sum + bytes, 0);
}

async function memoryBench(bench: Bench): Promise<void> {
  const { dataRoot, defer, options } = bench;
  const store = await startBenchS3Server({ dataRoot });
  defer(() => store.stop());
  const proxy = await S3Proxy.start(store.endpoint);
  defer(() => proxy.stop());
  const server = await startStandalone({
    dataRoot,
    profileDir: options.profileDir,
    settings: {
      ...store.settings('memory', proxy.endpoint),
      KAFSCALE_REQUEST_BYTES_IN_FLIGHT_MAX: String(requestBytesInFlightMax),
      KAFSCALE_BLOCK_CACHE_BYTES: String(blockCacheBytes),
    },
    storePids: [store.pid, proxy.pid],
  });
  defer(() => server.dispose());
  const { putDelayMs, seconds } = options.quick ? phasesOf.quick : phasesOf.full;
  await proxy.set({ putDelayMs });
  const capacity = await capacityOf(server, options.quick ? 300e6 : 600e6);
  console.error(`  capacity: ${(capacity / 1e6).toFixed(0)} MB/s`);
  await createTopic(server, { name: topic, partitions: benchPartitions });
  const meter = new ServerMeter(server);
  const resident = new ResidentSeries(server);
  const ledgerFile = join(dataRoot, 'ledger');
  const loading = runRawLoad({
    kind: 'ledger',
    address: server.address,
    topic,
    partitions: benchPartitions,
    batchBytes,
    valueBytes,
    connections,
    inFlightPerConnection,
    bytesPerSecond: overload * capacity,
    seconds: seconds.load,
    ledgerFile,
  });
  const [load, failures] = await Promise.all([loading, failForAWhile(proxy, seconds)]);
  const usage = meter.stop();
  const check = await readBack(server, ledgerFile);
  resident.stop();
  const boundBytes = sumOf(boundsOf(seconds));
  bench.table({
    title: `${overload}× capacity, and a store that refuses half of its PUTs`,
    description: describe(seconds, putDelayMs),
    headings: ['what', 'figure'],
    rows: rowsOf({ capacity, load, usage, check, failures, resident }),
    verdicts: verdictsOf({ peakBytes: usage.peakResidentBytes, boundBytes }, load, check),
    figures: { capacity, load, usage, check, failures, boundBytes, resident: resident.samples },
  });
}

/** What the server takes of a closed loop, in bytes of values per second. */
async function capacityOf(server: StandaloneServer, totalBytes: number): Promise<number> {
  const name = 'capacity';
  await createTopic(server, { name, partitions: benchPartitions });
  const load = {
    kind: 'produce',
    address: server.address,
    topic: name,
    partitions: benchPartitions,
    batchBytes,
    batchesPerRequest: 1,
    valueBytes,
    connections,
    inFlightPerConnection,
    totalBytes,
  } as const;
  await runRawLoad({ ...load, totalBytes: totalBytes / 4 });
  const { bytes, seconds } = await runRawLoad(load);
  return bytes / seconds;
}

interface Seconds {
  readonly load: number;
  readonly failFrom: number;
  readonly failFor: number;
}

/** How many PUTs were refused. */
async function failForAWhile(proxy: S3Proxy, seconds: Seconds): Promise<number> {
  await sleep(seconds.failFrom * 1000);
  await proxy.set({ failureShare });
  await sleep(seconds.failFor * 1000);
  await proxy.set({ failureShare: 0 });
  return (await proxy.counts()).failures;
}

async function readBack(server: StandaloneServer, ledgerFile: string): Promise<LedgerCheckResult> {
  return await runRawLoad({
    kind: 'ledgerCheck',
    address: server.address,
    topic,
    endOffsets: await endOffsetsOf(server, topic),
    valueBytes,
    connections: 3,
    passes: 1,
    partitionBytesMax: MiB,
    ledgerFile,
  });
}

function describe(seconds: Seconds, putDelayMs: number): string {
  const each = boundsOf(seconds);
  const listed = each.map(([name, bytes]) => `${name} ${bytes / MiB}`);
  return (
    `${connections} connections × ${inFlightPerConnection} requests of one batch of 64 KiB, each with ` +
    `contents of its own, for ${seconds.load} s; ${putDelayMs} ms more for every PUT; half of the PUTs answered 500 or 503 from second ` +
    `${seconds.failFrom} on, for ${seconds.failFor} s. Then everything is read from the start and compared with ` +
    `the ledger: an acknowledged batch must be there once, at the offset of its ack, with its contents ` +
    `(CRC-32C over all of it); one that was refused must not be there.\n\n` +
    `RSS is of the server without PostgreSQL. Its bound while it only writes, in MiB: ` +
    `${listed.join(' + ')} = ${sumOf(each) / MiB}.`
  );
}

interface Figures {
  readonly capacity: number;
  readonly load: LedgerResult;
  readonly usage: ServerUsage;
  readonly check: LedgerCheckResult;
  readonly failures: number;
  readonly resident: ResidentSeries;
}

function rowsOf({ capacity, check, failures, load, resident, usage }: Figures): string[][] {
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0);
  return [
    ['capacity, MB/s', megabytes(capacity)],
    ['offered, MB/s', megabytes(overload * capacity)],
    ['acknowledged, MB/s', (load.bytes / 1e6 / load.seconds).toFixed(1)],
    ['PUTs refused by the store', String(failures)],
    ['batches acknowledged', String(load.acknowledged)],
    ['batches refused (answered "not written")', String(load.refused)],
    ['batches of unknown outcome, of them there', `${load.unknown}, ${check.unknownAndThere}`],
    ['batches read back', String(check.batches)],
    ['peak RSS during the load, MB', megabytes(usage.peakResidentBytes)],
    ['peak RSS until the end of the reading, MB', megabytes(resident.peakBytes)],
    ['RSS before, MB', megabytes(resident.samples[0] ?? 0)],
    ['CPU s/GB', (usage.cpuSeconds / (load.bytes / 1e9)).toFixed(2)],
    ['of it PostgreSQL', (usage.postgresCpuSeconds / (load.bytes / 1e9)).toFixed(2)],
  ];
}

function verdictsOf(
  { boundBytes, peakBytes }: { boundBytes: number; peakBytes: number },
  load: LedgerResult,
  check: LedgerCheckResult,
): Verdict[] {
  const { damaged, lost, refusedButThere, strange, twice } = check;
  const wrong = lost + damaged + twice + refusedButThere + strange;
  return [
    {
      text: `RSS ${(peakBytes / 1e6).toFixed(0)} ≤ ${(boundBytes / 1e6).toFixed(0)} MB throughout the load`,
      holds: peakBytes <= boundBytes,
    },
    {
      text:
        `${load.acknowledged} acknowledged batches read back once, in place: ${lost} lost, ` +
        `${damaged} damaged, ${twice} twice, ${refusedButThere} refused but there, ${strange} strange`,
      holds: load.acknowledged > 0 && wrong === 0,
    },
  ];
}

await runBench({
  name: 'memory',
  runs: { quick: 1, full: 1 },
  start: () => Promise.resolve({}),
  body: memoryBench,
});
