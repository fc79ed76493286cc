import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { sleep, systemClock } from '@kafscale/core';
import { startApacheKafka } from '../peers/apache-kafka.js';
import type { BenchServer } from '../peers/bench-server.js';
import { startStandalone, type StandaloneServer } from '../peers/kafscale-standalone.js';
import { MetadataProbe } from '../peers/metadata-probe.js';
import { IdleConsumers } from '../raw/idle-consumers.js';
import { ServerMeter } from './framework/server-usage.js';
import { runStand, type Stand } from './framework/stand.js';
import { createTopic } from './loads/verify-stored.js';

/**
 * What waiting costs: `npm run bench:idle`. 1,000 consumers on 1,000 partitions without records.
 *
 * Of the background of ours, what a start brings is over before the first window: the topic is written to
 * the index in the bucket 10 s after its creation, and garbage and orphans are looked for once, 60 s after the
 * shard was taken. Everything that goes on counts, PostgreSQL's own transactions included.
 */

const topic = 'idle';
const consumers = 1_000;
const secondsFull = 120;
/** A multiple of the periods that there are (3 and 10 s): windows of 20 s differ by what falls on their edges. */
const secondsQuick = 30;
/** The peer's transactions are not counted, so a quick look at its CPU does. */
const peerSecondsQuick = 12;
/** From the start of ours to its first window: beyond the 60 s above. */
const settleMs = 62_000;
/** After the last consumer has come, before a window. */
const settleConsumersMs = 2_000;

const transactionsPerSecondMax = 1;
const longWaitMs = 30_000;
const longWaitCoreShareMax = 0.02;
const shortWaitMs = 500;

interface IdleFigures {
  readonly server: string;
  readonly maxWaitMs: number | null;
  readonly fetchesPerSecond: number;
  /** Of one core; all processes of the server. */
  readonly coreShare: number;
  readonly postgresCoreShare: number;
  readonly transactionsPerSecond: number | null;
  readonly objectsWritten: number | null;
  readonly residentMegabytes: number;
}

async function idleBench({ dataRoot, options, report, started }: Stand): Promise<void> {
  const stop = (server: BenchServer): Promise<void> => server.dispose();
  const ours = started(await startStandalone({ dataRoot }), stop);
  const settledAtMs = systemClock.monotonicMs() + settleMs;
  const peer =
    options.only === 'ours' ? undefined : started(await startApacheKafka({ dataRoot }), stop);
  const probe = started(await MetadataProbe.open(ours.dataDir), (each) => each.close());
  const seconds = options.quick ? secondsQuick : secondsFull;
  const peerSeconds = options.quick ? peerSecondsQuick : secondsFull;
  report.section(
    'idle consumers',
    `${consumers} raw consumers, a connection and a partition each, that wait for records which ` +
      `nobody writes; ${seconds} s each${peer === undefined ? '' : ` (Kafka: ${peerSeconds} s)`}, ` +
      `ours from ${settleMs / 1000} s after its start on; transactions are those of the metadata ` +
      `database, with PostgreSQL's own`,
  );
  const measured: IdleFigures[] = [];
  const measureAll = async (server: BenchServer): Promise<void> => {
    const phase =
      server === ours
        ? { server, inside: { server: ours, probe }, seconds }
        : { server, inside: undefined, seconds: peerSeconds };
    for (const maxWaitMs of [null, longWaitMs, shortWaitMs]) {
      const figures = await measureOne({ ...phase, maxWaitMs });
      measured.push(figures);
      report.keep('idle', figures);
    }
  };
  await createTopic(ours, { name: topic, partitions: consumers });
  if (peer !== undefined) {
    await createTopic(peer, { name: topic, partitions: consumers });
    await measureAll(peer);
  }
  await sleep(Math.max(0, settledAtMs - systemClock.monotonicMs()));
  await measureAll(ours);
  report.table(headings, measured.map(rowOf));
  judge(report, measured);
}

interface Phase {
  readonly server: BenchServer;
  /** Of ours only. */
  readonly inside: { readonly server: StandaloneServer; readonly probe: MetadataProbe } | undefined;
  /** null: without any consumer. */
  readonly maxWaitMs: number | null;
  readonly seconds: number;
}

async function measureOne({ inside, maxWaitMs, seconds, server }: Phase): Promise<IdleFigures> {
  const { address } = server;
  const waiting =
    maxWaitMs === null
      ? undefined
      : await IdleConsumers.start({ address, topic, partitions: consumers, maxWaitMs });
  try {
    await sleep(settleConsumersMs);
    const look = async () => ({
      transactions: (await inside?.probe.transactions()) ?? 0,
      objects: inside === undefined ? 0 : await objectsIn(inside.server),
    });
    const before = await look();
    const responsesBefore = waiting?.responses ?? 0;
    const startMs = systemClock.monotonicMs();
    const meter = new ServerMeter(server);
    await sleep(seconds * 1000);
    const usage = meter.stop();
    const elapsedSeconds = (systemClock.monotonicMs() - startMs) / 1000;
    const after = await look();
    return {
      server: server.name,
      maxWaitMs,
      fetchesPerSecond: ((waiting?.responses ?? 0) - responsesBefore) / elapsedSeconds,
      coreShare: usage.cpuSeconds / elapsedSeconds,
      postgresCoreShare: usage.postgresCpuSeconds / elapsedSeconds,
      // One of them was the first look.
      transactionsPerSecond:
        inside === undefined
          ? null
          : (after.transactions - before.transactions - 1) / elapsedSeconds,
      objectsWritten: inside === undefined ? null : after.objects - before.objects,
      residentMegabytes: usage.peakResidentBytes / 1e6,
    };
  } finally {
    waiting?.close();
  }
}

async function objectsIn({ dataDir }: StandaloneServer): Promise<number> {
  const entries = await readdir(join(dataDir, 'store'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).length;
}

function judge(report: Stand['report'], measured: readonly IdleFigures[]): void {
  const find = (ours: boolean, maxWaitMs: number | null): IdleFigures | undefined =>
    measured.find(
      (each) => (each.transactionsPerSecond !== null) === ours && each.maxWaitMs === maxWaitMs,
    );
  for (const { maxWaitMs, objectsWritten, transactionsPerSecond } of measured) {
    if (transactionsPerSecond === null || objectsWritten === null) continue;
    report.floor(
      `${describeWait(maxWaitMs)}: ≤ ${transactionsPerSecondMax} transaction/s, 0 PUT: ` +
        `${transactionsPerSecond.toFixed(2)}, ${objectsWritten}`,
      transactionsPerSecond <= transactionsPerSecondMax && objectsWritten === 0,
    );
  }
  const long = find(true, longWaitMs);
  if (long !== undefined) {
    report.floor(
      `max_wait 30 s: CPU < 2 % of a core: ${percent(long.coreShare)}`,
      long.coreShare < longWaitCoreShareMax,
    );
  }
  const [short, kafka] = [find(true, shortWaitMs), find(false, shortWaitMs)];
  if (short !== undefined && kafka !== undefined) {
    report.floor(
      `max_wait 500 ms: CPU ≤ Kafka's: ${percent(short.coreShare)} against ` +
        percent(kafka.coreShare),
      short.coreShare <= kafka.coreShare,
    );
  }
}

const headings = [
  'server',
  'max_wait',
  'fetches/s',
  'CPU of a core',
  'of it PostgreSQL',
  'transactions/s',
  'PUTs',
  'peak RSS MB',
];

function rowOf(figures: IdleFigures): string[] {
  const { objectsWritten, transactionsPerSecond } = figures;
  return [
    figures.server,
    describeWait(figures.maxWaitMs),
    figures.fetchesPerSecond.toFixed(1),
    percent(figures.coreShare),
    transactionsPerSecond === null ? '–' : percent(figures.postgresCoreShare),
    transactionsPerSecond?.toFixed(2) ?? '–',
    objectsWritten === null ? '–' : String(objectsWritten),
    figures.residentMegabytes.toFixed(0),
  ];
}

function describeWait(maxWaitMs: number | null): string {
  return maxWaitMs === null ? 'no consumer' : `${maxWaitMs / 1000} s`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

await runStand({ name: 'idle', body: idleBench });
