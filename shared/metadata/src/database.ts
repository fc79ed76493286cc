import { invariant, OperatingError, sleep } from '@kafscale/core';
import type { Outcome } from '@kafscale/core';
import type postgres from 'postgres';

import { isConflict, keepsSession, toOperatingError } from './errors.js';
import { SessionPool } from './session-pool.js';
import type { SessionPoolOptions } from './session-pool.js';
import type { Session, Sql } from './session.js';

export type { Sql } from './session.js';

const attemptsMax = 4;
const backoffMsMin = 10;

/** A transaction in progress. Statements that are issued without awaiting in between share a round trip. */
export interface Transaction {
  readonly sql: Sql;
  /**
   * Sends the last statements and the COMMIT in one round trip. Nothing may follow. When one of the
   * statements fails, the COMMIT does nothing.
   */
  readonly commitWith: (
    statements: readonly postgres.PendingQuery<postgres.MaybeRow[]>[],
  ) => Promise<void>;
}

export interface TransactionOptions {
  /** Other errors than serialization failures and deadlocks after which to run it again. */
  readonly retryOn?: (error: unknown) => boolean;
  /** The connection is cut after this time. */
  readonly timeoutMs?: number;
}

/**
 * Access to PostgreSQL for everything in this package. Rejects with OperatingError only; its outcome
 * is `unknown` when the connection was lost after a COMMIT may have been sent.
 */
export class Database {
  readonly #pool: SessionPool;

  constructor(options: SessionPoolOptions) {
    this.#pool = new SessionPool(options);
  }

  /** Statements that change nothing, outside of a transaction. */
  read<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.#withSession((session) => work(session.sql), 'failed');
  }

  /** One statement that commits by itself. */
  write<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.#withSession((session) => work(session.sql), 'unknown');
  }

  /**
   * A READ COMMITTED transaction. `work` runs again, a few times and after a pause, when the
   * transaction lost against another one (40001, 40P01); a lost connection is never retried here.
   */
  async transaction<T>(
    work: (transaction: Transaction) => Promise<T>,
    options: TransactionOptions = {},
  ): Promise<T> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#transactionOnce(work, options.timeoutMs);
      } catch (error) {
        const cause = error instanceof OperatingError ? error.cause : error;
        const again = isConflict(cause) || options.retryOn?.(cause) === true;
        if (!again || attempt === attemptsMax) throw error;
      }
      // Full jitter; Math.random decides nothing but a pause.
      await sleep(backoffMsMin * 2 ** attempt * Math.random());
    }
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  async #transactionOnce<T>(
    work: (transaction: Transaction) => Promise<T>,
    timeoutMs: number | undefined,
  ): Promise<T> {
    const state = { commitSent: false };
    return this.#withSession(
      async (session) => {
        try {
          return await runTransaction(session.sql, work, state);
        } catch (error) {
          // A no-op with a warning when the COMMIT has already rolled back.
          if (keepsSession(error) && !session.broken) await session.sql.unsafe('ROLLBACK');
          throw error;
        }
      },
      () => (state.commitSent ? 'unknown' : 'failed'),
      timeoutMs,
    );
  }

  async #withSession<T>(
    work: (session: Session) => Promise<T>,
    outcomeIfLost: Outcome | (() => Outcome),
    timeoutMs?: number,
  ): Promise<T> {
    const session = await this.#pool.acquire(timeoutMs);
    let usable = false;
    try {
      const result = await work(session);
      usable = true;
      return result;
    } catch (error) {
      usable = keepsSession(error);
      const outcome = typeof outcomeIfLost === 'function' ? outcomeIfLost() : outcomeIfLost;
      throw toOperatingError(error, outcome);
    } finally {
      this.#pool.release(session, usable);
    }
  }
}

async function runTransaction<T>(
  sql: Sql,
  work: (transaction: Transaction) => Promise<T>,
  state: { commitSent: boolean },
): Promise<T> {
  const commitWith: Transaction['commitWith'] = async (statements) => {
    invariant(!state.commitSent, 'a transaction commits once');
    state.commitSent = true;
    const results = await Promise.all([...statements, sql.unsafe('COMMIT')]);
    const { command } = results[results.length - 1] as { command?: string };
    // PostgreSQL answers a COMMIT of a failed transaction with ROLLBACK and no error.
    invariant(command === 'COMMIT', `a COMMIT was answered with ${String(command)}`);
  };
  // BEGIN travels with the first statements of `work`. When the connection is lost, whichever
  // rejects first ends both: the session is discarded, and that rejects the rest.
  const [, result] = await Promise.all([sql.unsafe('BEGIN').execute(), work({ sql, commitWith })]);
  if (!state.commitSent) await commitWith([]);
  return result;
}
