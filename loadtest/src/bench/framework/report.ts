import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DiskFacts } from './disk-probe.js';
import { figuresOf, ratiosOf, type ContenderFigures, type Ratios } from './figures.js';
import { describeMachine, type MachineFacts } from './machine-facts.js';
import { markdownTable } from './markdown-table.js';
import type { ContenderRuns } from './measure.js';
import type { Spread } from './statistics.js';

/** What we promise of a load. */
export interface Floor {
  /** The least that our MB/s must be, as a multiple of the peer's. */
  readonly megabytesPerSecondRatio: number;
  /** The most that our processes may have resident, PostgreSQL's left out. */
  readonly residentMegabytesMax: number;
}

interface Section {
  readonly title: string;
  readonly description: string;
  readonly contenders: readonly ContenderFigures[];
  readonly ratios: Ratios | undefined;
}

/** Prints what was measured as Markdown, and keeps it as JSON. */
export class Report {
  readonly #sections: Section[] = [];
  readonly #machine: MachineFacts;
  readonly #disks: DiskFacts[] = [];
  readonly #command: string;

  constructor(options: { readonly command: string; readonly machine: MachineFacts }) {
    this.#command = options.command;
    this.#machine = options.machine;
  }

  /** Printed first. */
  introduce(servers: readonly string[]): void {
    const lines = [this.#command, describeMachine(this.#machine), ...servers];
    console.log(`${lines.join('\n')}\n`);
  }

  disk(when: string, facts: DiskFacts): void {
    this.#disks.push(facts);
    const { fsyncMs99, fsyncMsMedian, sequentialMegabytesPerSecond } = facts;
    console.log(
      `disk ${when}: 4 KiB write + fdatasync p50 ${fsyncMsMedian.toFixed(2)} ms, ` +
        `p99 ${fsyncMs99.toFixed(2)} ms; ` +
        `8 MiB writes + fdatasync ${sequentialMegabytesPerSecond.toFixed(0)} MB/s\n`,
    );
  }

  /** One load. Ours, then its peer, then others that are only shown. */
  section(title: string, results: readonly ContenderRuns[], floor?: Floor): void {
    const [ours, theirs] = results;
    const contenders = results.map(figuresOf);
    const isPair = ours !== undefined && ours.contender.load === theirs?.contender.load;
    const ratios = isPair ? ratiosOf(ours, theirs) : undefined;
    const description = ours?.contender.load.description ?? '';
    this.#sections.push({ title, description, contenders, ratios });
    console.log(`### ${title}\n\n${description}\n`);
    console.log(`${markdownTable(headings, contenders.map(rowOf))}\n`);
    if (ratios !== undefined) console.log(`${ratioLine(contenders, ratios, floor)}\n`);
  }

  save(file: string): void {
    mkdirSync(dirname(file), { recursive: true });
    const { date, ...machine } = this.#machine;
    const kept = {
      command: this.#command,
      date,
      machine,
      disks: this.#disks,
      sections: this.#sections,
    };
    writeFileSync(file, `${JSON.stringify(kept, undefined, 2)}\n`);
    console.log(`kept as ${file}`);
  }
}

const headings = [
  'server',
  'runs',
  'MB/s (min–max)',
  'CPU s/GB',
  'of it PostgreSQL',
  'peak RSS MB',
  'PostgreSQL MB',
  'client CPU s/GB',
  'client cores',
];

function rowOf(figures: ContenderFigures): string[] {
  const hasPostgres = figures.postgresPeakResidentMegabytes > 0;
  return [
    figures.name,
    String(figures.runs),
    showSpread(figures.megabytesPerSecond, 1),
    showSpread(figures.cpuSecondsPerGigabyte, 2),
    hasPostgres ? figures.postgresCpuSecondsPerGigabyte.median.toFixed(2) : '–',
    figures.peakResidentMegabytes.toFixed(0),
    hasPostgres ? figures.postgresPeakResidentMegabytes.toFixed(0) : '–',
    figures.clientCpuSecondsPerGigabyte.median.toFixed(2),
    figures.clientCores.median.toFixed(2),
  ];
}

function ratioLine(
  [ours, theirs]: readonly ContenderFigures[],
  ratios: Ratios,
  floor: Floor | undefined,
): string {
  const { cpuSecondsPerGigabyte, megabytesPerSecond } = ratios;
  const measured =
    `${ours?.name} ÷ ${theirs?.name}, run by run: ` +
    `MB/s ${showSpread(megabytesPerSecond, 2)}×, ` +
    `CPU s/GB ${showSpread(cpuSecondsPerGigabyte, 2)}×`;
  if (floor === undefined || ours === undefined) return measured;
  const { megabytesPerSecondRatio, residentMegabytesMax } = floor;
  const verdicts = [
    `MB/s ≥ ${megabytesPerSecondRatio.toFixed(1)}× ` +
      verdict(megabytesPerSecond.median >= megabytesPerSecondRatio),
    `RSS ≤ ${residentMegabytesMax} MB ` +
      verdict(ours.peakResidentMegabytes <= residentMegabytesMax),
  ];
  return `${measured}\nFloors: ${verdicts.join(', ')}`;
}

function verdict(holds: boolean): string {
  return holds ? 'holds' : 'MISSED';
}

function showSpread({ max, median, min }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}
