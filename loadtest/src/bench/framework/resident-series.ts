import type { BenchServer } from '../../peers/bench-server.js';
import { processTree, residentBytes } from './process-tree.js';

const samplePeriodMs = 250;

/** Resident memory of a server, PostgreSQL's left out, from its creation to `stop`. */
export class ResidentSeries {
  /** In bytes. */
  readonly samples: number[] = [];
  readonly #server: BenchServer;
  readonly #timer: NodeJS.Timeout;

  constructor(server: BenchServer) {
    this.#server = server;
    this.#sample();
    this.#timer = setInterval(() => this.#sample(), samplePeriodMs);
  }

  get peakBytes(): number {
    return Math.max(...this.samples);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#sample();
  }

  #sample(): void {
    this.samples.push(residentBytesOf(this.#server));
  }
}

/** Now, of all processes that are not PostgreSQL's. */
export function residentBytesOf({ rootPids }: BenchServer): number {
  return processTree(rootPids)
    .filter(({ name }) => name !== 'postgres')
    .reduce((sum, { pid }) => sum + residentBytes(pid), 0);
}
