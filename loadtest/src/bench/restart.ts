import { mkdtemp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { invariant, OperatingError, sleep, systemClock } from '@kafscale/core';
import { startStandalone, type StandaloneServer } from '../peers/kafscale-standalone.js';
import { MetadataProbe } from '../peers/metadata-probe.js';
import { AdminClient } from '../raw/admin-client.js';
import { runRawLoad } from '../raw/run-raw-load.js';
import { peakResidentBytes, processTree } from './framework/process-tree.js';
import { ServerMeter } from './framework/server-usage.js';
import { runStand, type Stand } from './framework/stand.js';
import { quantile } from './framework/statistics.js';
import { insertHistory } from './loads/long-history.js';
import { createTopic } from './loads/verify-stored.js';

/** What history costs a start: `npm run bench:restart`. */

const topic = 'history';
const partitions = 64;
const extents = 1_000_000;
const segments = extents / partitions;
const restartsFull = 5;
const restartsQuick = 3;
/** After it is ready: background work looks at what there is. */
const lookSeconds = 5;

const beyondPostgresSecondsMax = 2;
const growthMegabytesMax = 200;

interface Start {
  /** From the start of the program until /health/ready says so. */
  readonly readySeconds: number;
  /** PostgreSQL's own, by its log. */
  readonly postgresSeconds: number;
  /** Of the Node process, until some seconds after it was ready. */
  readonly residentMegabytes: number;
  /** Of all processes, after it was ready. */
  readonly lookCpuSeconds: number;
}

class RestartBench {
  readonly #stand: Stand;
  readonly #dataDir: string;

  constructor(stand: Stand, dataDir: string) {
    this.#stand = stand;
    this.#dataDir = dataDir;
  }

  async run(): Promise<void> {
    const { options, report } = this.#stand;
    report.section(
      'restart',
      `standalone with local files and embedded PostgreSQL, stopped and started again; ` +
        `${extents / 1e6} million extents of ${segments} segments and ${partitions} partitions, as ` +
        `commits leave them; medians`,
    );
    const restarts = options.quick ? restartsQuick : restartsFull;
    await this.#while((server) => createTopic(server, { name: topic, partitions }));
    const without = await this.#starts(restarts);
    const endOffset = await this.#while(async ({ dataDir }) => {
      const probe = await MetadataProbe.open(dataDir);
      try {
        return await insertHistory(probe, { topic, partitions, segments });
      } finally {
        await probe.close();
      }
    });
    // What is done once, not at every start: the index in the bucket gets to know of it.
    await this.#while(async (server) => {
      await expectEnd(server, endOffset);
      await produceSome(server);
      await untilIdle(server);
    });
    const withHistory = await this.#starts(restarts);
    report.keep('restart', { without, withHistory });
    report.table(headings, [
      rowOf('no record', without),
      rowOf(`${extents / 1e6} million extents`, withHistory),
    ]);
    const beyond = median(withHistory, beyondPostgres);
    report.floor(
      `ready < ${beyondPostgresSecondsMax} s beyond PostgreSQL's own start: ${beyond.toFixed(2)} s`,
      beyond < beyondPostgresSecondsMax,
    );
    const resident = (start: Start): number => start.residentMegabytes;
    const growth = median(withHistory, resident) - median(without, resident);
    report.floor(
      `RSS grows by < ${growthMegabytesMax} MB: ${growth.toFixed(0)} MB`,
      growth < growthMegabytesMax,
    );
  }

  async #while<Result>(work: (server: StandaloneServer) => Promise<Result>): Promise<Result> {
    const { dataRoot } = this.#stand;
    const server = await startStandalone({ dataRoot, dataDir: this.#dataDir });
    try {
      return await work(server);
    } finally {
      await server.dispose();
    }
  }

  async #starts(count: number): Promise<Start[]> {
    const starts: Start[] = [];
    for (let index = 0; index < count; index += 1) {
      const startMs = systemClock.monotonicMs();
      const start = await this.#while(async (server) => {
        const readySeconds = (systemClock.monotonicMs() - startMs) / 1000;
        const meter = new ServerMeter(server);
        await sleep(lookSeconds * 1000);
        const [pid] = server.rootPids;
        invariant(pid !== undefined, 'a server has a process');
        return {
          readySeconds,
          postgresSeconds: await postgresStartSeconds(this.#dataDir),
          residentMegabytes: peakResidentBytes(pid) / 1e6,
          lookCpuSeconds: meter.stop().cpuSeconds,
        };
      });
      starts.push(start);
      console.error(`  ready in ${start.readySeconds.toFixed(2)} s`);
    }
    return starts;
  }
}

/** Between two lines of its log, of its last start. */
async function postgresStartSeconds(dataDir: string): Promise<number> {
  const log = await readFile(join(dataDir, 'postgres/postgres.log'), 'utf8');
  const lineTimeMs = (text: string): number => {
    const line = log.split('\n').findLast((each) => each.includes(text));
    const at = /^(\S+ \S+) UTC/.exec(line ?? '')?.[1];
    if (at === undefined) throw new OperatingError('LOG_UNREADABLE', `no "${text}" in its log`);
    return Date.parse(`${at.replace(' ', 'T')}Z`);
  };
  return (lineTimeMs('ready to accept connections') - lineTimeMs('starting PostgreSQL')) / 1000;
}

/** The heads are those of the history: it was read from the database. */
async function expectEnd({ address }: StandaloneServer, endOffset: number): Promise<void> {
  const admin = await AdminClient.connect(address);
  const ends = await admin.endOffsets(topic, partitions);
  admin.close();
  invariant(
    ends.every((end) => end === endOffset),
    'the server knows of the history that was inserted',
  );
}

async function produceSome({ address }: StandaloneServer): Promise<void> {
  await runRawLoad({
    kind: 'produce',
    address,
    topic,
    partitions,
    batchBytes: 2048,
    batchesPerRequest: partitions,
    valueBytes: 1024,
    connections: 1,
    inFlightPerConnection: 1,
    totalBytes: partitions * 1024,
  });
}

const idleLookSeconds = 3;
const idleCoreShareMax = 0.1;
const idleLooks = 4;
const idleMsMax = 120_000;

/** Background work has come to its end: several looks in a row see hardly any CPU time. */
async function untilIdle({ rootPids }: StandaloneServer): Promise<void> {
  const cpuSeconds = (): number =>
    processTree(rootPids).reduce((sum, each) => sum + each.cpuSeconds, 0);
  const startMs = systemClock.monotonicMs();
  let quietLooks = 0;
  while (quietLooks < idleLooks) {
    const before = cpuSeconds();
    await sleep(idleLookSeconds * 1000);
    const isQuiet = cpuSeconds() - before < idleLookSeconds * idleCoreShareMax;
    quietLooks = isQuiet ? quietLooks + 1 : 0;
    if (systemClock.monotonicMs() - startMs > idleMsMax) {
      throw new OperatingError('LOAD_FAILED', 'the server does not come to rest');
    }
  }
}

const headings = [
  'history',
  'starts',
  'ready s',
  'of it PostgreSQL',
  'beyond PostgreSQL s',
  'peak RSS MB',
  `CPU s in the ${lookSeconds} s after`,
];

function rowOf(history: string, starts: readonly Start[]): string[] {
  return [
    history,
    String(starts.length),
    median(starts, ({ readySeconds }) => readySeconds).toFixed(2),
    median(starts, ({ postgresSeconds }) => postgresSeconds).toFixed(2),
    median(starts, beyondPostgres).toFixed(2),
    median(starts, ({ residentMegabytes }) => residentMegabytes).toFixed(0),
    median(starts, ({ lookCpuSeconds }) => lookCpuSeconds).toFixed(2),
  ];
}

function beyondPostgres({ postgresSeconds, readySeconds }: Start): number {
  return readySeconds - postgresSeconds;
}

function median(starts: readonly Start[], figure: (start: Start) => number): number {
  return quantile(starts.map(figure), 0.5);
}

await runStand({
  name: 'restart',
  body: async (stand) => {
    const dataDir = await mkdtemp(join(stand.dataRoot, 'restart-'));
    await new RestartBench(stand, dataDir).run();
  },
});
