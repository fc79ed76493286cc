import type { Readable } from 'node:stream';
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { CheckFailedError, partitionName } from './ledger.js';
import type { ConsumedRecord } from './records.js';
import { endWithUs } from './started-children.js';
import { Tail } from './tail.js';

export interface ConsumerProgram {
  readonly command: string;
  readonly arguments: readonly string[];
  readonly environment?: NodeJS.ProcessEnv;
  /** Reads the program's output and reports what it says. */
  readonly attach: (streams: ConsumerStreams, sink: ConsumerSink) => void;
}

export interface ConsumerStreams {
  readonly stdout: Readable;
  readonly stderr: Readable;
}

export interface ConsumerSink {
  record(record: ConsumedRecord): void;
  /** Runs what reads the program's output: what that throws is the consumer's failure. */
  attempt(read: () => void): void;
  /** The whole assignment as it is now. */
  assigned(partitions: readonly { topic: string; partition: number }[]): void;
}

const stopMsMax = 60_000;
const lookEveryMs = 200;

/** A running member of a consumer group: what it was given so far, and what it is assigned. */
export class ConsumerProcess {
  readonly records: ConsumedRecord[] = [];
  readonly #label: string;
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #stderr = new Tail();
  readonly #waiting = new Set<() => void>();
  #assignment: ReadonlySet<string> | undefined;
  #ended: string | undefined;
  #stopping = false;

  constructor(label: string, program: ConsumerProgram) {
    this.#label = label;
    const child = spawn(program.command, program.arguments, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...program.environment },
    });
    this.#child = endWithUs(child);
    this.#child.stderr.on('data', (chunk: Buffer) => this.#stderr.push(chunk));
    this.#child.on('error', (error) => this.#end(error.message));
    this.#child.on('close', (code, signal) => this.#end(`exit ${code ?? signal}`));
    program.attach(this.#child, {
      record: (record) => {
        this.records.push(record);
        this.#wake();
      },
      assigned: (partitions) => {
        this.#assignment = new Set(partitions.map(partitionName));
        this.#wake();
      },
      attempt: (read) => {
        try {
          read();
        } catch (error) {
          this.#end(`its output: ${String(error)}`);
          this.#child.kill('SIGKILL');
        }
      },
    });
  }

  /** Names of the partitions that it holds; undefined before its first assignment. */
  get assignment(): ReadonlySet<string> | undefined {
    return this.#assignment;
  }

  /**
   * Resolves once `holds` does. Looks again at every record and every assignment, and now and then,
   * since `holds` may be about other consumers too.
   */
  async until(what: string, holds: () => boolean, timeoutMs = 120_000): Promise<void> {
    if (holds()) return;
    await new Promise<void>((resolve, reject) => {
      const finish = (error?: Error): void => {
        clearTimeout(timer);
        clearInterval(ticker);
        this.#waiting.delete(look);
        if (error === undefined) resolve();
        else reject(error);
      };
      const look = (): void => {
        if (holds()) finish();
        else if (this.#ended !== undefined) finish(this.#failure(`ended before ${what}`));
      };
      const timer = setTimeout(
        () => finish(this.#failure(`${what} did not come in ${timeoutMs / 1000} s`)),
        timeoutMs,
      );
      const ticker = setInterval(look, lookEveryMs);
      this.#waiting.add(look);
      look();
    });
  }

  /** Has it commit what it was given and leave its group, as Ctrl-C would. */
  async stop(): Promise<void> {
    if (this.#ended !== undefined) throw this.#failure('ended by itself');
    this.#stopping = true;
    this.#child.kill('SIGTERM');
    await this.until('its end', () => this.#ended !== undefined, stopMsMax);
    if (this.#ended !== 'exit 0') throw this.#failure('did not leave cleanly');
  }

  /** Ends it in whatever state it is, when the checks are over. */
  destroy(): void {
    if (this.#ended === undefined) this.#child.kill('SIGKILL');
  }

  #end(how: string): void {
    this.#ended ??= how;
    this.#wake();
  }

  #wake(): void {
    for (const look of this.#waiting) look();
  }

  #failure(what: string): CheckFailedError {
    const held = [...(this.#assignment ?? ['nothing'])].join(' ');
    const state = this.#ended ?? (this.#stopping ? 'stopping' : 'running');
    return new CheckFailedError(
      `${this.#label}: ${what} (${state}; ${this.records.length} records; assigned: ${held})\n` +
        this.#stderr.toString(),
    );
  }
}
