import { spawn, type ChildProcess } from 'node:child_process';
import { invariant, OperatingError, sleep } from '@kafscale/core';
import { Tail } from '../clients/tail.js';

export interface ServerProgram {
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  /** Asked again and again until it says true. */
  readonly isReady: (log: string) => Promise<boolean>;
}

const startMsMax = 60_000;
const stopMsMax = 40_000;
const lookEveryMs = 50;

/** A server program from its readiness to its end. */
export class StartedProgram {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #log: Tail;

  private constructor(child: ChildProcess, log: Tail) {
    invariant(child.pid !== undefined, 'a program that is ready has a process');
    this.pid = child.pid;
    this.#child = child;
    this.#log = log;
  }

  static async start(program: ServerProgram): Promise<StartedProgram> {
    const child = spawn(program.command, program.arguments, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: program.environment,
    });
    const log = new Tail(64 * 1024);
    let failure = '';
    child.stdout.on('data', (chunk: Buffer) => log.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => log.push(chunk));
    child.on('error', (error) => (failure ||= error.message));
    child.on('exit', (code, signal) => (failure ||= `exit ${code ?? signal}`));
    for (let waitedMs = 0; !(await program.isReady(log.toString())); waitedMs += lookEveryMs) {
      if (waitedMs > startMsMax) failure ||= `it was not ready in ${startMsMax / 1000} s`;
      if (failure !== '') {
        child.kill('SIGKILL');
        throw new OperatingError(
          'SERVER_NOT_STARTED',
          `${program.command}: ${failure}\n${log.toString()}`,
        );
      }
      await sleep(lookEveryMs);
    }
    return new StartedProgram(child, log);
  }

  /** The end of what it said. */
  get log(): string {
    return this.#log.toString();
  }

  /** SIGTERM, and SIGKILL when that does not help. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    if (await this.#ends()) return;
    this.#child.kill('SIGKILL');
    await this.#ends();
  }

  async #ends(): Promise<boolean> {
    for (let waitedMs = 0; waitedMs < stopMsMax; waitedMs += lookEveryMs) {
      if (this.#child.exitCode !== null || this.#child.signalCode !== null) return true;
      await sleep(lookEveryMs);
    }
    return false;
  }
}
