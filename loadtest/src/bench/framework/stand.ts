import { runBench, type Bench } from './bench.js';
import type { Verdict } from './floors.js';

/** A benchmark that starts its servers itself, and has tables of its own only. */
export interface Stand {
  readonly options: Bench['options'];
  /** On the disk of the checkout; deleted at the end. */
  readonly dataRoot: string;
  readonly report: StandReport;
  /** `stop` is called at the end, whatever happens, last one first. */
  readonly started: <Server>(server: Server, stop: (server: Server) => Promise<void>) => Server;
}

export interface StandDeclaration {
  /** As in `npm run bench:NAME`. */
  readonly name: string;
  readonly body: (stand: Stand) => Promise<void>;
}

export async function runStand({ body, name }: StandDeclaration): Promise<void> {
  await runBench({
    name,
    runs: { quick: 1, full: 1 },
    start: () => Promise.resolve({}),
    body: async (bench) => {
      const { dataRoot, defer, options } = bench;
      const report = new StandReport(bench);
      const started: Stand['started'] = (server, stop) => {
        defer(() => stop(server));
        return server;
      };
      await body({ options, dataRoot, report, started });
      report.end();
    },
  });
}

/** Builds a benchmark's sections bit by bit. Each is printed when the next one begins. */
export class StandReport {
  readonly #bench: Bench;
  #title = '';
  #description = '';
  #headings: readonly string[] = [];
  #rows: readonly (readonly string[])[] = [];
  #verdicts: Verdict[] = [];
  #figures: Record<string, unknown[]> = {};

  constructor(bench: Bench) {
    this.#bench = bench;
  }

  section(title: string, description: string): void {
    this.end();
    this.#title = title;
    this.#description = description;
  }

  table(headings: readonly string[], rows: readonly (readonly string[])[]): void {
    this.#headings = headings;
    this.#rows = rows;
  }

  /** `text` says what is promised and what was measured. */
  floor(text: string, holds: boolean): void {
    this.#verdicts.push({ text, holds });
  }

  /** In the JSON file, not printed. */
  keep(name: string, figures: unknown): void {
    (this.#figures[name] ??= []).push(figures);
  }

  /** Prints the section that was begun last. */
  end(): void {
    if (this.#title === '') return;
    this.#bench.table({
      title: this.#title,
      description: this.#description,
      headings: this.#headings,
      rows: this.#rows,
      verdicts: this.#verdicts,
      figures: this.#figures,
    });
    this.#title = '';
    this.#verdicts = [];
    this.#figures = {};
  }
}
