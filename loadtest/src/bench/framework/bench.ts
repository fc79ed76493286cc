import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isOperatingError, systemClock } from '@kafscale/core';
import { startApacheKafka } from '../../peers/apache-kafka.js';
import type { BenchServer } from '../../peers/bench-server.js';
import { startStandalone } from '../../peers/kafscale-standalone.js';
import { benchRoot, readBenchOptions, type BenchOptions } from './bench-options.js';
import { probeDisk } from './disk-probe.js';
import { machineFacts } from './machine-facts.js';
import { alternate, measure, type Contender, type Load } from './measure.js';
import { Report, type Floor } from './report.js';

/** A running benchmark: both servers are up, and are driven in turn. */
export interface Bench {
  readonly options: BenchOptions;
  /** Ours first. One may have been left out. */
  readonly servers: readonly BenchServer[];
  /** Undefined when it was left out. */
  readonly peer: BenchServer | undefined;
  /** Puts all servers under a load first, so that their JITs have seen it. */
  warmUp(load: Load): Promise<void>;
  /** Measures all servers under a load and prints the table, unless the load is filtered out. */
  compare(load: Load, options?: CompareOptions): Promise<void>;
}

export interface CompareOptions {
  readonly floor?: Floor;
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
}

/** Starts the servers, runs the body, stops the servers and deletes their data, whatever happens. */
export async function runBench(declaration: BenchDeclaration): Promise<void> {
  try {
    await runWithServers(declaration, readBenchOptions(declaration.name, declaration.runs));
  } catch (error) {
    console.error(isOperatingError(error) ? `${error.code}: ${error.message}` : error);
    process.exitCode = 1;
  }
}

async function runWithServers(declaration: BenchDeclaration, options: BenchOptions): Promise<void> {
  const { name, body } = declaration;
  const startMs = systemClock.monotonicMs();
  const settings = process.argv.slice(2).join(' ');
  const command = `$ npm run bench:${name}${settings === '' ? '' : ` -- ${settings}`}`;
  const machine = machineFacts(new Date(systemClock.wallMs()));
  const report = new Report({ command, machine });
  await mkdir(benchRoot, { recursive: true });
  const dataRoot = await mkdtemp(join(benchRoot, 'data-'));
  const chunks = options.quick ? 32 : 64;
  const servers: BenchServer[] = [];
  try {
    report.disk('before', probeDisk(dataRoot, { chunks }));
    const { only, profileDir } = options;
    if (only !== 'peer') servers.push(await startStandalone({ dataRoot, profileDir }));
    const peer = only === 'ours' ? undefined : await startApacheKafka({ dataRoot });
    if (peer !== undefined) servers.push(peer);
    report.introduce(servers.map((each) => `${each.name}: ${each.description}`));
    const compare = comparison({ options, servers, report });
    const warmUp = async (load: Load): Promise<void> => {
      for (const server of servers) await measure(server, load, false);
    };
    await body({ options, servers, peer, warmUp, compare });
  } finally {
    await Promise.all(servers.map((each) => each.dispose()));
    report.disk('after', probeDisk(dataRoot, { chunks }));
    await rm(dataRoot, { recursive: true, force: true, maxRetries: 5 });
  }
  report.save(options.jsonFile);
  console.log(`took ${((systemClock.monotonicMs() - startMs) / 1000).toFixed(0)} s`);
}

interface Comparison {
  readonly options: BenchOptions;
  readonly servers: readonly BenchServer[];
  readonly report: Report;
}

function comparison({ options, servers, report }: Comparison): Bench['compare'] {
  return async (load, { floor, others = [] } = {}) => {
    if (!load.name.includes(options.loadFilter)) return;
    const contenders = servers.map((server) => ({ name: server.name, server, load }));
    const results = await alternate(contenders, options.runs);
    for (const { contender, runs } of others) results.push(...(await alternate([contender], runs)));
    report.section(load.name, results, floor);
  };
}
