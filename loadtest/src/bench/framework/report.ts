import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DiskFacts } from './disk-probe.js';
import { figuresOf, ratiosOf, type ContenderFigures, type Ratios } from './figures.js';
import { verdictsOf, type Floor, type Verdict } from './floors.js';
import { describeMachine, type MachineFacts } from './machine-facts.js';
import { markdownTable } from './markdown-table.js';
import type { ContenderRuns } from './measure.js';
import type { Spread } from './statistics.js';

interface Section {
  readonly title: string;
  readonly description: string;
  readonly contenders: readonly ContenderFigures[];
  readonly ratios: Ratios | undefined;
  readonly verdicts: readonly Verdict[];
}

/** A table of a benchmark's own, and what it says about our promises. */
export interface OwnTable {
  readonly title: string;
  readonly description: string;
  readonly headings: readonly string[];
  /** The first column is text. */
  readonly rows: readonly (readonly string[])[];
  readonly verdicts?: readonly Verdict[];
  /** What the rows were made of: kept, not printed. */
  readonly figures?: unknown;
}

/** Prints what was measured as Markdown, and keeps it as JSON. */
export class Report {
  readonly #sections: (Section | OwnTable)[] = [];
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

  /** One load. Ours, then its peer, then others. */
  section(title: string, results: readonly ContenderRuns[], floor?: Floor): void {
    const [ours, theirs] = results;
    const contenders = results.map(figuresOf);
    const isPair = ours !== undefined && ours.contender.load === theirs?.contender.load;
    const ratios = isPair ? ratiosOf(ours, theirs) : undefined;
    const verdicts =
      floor === undefined || !ours?.contender.isOurs ? [] : verdictsOf(floor, results);
    const description = ours?.contender.load.description ?? '';
    this.#sections.push({ title, description, contenders, ratios, verdicts });
    console.log(`### ${title}\n\n${description}\n`);
    console.log(`${contenderTable(contenders)}\n`);
    if (ratios !== undefined) console.log(`${ratioLine(contenders, ratios)}\n`);
    showVerdicts(verdicts);
  }

  /** Anything that is not MB/s of contenders side by side. */
  table(table: OwnTable): void {
    this.#sections.push(table);
    const { description, headings, rows, title, verdicts = [] } = table;
    console.log(`### ${title}\n\n${description}\n\n${markdownTable(headings, rows)}\n`);
    showVerdicts(verdicts);
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

type Column = readonly [heading: string, cell: (figures: ContenderFigures) => string];

const hasPostgres = (figures: ContenderFigures): boolean =>
  figures.postgresPeakResidentMegabytes > 0;

/** A row that is no server has no server's figures. */
const orDash = ({ peakResidentMegabytes }: ContenderFigures, text: string): string =>
  peakResidentMegabytes > 0 ? text : '–';

const columns: readonly Column[] = [
  ['server', ({ name }) => name],
  ['runs', ({ runs }) => String(runs)],
  ['MB/s (min–max)', (figures) => showSpread(figures.megabytesPerSecond, 1)],
  ['CPU s/GB', (figures) => orDash(figures, showSpread(figures.cpuSecondsPerGigabyte, 2))],
  [
    'of it PostgreSQL',
    (figures) =>
      hasPostgres(figures) ? figures.postgresCpuSecondsPerGigabyte.median.toFixed(2) : '–',
  ],
  ['peak RSS MB', (figures) => orDash(figures, figures.peakResidentMegabytes.toFixed(0))],
  [
    'PostgreSQL MB',
    (figures) => (hasPostgres(figures) ? figures.postgresPeakResidentMegabytes.toFixed(0) : '–'),
  ],
  ['client CPU s/GB', (figures) => figures.clientCpuSecondsPerGigabyte.median.toFixed(2)],
  ['client cores', (figures) => figures.clientCores.median.toFixed(2)],
];

const storeColumn: Column = [
  'S3 server CPU s/GB',
  ({ storeCpuSecondsPerGigabyte: { max, median } }) => (max > 0 ? median.toFixed(2) : '–'),
];

/** The object store has a column if there is one. */
function contenderTable(contenders: readonly ContenderFigures[]): string {
  const hasStore = contenders.some(({ storeCpuSecondsPerGigabyte: { max } }) => max > 0);
  const shown = hasStore ? [...columns, storeColumn] : columns;
  return markdownTable(
    shown.map(([heading]) => heading),
    contenders.map((figures) => shown.map(([, cell]) => cell(figures))),
  );
}

function ratioLine([ours, theirs]: readonly ContenderFigures[], ratios: Ratios): string {
  const { cpuSecondsPerGigabyte, megabytesPerSecond } = ratios;
  return (
    `${ours?.name} ÷ ${theirs?.name}, run by run: ` +
    `MB/s ${showSpread(megabytesPerSecond, 2)}×, ` +
    `CPU s/GB ${showSpread(cpuSecondsPerGigabyte, 2)}×`
  );
}

function showVerdicts(verdicts: readonly Verdict[]): void {
  if (verdicts.length === 0) return;
  const lines = verdicts.map(({ holds, text }) => `- ${text}: ${holds ? 'holds' : 'MISSED'}`);
  console.log(`Floors:\n\n${lines.join('\n')}\n`);
}

function showSpread({ max, median, min }: Spread, digits: number): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
}
