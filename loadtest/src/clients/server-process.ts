import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { takePort } from '@kafscale/testing';
import { CheckFailedError } from './ledger.js';
import type { ServerControl } from './server.js';
import { endWithUs } from './started-children.js';
import { Tail } from './tail.js';

export interface ServerProgram {
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  /** Asked again and again until it says true. */
  readonly ready: (log: string) => Promise<boolean>;
  /** Exit codes of a clean end. */
  readonly cleanExits: readonly number[];
}

const startMsMax = 120_000;
const stopMsMax = 90_000; // beyond its own bound
const lookEveryMs = 50;

/** A server program that can be stopped, killed and started again. */
export class ServerProcess implements ServerControl {
  readonly #program: ServerProgram;
  readonly #log = new Tail(64 * 1024);
  #child: ChildProcess | undefined;
  #ended = '';

  constructor(program: ServerProgram) {
    this.#program = program;
  }

  get log(): string {
    return this.#log.toString();
  }

  async start(): Promise<void> {
    const { command, environment, ready } = this.#program;
    const child = spawn(command, this.#program.arguments, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environment,
    });
    this.#child = endWithUs(child);
    this.#ended = '';
    const started = new Tail(64 * 1024);
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (chunk: Buffer) => {
        this.#log.push(chunk);
        started.push(chunk);
      });
    }
    child.on('error', (error) => (this.#ended ||= error.message));
    child.on('exit', (code, signal) => {
      this.#ended ||= `exit ${code ?? signal}`;
      this.#log.push(Buffer.from(`[the server has ended: ${this.#ended}]\n`));
    });
    const deadline = performance.now() + startMsMax;
    while (!(await ready(started.toString()))) {
      if (this.#ended !== '')
        throw new CheckFailedError(`the server did not start: ${this.#ended}`);
      if (performance.now() > deadline) {
        throw new CheckFailedError(`the server was not ready in ${startMsMax / 1000} s`);
      }
      await sleep(lookEveryMs);
    }
  }

  async restartCleanly(): Promise<void> {
    const ended = await this.#stop('SIGTERM');
    if (!this.#program.cleanExits.some((code) => ended === `exit ${code}`)) {
      throw new CheckFailedError(`the server did not stop cleanly on SIGTERM: ${ended}`);
    }
    await this.start();
  }

  async restartAfterKill(): Promise<void> {
    await this.#stop('SIGKILL');
    await this.start();
  }

  async shutDown(): Promise<void> {
    if (this.#child === undefined || this.#ended !== '') return;
    try {
      await this.#stop('SIGTERM');
    } catch {
      await this.#stop('SIGKILL');
    }
  }

  async #stop(signal: NodeJS.Signals): Promise<string> {
    this.#child?.kill(signal);
    const deadline = performance.now() + stopMsMax;
    while (this.#ended === '') {
      if (performance.now() > deadline) {
        throw new CheckFailedError(
          `the server was still there ${stopMsMax / 1000} s after ${signal}`,
        );
      }
      await sleep(lookEveryMs);
    }
    return this.#ended;
  }
}

/** Ports of the loopback interface that stay free for whoever asked, over restarts too. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) ports.push(await takePort());
  return ports;
}
