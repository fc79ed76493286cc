import { writeFileSync } from 'node:fs';
import {
  peakResidentBytes,
  processTree,
  proportionalResidentBytes,
  type ProcessSnapshot,
} from './process-tree.js';

/** What a server's processes used while something was measured. */
export interface ServerUsage {
  readonly cpuSeconds: number;
  /** The part of `cpuSeconds` that PostgreSQL used; 0 for a server without one. */
  readonly postgresCpuSeconds: number;
  /** VmHWM, summed over the processes that are not PostgreSQL's. */
  readonly peakResidentBytes: number;
  /**
   * The most that all of PostgreSQL's processes had together in a sample, each counted with its
   * share (Pss): the sum of their VmHWM would count the shared buffers once per process.
   */
  readonly postgresPeakResidentBytes: number;
  /** Of the object store beside it, which is in none of the other figures. */
  readonly storeCpuSeconds: number;
}

/** Process ids of a server, and of the object store beside it. */
export interface MeteredServer {
  readonly rootPids: readonly number[];
  readonly storePids?: readonly number[];
}

const samplePeriodMs = 500;

/** Measures the trees of a server's processes from its creation to `stop`. */
export class ServerMeter {
  readonly #rootPids: readonly number[];
  readonly #storePids: readonly number[];
  readonly #before: CpuSeconds;
  readonly #storeCpuSecondsBefore: number;
  readonly #timer: NodeJS.Timeout;
  #postgresPeakBytes = 0;

  constructor({ rootPids, storePids = [] }: MeteredServer) {
    this.#rootPids = rootPids;
    this.#storePids = storePids;
    this.#storeCpuSecondsBefore = cpuSeconds(processTree(storePids)).all;
    const tree = processTree(rootPids);
    for (const { pid } of tree) resetPeak(pid);
    this.#before = cpuSeconds(tree);
    this.#sample();
    this.#timer = setInterval(() => this.#sample(), samplePeriodMs);
  }

  stop(): ServerUsage {
    clearInterval(this.#timer);
    this.#sample();
    const tree = processTree(this.#rootPids);
    const after = cpuSeconds(tree);
    return {
      cpuSeconds: after.all - this.#before.all,
      postgresCpuSeconds: after.postgres - this.#before.postgres,
      peakResidentBytes: tree
        .filter((each) => !isPostgres(each))
        .reduce((sum, { pid }) => sum + peakResidentBytes(pid), 0),
      postgresPeakResidentBytes: this.#postgresPeakBytes,
      storeCpuSeconds: cpuSeconds(processTree(this.#storePids)).all - this.#storeCpuSecondsBefore,
    };
  }

  #sample(): void {
    const bytes = processTree(this.#rootPids)
      .filter(isPostgres)
      .reduce((sum, { pid }) => sum + proportionalResidentBytes(pid), 0);
    this.#postgresPeakBytes = Math.max(this.#postgresPeakBytes, bytes);
  }
}

interface CpuSeconds {
  readonly all: number;
  readonly postgres: number;
}

function cpuSeconds(tree: readonly ProcessSnapshot[]): CpuSeconds {
  const sum = (processes: readonly ProcessSnapshot[]): number =>
    processes.reduce((total, each) => total + each.cpuSeconds, 0);
  return { all: sum(tree), postgres: sum(tree.filter(isPostgres)) };
}

function isPostgres({ name }: ProcessSnapshot): boolean {
  return name === 'postgres';
}

/** Sets VmHWM to what is resident now (proc(5), clear_refs). Needs no privilege for own processes. */
function resetPeak(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, '5');
  } catch {
    // The process has ended, or is another user's: the peak since its start stands.
  }
}
