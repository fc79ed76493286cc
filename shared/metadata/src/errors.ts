import { describeError, InvariantError, OperatingError } from '@kafscale/core';
import type { Outcome } from '@kafscale/core';
import postgres from 'postgres';

/** SQLSTATEs of a transaction that lost against another one and can simply run again. */
const conflictStates = new Set(['40001', '40P01']);

/** Connection, resource and shutdown classes, lost connections, and a server that became a standby. */
const unavailableClasses = new Set(['08', '53', '57', '58']);
const unavailableStates = new Set(['25006', '25P03', '25P04']);

const timeoutStates = new Set(['55P03', '57014']);
/** Authentication, no such database, no such object or no privilege. */
const refusedClasses = new Set(['28', '3D', '42']);

/** The SQLSTATE, or null when the error is not an answer of the server. */
export function sqlStateOf(error: unknown): string | null {
  return error instanceof postgres.PostgresError ? error.code : null;
}

export function isConflict(error: unknown): boolean {
  const state = sqlStateOf(error);
  return state !== null && conflictStates.has(state);
}

export function isUniqueViolation(error: unknown, constraint: string): boolean {
  return (
    error instanceof postgres.PostgresError &&
    error.code === '23505' &&
    error.constraint_name === constraint
  );
}

/**
 * true when the session that saw the error is still usable: the server answered, and did not say
 * that it closes the connection.
 */
export function keepsSession(error: unknown): boolean {
  if (error instanceof OperatingError || error instanceof InvariantError) return true;
  return error instanceof postgres.PostgresError && !isClosing(error);
}

/** FATAL and PANIC end the session; the severity may be localized, so the class counts too. */
function isClosing(error: postgres.PostgresError): boolean {
  return error.severity === 'FATAL' || error.severity === 'PANIC' || error.code.startsWith('57P');
}

/**
 * Turns whatever a query threw into an {@link OperatingError}. `outcomeIfLost` is what a lost
 * connection means for the work in question: `unknown` once a COMMIT (or a statement that commits
 * by itself) may have been sent.
 */
export function toOperatingError(error: unknown, outcomeIfLost: Outcome): Error {
  if (error instanceof OperatingError || error instanceof InvariantError) return error;
  if (error instanceof postgres.PostgresError && (!isClosing(error) || isRefusal(error))) {
    return serverError(error);
  }
  if (!isConnectionError(error)) return asError(error);
  return new OperatingError(
    'METADATA_UNAVAILABLE',
    `the metadata store can't be reached: ${describeError(error)}`,
    { cause: error, retriable: true, outcome: outcomeIfLost },
  );
}

function isRefusal(error: postgres.PostgresError): boolean {
  return refusedClasses.has(error.code.slice(0, 2));
}

/** Sockets and postgres.js put a code on their errors. Anything else is a bug of ours. */
function isConnectionError(error: unknown): boolean {
  return error instanceof Error && 'code' in error && !(error instanceof TypeError);
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new InvariantError(describeError(error));
}

function serverError(error: postgres.PostgresError): Error {
  // Raised by kafscale_expect() of the schema.
  if (error.code === 'KFS01') return new InvariantError(error.message);
  const text = `the metadata store answered ${error.code}: ${error.message}`;
  const sqlClass = error.code.slice(0, 2);
  const retriable = { cause: error, retriable: true } as const;
  if (conflictStates.has(error.code))
    return new OperatingError('METADATA_CONFLICT', text, retriable);
  if (timeoutStates.has(error.code)) return new OperatingError('METADATA_TIMEOUT', text, retriable);
  if (unavailableStates.has(error.code) || unavailableClasses.has(sqlClass)) {
    return new OperatingError('METADATA_UNAVAILABLE', text, retriable);
  }
  const code = isRefusal(error) ? 'METADATA_REFUSED' : 'METADATA_FAILED';
  return new OperatingError(code, text, { cause: error });
}
