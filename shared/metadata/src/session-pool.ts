import { describeError, invariant, OperatingError } from '@kafscale/core';

import { toOperatingError } from './errors.js';
import { Session } from './session.js';
import type { SessionOptions } from './session.js';

export interface SessionPoolOptions extends SessionOptions {
  readonly sessionsMax: number;
  readonly waitersMax: number;
  /** A session that is held longer is cut: its work fails, or its outcome is unknown. */
  readonly holdMsMax: number;
}

interface Waiter {
  readonly timeoutMs: number | undefined;
  readonly resolve: (session: Session | Promise<Session>) => void;
  readonly reject: (error: Error) => void;
}

/** A bounded number of sessions, most recently used first, and a bounded queue in front of them. */
export class SessionPool {
  readonly #options: SessionPoolOptions;
  readonly #idle: Session[] = [];
  readonly #held = new Map<Session, NodeJS.Timeout>();
  readonly #waiters: Waiter[] = [];
  #opening = 0;
  #closed = false;
  #onDrained: (() => void) | null = null;

  constructor(options: SessionPoolOptions) {
    this.#options = options;
  }

  async acquire(timeoutMs?: number): Promise<Session> {
    if (this.#closed) throw closedError();
    const idle = this.#idle.pop();
    if (idle !== undefined) return this.#hold(idle, timeoutMs);
    if (this.#held.size + this.#opening < this.#options.sessionsMax) return this.#open(timeoutMs);
    if (this.#waiters.length >= this.#options.waitersMax) {
      throw new OperatingError('METADATA_BUSY', 'too many callers wait for the metadata store', {
        retriable: true,
      });
    }
    return new Promise((resolve, reject) => {
      this.#waiters.push({ timeoutMs, resolve, reject });
    });
  }

  release(session: Session, usable: boolean): void {
    clearTimeout(this.#held.get(session));
    invariant(this.#held.delete(session), 'a session was given back that nobody held');
    if (!usable || session.broken) session.discard();
    else this.#idle.push(session);
    this.#next();
  }

  /** Waits for the sessions in use, then closes all. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(closedError());
    if (this.#held.size + this.#opening > 0) {
      await new Promise<void>((resolve) => {
        this.#onDrained = resolve;
      });
    }
    await Promise.all(this.#idle.splice(0).map((session) => session.close()));
  }

  #next(): void {
    if (this.#closed) {
      if (this.#held.size + this.#opening === 0) this.#onDrained?.();
      return;
    }
    const waiter = this.#waiters.shift();
    if (waiter === undefined) return;
    const idle = this.#idle.pop();
    waiter.resolve(
      idle === undefined ? this.#open(waiter.timeoutMs) : this.#hold(idle, waiter.timeoutMs),
    );
  }

  #hold(session: Session, timeoutMs = this.#options.holdMsMax): Session {
    this.#held.set(
      session,
      setTimeout(() => session.discard(), timeoutMs),
    );
    return session;
  }

  async #open(timeoutMs: number | undefined): Promise<Session> {
    this.#opening += 1;
    const session = new Session(this.#options, (broken) => this.#forget(broken));
    try {
      await verifyServer(session);
      if (this.#closed) throw closedError();
      return this.#hold(session, timeoutMs);
    } catch (error) {
      session.discard();
      throw toOperatingError(error, 'failed');
    } finally {
      this.#opening -= 1;
      if (!this.#held.has(session)) this.#next();
    }
  }

  /** The server closed a connection. One that is in use fails its caller, who gives it back. */
  #forget(session: Session): void {
    const index = this.#idle.indexOf(session);
    if (index < 0) return;
    this.#idle.splice(index, 1);
    session.discard();
  }
}

const serverVersionMin = 140_000;

/** A standby answers reads from the past; this is asked once per connection. */
async function verifyServer(session: Session): Promise<void> {
  const rows = await session.sql<{ standby: boolean; version: number }[]>`
    SELECT pg_is_in_recovery() AS standby, current_setting('server_version_num')::int AS version`;
  const [server] = rows;
  invariant(server !== undefined, 'a SELECT without FROM has one row');
  if (server.standby) {
    throw new OperatingError('METADATA_UNAVAILABLE', 'the metadata store is a read-only standby', {
      retriable: true,
    });
  }
  if (server.version < serverVersionMin) {
    throw new OperatingError(
      'METADATA_REFUSED',
      `PostgreSQL 14 or later is needed; this is ${describeError(server.version)}`,
    );
  }
}

function closedError(): OperatingError {
  return new OperatingError('METADATA_CLOSED', 'the metadata store was closed');
}
