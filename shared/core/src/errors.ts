/**
 * The two kinds of failure that exist in this code base.
 *
 * An {@link OperatingError} is something that happens to a correct program: a full disk, a lost
 * connection, a bad request. It is coded, says whether trying again can help, and says whether the
 * thing it was about certainly did not happen (`failed`) or may have happened (`unknown`).
 *
 * An {@link InvariantError} is a bug. Nobody catches it to go on; the process dies and is replaced.
 */

/** `failed`: it certainly did not happen. `unknown`: it may have happened; never retry blindly. */
export type Outcome = 'failed' | 'unknown';

export interface OperatingErrorOptions {
  readonly cause?: unknown;
  readonly retriable?: boolean;
  readonly outcome?: Outcome;
}

/** An operating error. `code` is stable, SCREAMING_SNAKE_CASE, and listed in docs/errors.md. */
export class OperatingError extends Error {
  readonly code: string;
  readonly retriable: boolean;
  readonly outcome: Outcome;

  constructor(code: string, message: string, options: OperatingErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'OperatingError';
    this.code = code;
    this.retriable = options.retriable ?? false;
    this.outcome = options.outcome ?? 'failed';
  }
}

/** A bug: something that the code says can not happen has happened. */
export class InvariantError extends Error {
  constructor(message: string) {
    super(`invariant violated: ${message}`);
    this.name = 'InvariantError';
  }
}

/** Throws {@link InvariantError} unless `condition` holds. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}

export function isOperatingError(error: unknown): error is OperatingError {
  return error instanceof OperatingError;
}

/** The text of anything that was thrown. */
export function describeError(error: unknown): string {
  if (error instanceof Error) return error.message === '' ? error.name : error.message;
  return String(error);
}
