import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isOperatingError, systemClock } from '@kafscale/core';
import { startApacheKafka } from '../../peers/apache-kafka.js';
import type { BenchServer } from '../../peers/bench-server.js';
import { startStandalone } from '../../peers/kafscale-standalone.js';
import {
  benchRoot,
  readBenchOptions,
  type BenchFlags,
  type BenchOptions,
} from './bench-options.js';
import { probeDisk } from './disk-probe.js';
import { machineFacts } from './machine-facts.js';
import { alternate, measure, type Contender, type Load } from './measure.js';
import type { Floor } from './floors.js';
import { Report, type OwnTable } from './report.js';

/** A running benchmark: both servers are up, and are driven in turn. */
export interface Bench {
  readonly options: BenchOptions;
  /** On the disk that is measured; deleted at the end. */
  readonly dataRoot: string;
  /** Ours first. One may have been left out. */
  readonly servers: readonly BenchServer[];
  /** Undefined when it was left out. */
  readonly peer: BenchServer | undefined;
  /** Puts all servers under a load first, so that their JITs have seen it. */
  warmUp(load: Load): Promise<void>;
  /** Measures all servers under a load and prints the table, unless the load is filtered out. */
  compare(load: Load, options?: CompareOptions): Promise<void>;
  /** Prints and keeps a table of the benchmark's own. */
  table(table: OwnTable): void;
  /** For what the body starts itself: called at the end, the last one first. */
  readonly defer: StartContext['defer'];
}

export interface CompareOptions {
  readonly floor?: Floor;
  /** Rows that are measured in the same rounds, after the servers. */
  readonly beside?: readonly Contender[];
  /** Rows that are measured on their own, after the comparison. */
  readonly others?: readonly OtherRow[];
}

export interface OtherRow {
  readonly contender: Contender;
  readonly runs: number;
}

export interface BenchDeclaration {
  /** As in `npm run bench:NAME`. */
  readonly name: string;
  readonly runs: { readonly quick: number; readonly full: number };
  readonly body: (bench: Bench) => Promise<void>;
  /** `npm run bench:NAME -- --FLAG`; figures of each combination are kept in a file of its own. */
  readonly flags?: BenchFlags;
  /** What is measured. Default: ours with local files, and Apache Kafka. */
  readonly start?: (context: StartContext) => Promise<StartedServers>;
}

export interface StartContext {
  readonly options: BenchOptions;
  readonly dataRoot: string;
  /** For whatever was started, at once: called at the end, the last one first. */
  readonly defer: (dispose: () => Promise<void>) => void;
}

export interface StartedServers {
  readonly ours?: BenchServer | undefined;
  readonly peer?: BenchServer | undefined;
}

/** Those that `--only` leaves. */
export async function startServers(context: StartContext): Promise<StartedServers> {
  const { dataRoot, options } = context;
  const { only, profileDir } = options;
  const started = async (starting: Promise<BenchServer>): Promise<BenchServer> => {
    const server = await starting;
    context.defer(() => server.dispose());
    return server;
  };
  return {
    ours: only === 'peer' ? undefined : await started(startStandalone({ dataRoot, profileDir })),
    peer: only === 'ours' ? undefined : await started(startApacheKafka({ dataRoot })),
  };
}

/** Starts the servers, runs the body, stops the servers and deletes their data, whatever happens. */
export async function runBench(declaration: BenchDeclaration): Promise<void> {
  const { flags, name, runs } = declaration;
  try {
    await runWithServers(declaration, readBenchOptions(name, runs, flags));
  } catch (error) {
    console.error(isOperatingError(error) ? `${error.code}: ${error.message}` : error);
    process.exitCode = 1;
  }
}

async function runWithServers(declaration: BenchDeclaration, options: BenchOptions): Promise<void> {
  const { body, name, start = startServers } = declaration;
  const startMs = systemClock.monotonicMs();
  const settings = process.argv.slice(2).join(' ');
  const command = `$ npm run bench:${name}${settings === '' ? '' : ` -- ${settings}`}`;
  const machine = machineFacts(new Date(systemClock.wallMs()));
  const report = new Report({ command, machine });
  await mkdir(benchRoot, { recursive: true });
  const dataRoot = await mkdtemp(join(benchRoot, 'data-'));
  const chunks = options.quick ? 32 : 64;
  const disposals: (() => Promise<void>)[] = [];
  try {
    report.disk('before', probeDisk(dataRoot, { chunks }));
    const defer = (dispose: () => Promise<void>): void => void disposals.unshift(dispose);
    const { ours, peer } = await start({ options, dataRoot, defer });
    const servers = [ours, peer].filter((each) => each !== undefined);
    report.introduce(servers.map((each) => `${each.name}: ${each.description}`));
    await body({
      options,
      dataRoot,
      servers,
      peer,
      warmUp: async (load) => {
        for (const server of servers) await measure(server, load, false);
      },
      compare: comparison({ options, ours, servers, report }),
      table: (table) => report.table(table),
      defer,
    });
  } finally {
    for (const dispose of disposals) await dispose();
    report.disk('after', probeDisk(dataRoot, { chunks }));
    await rm(dataRoot, { recursive: true, force: true, maxRetries: 5 });
  }
  report.save(options.jsonFile);
  console.log(`took ${((systemClock.monotonicMs() - startMs) / 1000).toFixed(0)} s`);
}

interface Comparison {
  readonly options: BenchOptions;
  readonly ours: BenchServer | undefined;
  readonly servers: readonly BenchServer[];
  readonly report: Report;
}

function comparison({ options, ours, servers, report }: Comparison): Bench['compare'] {
  return async (load, { beside = [], floor, others = [] } = {}) => {
    if (!load.name.includes(options.loadFilter)) return;
    const contenders: Contender[] = servers.map((server) => ({
      name: server.name,
      server,
      load,
      isOurs: server === ours,
    }));
    const results = await alternate([...contenders, ...beside], options.runs);
    for (const { contender, runs } of others) results.push(...(await alternate([contender], runs)));
    report.section(load.name, results, floor);
  };
}
