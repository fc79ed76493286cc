import { isOperatingError, sleep } from '@kafscale/core';
import type { CoordinatorLog } from '../observability.js';

export interface TimedTaskOptions {
  /** For the log. */
  readonly name: string;
  /** From the end of one run to the start of the next. */
  readonly intervalMs: number;
  /** `signal` aborts when the process stops: the run ends early, at a point of its choice. */
  readonly run: (signal: AbortSignal) => Promise<void>;
  readonly log: CoordinatorLog;
}

/**
 * Background work that runs now and then, never twice at the same time. An operating error ends a
 * run; the next one starts over. Anything else is a bug, and ends the process.
 */
export class TimedTask {
  readonly #options: TimedTaskOptions;
  readonly #stop = new AbortController();
  #alarm = new AbortController();
  #loop: Promise<void> | null = null;

  constructor(options: TimedTaskOptions) {
    this.#options = options;
  }

  /** The first run begins at once. */
  start(): void {
    this.#loop ??= this.#runUntilStopped();
  }

  /** Runs without waiting for the interval, once more if a run is under way. */
  wake(): void {
    this.#alarm.abort();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    this.wake();
    await this.#loop;
  }

  async #runUntilStopped(): Promise<void> {
    const { intervalMs, log, name, run } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // Before the run: a wake during it is for the next one.
      this.#alarm = new AbortController();
      try {
        await run(signal);
      } catch (error) {
        if (!isOperatingError(error)) throw error;
        log.warn({ task: name, code: error.code, message: error.message }, 'stopped for now');
      }
      if (!signal.aborted) await sleep(intervalMs, this.#alarm.signal);
    }
  }
}
