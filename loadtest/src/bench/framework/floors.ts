import { invariant } from '@kafscale/core';
import { figuresOf, ratiosOf, type ContenderFigures } from './figures.js';
import type { ContenderRuns } from './measure.js';

/** What we promise of a load. Ratios are of medians of runs side by side. */
export interface Floor {
  /** The least that our MB/s must be, as a multiple of the peer's (the second row's). */
  readonly megabytesPerSecondRatio?: number;
  /** Our MB/s from which on the ratio does not matter. */
  readonly megabytesPerSecondEnough?: number;
  /** The most that our CPU s/GB may be, as a multiple of the peer's. */
  readonly cpuSecondsPerGigabyteRatioMax?: number;
  readonly cpuSecondsPerGigabyteMax?: number;
  readonly megabytesPerSecondMin?: {
    readonly megabytesPerSecond: number;
    /** What it is, for the report. */
    readonly of: string;
  };
  /** The most that our processes may have resident, PostgreSQL's left out. */
  readonly residentMegabytesMax?: number;
  /** The same of rows further down, by name. */
  readonly against?: readonly RowFloor[];
}

export interface RowFloor {
  /** The name of the row. */
  readonly row: string;
  readonly megabytesPerSecondRatio: number;
}

export interface Verdict {
  readonly holds: boolean;
  /** The promise, what was measured, and why it counts when that is not obvious. */
  readonly text: string;
}

/** From here on a client is taken to be what limits MB/s: it has no more of its core to give. */
const busyClientCores = 0.8;
/** What then counts as equal. */
const busyClientRatioMin = 0.95;

/** `results` has ours first. A row that was not measured has no verdict. */
export function verdictsOf(floor: Floor, results: readonly ContenderRuns[]): Verdict[] {
  const [ours, theirs] = results;
  invariant(ours !== undefined, 'ours is the first row');
  const figures = figuresOf(ours);
  const verdicts: Verdict[] = [];
  if (theirs !== undefined && floor.megabytesPerSecondRatio !== undefined) {
    const verdict = speedVerdict({
      ours,
      theirs,
      figures,
      ratioMin: floor.megabytesPerSecondRatio,
    });
    verdicts.push(orEnough(verdict, figures, floor.megabytesPerSecondEnough));
  }
  for (const { megabytesPerSecondRatio: ratioMin, row } of floor.against ?? []) {
    const other = results.find(({ contender }) => contender.name === row);
    if (other !== undefined)
      verdicts.push(speedVerdict({ ours, theirs: other, figures, ratioMin }));
  }
  if (theirs !== undefined && floor.cpuSecondsPerGigabyteRatioMax !== undefined) {
    const most = floor.cpuSecondsPerGigabyteRatioMax;
    const { median } = ratiosOf(ours, theirs).cpuSecondsPerGigabyte;
    const text = `CPU s/GB ≤ ${show(most)}× ${theirs.contender.name}: ${show(median)}×`;
    verdicts.push({ holds: median <= most, text });
  }
  return [...verdicts, ...ownVerdicts(floor, figures)];
}

function orEnough(verdict: Verdict, figures: ContenderFigures, enough = Infinity): Verdict {
  if (enough === Infinity) return verdict;
  const { median } = figures.megabytesPerSecond;
  const text = `${verdict.text}, or ≥ ${enough} MB/s: ${median.toFixed(0)}`;
  return { holds: verdict.holds || median >= enough, text };
}

/** Those that need no other row. */
function ownVerdicts(floor: Floor, figures: ContenderFigures): Verdict[] {
  const { cpuSecondsPerGigabyteMax: cpuMost, residentMegabytesMax: residentMost } = floor;
  const { megabytesPerSecondMin: speedLeast } = floor;
  const verdicts: Verdict[] = [];
  if (speedLeast !== undefined) {
    const { median } = figures.megabytesPerSecond;
    const least = `MB/s ≥ ${show(speedLeast.megabytesPerSecond)}, ${speedLeast.of}`;
    verdicts.push({
      holds: median >= speedLeast.megabytesPerSecond,
      text: `${least}: ${show(median)}`,
    });
  }
  if (cpuMost !== undefined) {
    const { median } = figures.cpuSecondsPerGigabyte;
    verdicts.push({
      holds: median <= cpuMost,
      text: `CPU ≤ ${show(cpuMost)} s/GB: ${show(median)}`,
    });
  }
  if (residentMost !== undefined) {
    const resident = figures.peakResidentMegabytes;
    verdicts.push({
      holds: resident <= residentMost,
      text: `RSS ≤ ${residentMost} MB: ${resident.toFixed(0)}`,
    });
  }
  return verdicts;
}

interface SpeedFloor {
  readonly ours: ContenderRuns;
  readonly theirs: ContenderRuns;
  readonly figures: ContenderFigures;
  readonly ratioMin: number;
}

/**
 * Where our client used more than 0.8 of a core, MB/s is its limit and not ours: 0.95× then counts as
 * 1.0×, if we also need no more CPU per GB than the other.
 */
function speedVerdict({ figures, ours, ratioMin, theirs }: SpeedFloor): Verdict {
  const ratios = ratiosOf(ours, theirs);
  const speed = ratios.megabytesPerSecond.median;
  const text = `MB/s ≥ ${show(ratioMin)}× ${theirs.contender.name}: ${show(speed)}×`;
  const cores = figures.clientCores.median;
  if (speed >= ratioMin || ratioMin !== 1 || cores <= busyClientCores) {
    return { holds: speed >= ratioMin, text };
  }
  const cpu = ratios.cpuSecondsPerGigabyte.median;
  const busy = `the client used ${show(cores)} cores, so ${busyClientRatioMin}× counts and CPU decides`;
  return {
    holds: speed >= busyClientRatioMin && cpu <= 1,
    text: `${text} (${busy}: ${show(cpu)}×)`,
  };
}

function show(value: number): string {
  return value >= 9.95 ? value.toFixed(1) : value.toFixed(2);
}
