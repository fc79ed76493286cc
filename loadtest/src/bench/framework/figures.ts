import type { ContenderRuns, Measurement } from './measure.js';
import { ratiosOfPairs, spreadOf, type Spread } from './statistics.js';

/** What is printed of a contender, and kept for later comparison. GB are 10⁹ bytes of values. */
export interface ContenderFigures {
  readonly name: string;
  readonly runs: number;
  readonly megabytesPerSecond: Spread;
  /** Of the server's processes, PostgreSQL included. */
  readonly cpuSecondsPerGigabyte: Spread;
  readonly postgresCpuSecondsPerGigabyte: Spread;
  readonly peakResidentMegabytes: number;
  readonly postgresPeakResidentMegabytes: number;
  readonly clientCpuSecondsPerGigabyte: Spread;
  /** CPU time of the client over its lifetime. */
  readonly clientCores: Spread;
  /** Of the object store beside it; 0 when there is none. */
  readonly storeCpuSecondsPerGigabyte: Spread;
}

export interface Ratios {
  readonly megabytesPerSecond: Spread;
  readonly cpuSecondsPerGigabyte: Spread;
}

export function figuresOf({ contender, runs }: ContenderRuns): ContenderFigures {
  const spread = (figure: (run: Measurement) => number): Spread => spreadOf(runs.map(figure));
  const most = (figure: (run: Measurement) => number): number => Math.max(...runs.map(figure));
  return {
    name: contender.name,
    runs: runs.length,
    megabytesPerSecond: spread(megabytesPerSecond),
    cpuSecondsPerGigabyte: spread((run) => perGigabyte(run, run.server.cpuSeconds)),
    postgresCpuSecondsPerGigabyte: spread((run) => perGigabyte(run, run.server.postgresCpuSeconds)),
    peakResidentMegabytes: most((run) => run.server.peakResidentBytes / 1e6),
    postgresPeakResidentMegabytes: most((run) => run.server.postgresPeakResidentBytes / 1e6),
    clientCpuSecondsPerGigabyte: spread((run) => perGigabyte(run, run.client.cpuSeconds)),
    clientCores: spread((run) => run.client.cpuSeconds / run.client.wallSeconds),
    storeCpuSecondsPerGigabyte: spread((run) => perGigabyte(run, run.server.storeCpuSeconds)),
  };
}

export function ratiosOf(ours: ContenderRuns, theirs: ContenderRuns): Ratios {
  const ratios = (figure: (run: Measurement) => number): Spread =>
    ratiosOfPairs(ours.runs.map(figure), theirs.runs.map(figure));
  return {
    megabytesPerSecond: ratios(megabytesPerSecond),
    cpuSecondsPerGigabyte: ratios((run) => perGigabyte(run, run.server.cpuSeconds)),
  };
}

function megabytesPerSecond({ result }: Measurement): number {
  return result.bytes / 1e6 / result.seconds;
}

function perGigabyte({ result }: Measurement, seconds: number): number {
  return seconds / (result.bytes / 1e9);
}
