import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { OperatingError } from '@kafscale/core';
import { repositoryRoot } from '../../peers/kafka-jars.js';

export interface BenchOptions {
  /** All of it in at most three minutes. */
  readonly quick: boolean;
  readonly runs: number;
  /** Only loads whose name contains this. */
  readonly loadFilter: string;
  /** Leave the other server out: for profiles, and while working on something. */
  readonly only: 'ours' | 'peer' | undefined;
  /** Where a CPU profile of our server goes. */
  readonly profileDir: string | undefined;
  readonly jsonFile: string;
  /** Those of the benchmark's own flags that were given, without `--`. */
  readonly flags: ReadonlySet<string>;
}

/** Flags of one benchmark, without `--`, and what they do. */
export type BenchFlags = Readonly<Record<string, string>>;

/** Figures and data of benchmarks, on the disk of the checkout. */
export const benchRoot = join(repositoryRoot, '.cache/bench');

const usage = `
  --quick          all of it in at most 3 minutes
  --runs COUNT     measured runs of each load and server
  --load TEXT      only loads whose name contains TEXT
  --only SERVER    ours or peer: without the other
  --profile DIR    write a CPU profile of our server's main thread and workers to DIR
  --json FILE      keep the figures there instead of under .cache/bench
`;

export function readBenchOptions(
  name: string,
  runs: { quick: number; full: number },
  flags: BenchFlags = {},
): BenchOptions {
  const values = parseOptions(name, flags);
  const given = Object.keys(flags).filter((flag) => Reflect.get(values, flag) === true);
  const runCount = Number(values.runs ?? (values.quick ? runs.quick : runs.full));
  if (!Number.isInteger(runCount) || runCount < 1) {
    throw new OperatingError('BENCH_USAGE', '--runs takes a number of 1 or more');
  }
  return {
    quick: values.quick,
    runs: runCount,
    loadFilter: values.load,
    only: serverName(values.only),
    profileDir: values.profile,
    jsonFile: values.json ?? join(benchRoot, `${[name, ...given].join('-')}.json`),
    flags: new Set(given),
  };
}

function serverName(text: string | undefined): BenchOptions['only'] {
  if (text === undefined || text === 'ours' || text === 'peer') return text;
  throw new OperatingError('BENCH_USAGE', '--only takes ours or peer');
}

function parseOptions(name: string, flags: BenchFlags) {
  const own: Record<string, { type: 'boolean' }> = {};
  for (const flag of Object.keys(flags)) own[flag] = { type: 'boolean' };
  try {
    const { values } = parseArgs({
      options: {
        ...own,
        quick: { type: 'boolean', default: false },
        runs: { type: 'string' },
        load: { type: 'string', default: '' },
        only: { type: 'string' },
        profile: { type: 'string' },
        json: { type: 'string' },
      },
    });
    return values;
  } catch (error) {
    const ownUsage = Object.entries(flags).map(
      ([flag, help]) => `  ${`--${flag}`.padEnd(17)}${help}\n`,
    );
    const message = `npm run bench:${name} -- [options]\n${usage}${ownUsage.join('')}`;
    throw new OperatingError('BENCH_USAGE', message, { cause: error });
  }
}
