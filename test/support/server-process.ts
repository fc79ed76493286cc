import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { dirname, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const repository = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const program = resolve(repository, 'services/standalone/bin/kafscale.js');
const logCharactersMax = 4_000_000;

export interface ServerOptions {
  /** Such as `['standalone', '--kafka-port', '9092']`. */
  readonly args: readonly string[];
  /** All the KAFSCALE_* and AWS_* variables that it sees. */
  readonly env: Readonly<Record<string, string>>;
  readonly httpPort: number;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const running = new Set<ServerProcess>();
process.once('exit', () => {
  for (const server of running) server.killGroup();
});

/** One kafscale process, in a process group of its own. */
export class ServerProcess {
  readonly pid: number;
  readonly exited: Promise<ProcessExit>;
  readonly #child: ChildProcess;
  readonly #options: ServerOptions;
  #exit: ProcessExit | null = null;
  #stdout = '';
  #stderr = '';

  private constructor(options: ServerOptions) {
    this.#options = options;
    const { HOME = '/', PATH = '' } = process.env;
    this.#child = spawn(process.execPath, [program, ...options.args], {
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { HOME, PATH, ...options.env },
    });
    this.pid = this.#child.pid ?? -1;
    running.add(this);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout = (this.#stdout + text).slice(-logCharactersMax);
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-logCharactersMax);
    });
    this.exited = new Promise((settle) => {
      this.#child.once('exit', (code, signal) => {
        this.#exit = { code, signal };
        running.delete(this);
      });
      // After the last output.
      this.#child.once('close', (code, signal) => {
        settle({ code, signal });
      });
    });
  }

  /** Does not wait for anything. */
  static spawn(options: ServerOptions): ServerProcess {
    return new ServerProcess(options);
  }

  /** Resolves when /health/ready says so; fails with the end of the log. */
  static async start(options: ServerOptions): Promise<ServerProcess> {
    const server = new ServerProcess(options);
    await server.waitUntilReady();
    return server;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** The log lines, parsed. Other lines of the output are left out. */
  get logLines(): readonly Readonly<Record<string, unknown>>[] {
    const text = this.#stdout + this.#stderr;
    const lines = text.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** The end of the output, for failure messages. */
  get tail(): string {
    return `${this.#stdout.slice(-3000)}\n${this.#stderr.slice(-2000)}`;
  }

  get hasExited(): boolean {
    return this.#exit !== null;
  }

  async waitUntilReady(timeoutMs = 100_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    const url = `http://127.0.0.1:${this.#options.httpPort}/health/ready`;
    while (performance.now() < deadline) {
      if (this.#exit !== null) {
        throw new Error(`it ended with ${JSON.stringify(this.#exit)}:\n${this.tail}`);
      }
      // oxlint-disable-next-line no-await-in-loop
      if (await isOk(url)) return;
      // oxlint-disable-next-line no-await-in-loop
      await delay(20);
    }
    this.killGroup();
    throw new Error(`not ready after ${timeoutMs} ms:\n${this.tail}`);
  }

  signal(name: NodeJS.Signals): void {
    if (this.#exit === null) process.kill(this.pid, name);
  }

  /** SIGKILL to the Node process alone. */
  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.exited;
  }

  /** SIGKILL to whatever is in its process group. */
  killGroup(): void {
    if (this.#exit !== null) return;
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  /** SIGTERM; the exit. Fails when it has not ended in time. */
  async stop(timeoutMs = 60_000): Promise<ProcessExit> {
    this.signal('SIGTERM');
    return this.waitForExit(timeoutMs);
  }

  async waitForExit(timeoutMs: number): Promise<ProcessExit> {
    const timer = new AbortController();
    const late = delay(timeoutMs, null, { signal: timer.signal }).catch(() => null);
    const exit = await Promise.race([this.exited, late]);
    timer.abort();
    if (exit !== null) return exit;
    this.killGroup();
    throw new Error(`it did not end within ${timeoutMs} ms:\n${this.tail}`);
  }
}

async function isOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(10_000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
