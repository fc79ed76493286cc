import { readFileSync } from 'node:fs';
import { OperatingError, sleep } from '@kafscale/core';
import type { BenchServer } from '../peers/bench-server.js';
import { IdleConnections } from '../raw/idle-connections.js';
import { runBench, type Bench } from './framework/bench.js';
import { residentBytesOf } from './framework/resident-series.js';
import { ServerMeter } from './framework/server-usage.js';
import { cpuSecondsPerGigabyte, runOpenLoop, type OpenLoopRun } from './loads/open-loop-run.js';
import { benchPartitions } from './loads/verify-stored.js';

/** What connections cost: `npm run bench:connections`. */

const idleCount = 5_000;
const activeCount = 500;
const activeMegabytesPerSecond = 5;
const idleKibibytesMax = 16;
/** Ours needs a descriptor per connection and some more; so does this process. */
const openFilesMin = idleCount + activeCount + 1_000;

interface Figures {
  readonly server: string;
  readonly residentBefore: number;
  readonly residentWithIdle: number;
  /** Of one core, by all processes of the server, while nobody says anything. */
  readonly idleCoreShare: number;
  readonly lost: number;
  /** With the idle ones still there. */
  readonly active: OpenLoopRun;
}

async function connectionsBench(bench: Bench): Promise<void> {
  checkOpenFiles();
  const measured: Figures[] = [];
  for (const server of bench.servers) measured.push(await measure(server, bench.options.quick));
  const ours = measured.find(({ server }) => server !== bench.peer?.name);
  bench.table({
    title: `${idleCount} idle and ${activeCount} active connections`,
    description:
      `After a warm-up, ${idleCount} connections are opened, one request (ApiVersions) is answered on ` +
      `each, and nothing follows; RSS is the least of several looks after a while (PostgreSQL's is left ` +
      `out; no collection of garbage is forced). Then ${activeCount} more produce ` +
      `${activeMegabytesPerSecond} MB/s between them, open loop, batches of 16 KiB, ` +
      `${benchPartitions} partitions. What the kernel holds for sockets is in no figure.`,
    headings,
    rows: measured.map(rowOf),
    verdicts: ours === undefined ? [] : [verdictOf(ours)],
    figures: measured,
  });
}

const headings = [
  'server',
  'RSS MB before',
  'with idle ones',
  'KiB per idle connection',
  'idle CPU, % of a core',
  'peak RSS MB, active',
  'active CPU s/GB',
  'p50 ms',
  'p99',
  'client cores',
];

function rowOf(figures: Figures): string[] {
  const { active, idleCoreShare, residentBefore, residentWithIdle, server } = figures;
  const { latency } = active.result;
  const seconds = active.bytesSent / 1e6 / activeMegabytesPerSecond;
  return [
    server,
    (residentBefore / 1e6).toFixed(0),
    (residentWithIdle / 1e6).toFixed(0),
    kibibytesPerIdle(figures).toFixed(1),
    (idleCoreShare * 100).toFixed(1),
    (active.usage.peakResidentBytes / 1e6).toFixed(0),
    cpuSecondsPerGigabyte(active).toFixed(1),
    latency.p50.toFixed(1),
    latency.p99.toFixed(1),
    (active.clientCpuSeconds / seconds).toFixed(2),
  ];
}

function verdictOf(figures: Figures) {
  const kibibytes = kibibytesPerIdle(figures);
  return {
    text: `${kibibytes.toFixed(1)} ≤ ${idleKibibytesMax} KiB RSS per idle connection, none lost: ${figures.lost}`,
    holds: kibibytes <= idleKibibytesMax && figures.lost === 0,
  };
}

function kibibytesPerIdle({ residentBefore, residentWithIdle }: Figures): number {
  return (residentWithIdle - residentBefore) / 1024 / idleCount;
}

async function measure(server: BenchServer, quick: boolean): Promise<Figures> {
  const settleSeconds = quick ? 10 : 40;
  await produce(server, { topic: 'warm', connections: 50, megabytes: 20, seconds: 6 });
  await sleep(settleSeconds * 1000);
  const residentBefore = residentBytesOf(server);
  const idle = await IdleConnections.open(server.address, idleCount);
  try {
    await sleep(2_000);
    const meter = new ServerMeter(server);
    let residentWithIdle = residentBytesOf(server);
    for (let second = 0; second < settleSeconds; second += 1) {
      await sleep(1_000);
      residentWithIdle = Math.min(residentWithIdle, residentBytesOf(server));
    }
    const idleCoreShare = meter.stop().cpuSeconds / settleSeconds;
    const active = await produce(server, {
      topic: 'active',
      connections: activeCount,
      megabytes: activeMegabytesPerSecond,
      seconds: quick ? 10 : 60,
    });
    const { lost } = idle;
    const name = server.name;
    return { server: name, residentBefore, residentWithIdle, idleCoreShare, lost, active };
  } finally {
    await idle.close();
  }
}

async function produce(
  server: BenchServer,
  load: {
    readonly topic: string;
    readonly connections: number;
    readonly megabytes: number;
    readonly seconds: number;
  },
): Promise<OpenLoopRun> {
  return await runOpenLoop(server, {
    topic: load.topic,
    partitions: benchPartitions,
    batchBytes: 16 * 1024,
    batchesPerRequest: 1,
    valueBytes: 1024,
    connections: load.connections,
    inFlightPerConnection: 5,
    bytesPerSecond: load.megabytes * 1e6,
    warmUpSeconds: 2,
    seconds: load.seconds,
  });
}

/** What was started here inherits it. */
function checkOpenFiles(): void {
  const text = readFileSync('/proc/self/limits', 'utf8');
  const most = /^Max open files +(\d+)/m.exec(text)?.[1];
  if (most !== undefined && Number(most) < openFilesMin) {
    throw new OperatingError('OPEN_FILES_LIMIT', `ulimit -n ${most}: it takes ${openFilesMin}`);
  }
}

await runBench({ name: 'connections', runs: { quick: 1, full: 1 }, body: connectionsBench });
