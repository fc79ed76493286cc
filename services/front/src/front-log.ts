import type { Clock } from '@kafscale/core';

/** The part of a pino logger that the front uses. */
export interface FrontLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export type LogLevel = keyof FrontLog;

/**
 * Lets `linesMax` lines through per interval and counts the others, so that whoever floods the port
 * does not flood the log. The count goes with the next line that passes.
 */
export class LogLimiter {
  readonly #clock: Clock;
  readonly #linesMax: number;
  readonly #intervalMs: number;
  #intervalStartMs = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #suppressed = 0;

  constructor(options: {
    readonly clock: Clock;
    readonly linesMax: number;
    readonly intervalMs: number;
  }) {
    this.#clock = options.clock;
    this.#linesMax = options.linesMax;
    this.#intervalMs = options.intervalMs;
  }

  /** Null: say nothing. Else say it, with the number of lines that were left out before it. */
  pass(): { readonly suppressed?: number } | null {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#intervalStartMs >= this.#intervalMs) {
      this.#intervalStartMs = nowMs;
      this.#lines = 0;
    }
    if (this.#lines >= this.#linesMax) {
      this.#suppressed += 1;
      return null;
    }
    this.#lines += 1;
    const suppressed = this.#suppressed;
    this.#suppressed = 0;
    return suppressed === 0 ? {} : { suppressed };
  }
}
