import { connect as connectSocket } from 'node:net';
import type { Socket } from 'node:net';

import { invariant, OperatingError } from '@kafscale/core';
import postgres from 'postgres';

/** int8 comes back as a checked safe integer; everything else as postgres.js has it. */
export type Sql = postgres.Sql<{ safeInteger: number }>;

export interface SessionOptions {
  /** `postgres://user:password@host:port/database`; one host. */
  readonly url: string;
  readonly applicationName: string;
  readonly statementTimeoutMs: number;
  readonly lockTimeoutMs: number;
  readonly idleInTransactionTimeoutMs: number;
  readonly connectTimeoutMs: number;
}

/**
 * One connection that is never re-established. postgres.js reconnects on its own and then sends
 * whatever was still queued on the lost connection, so the second half of a transaction could run,
 * and commit, statement by statement, on the new one. Here the socket factory works once: after a
 * loss every further query of the session fails, and the pool makes a new session.
 */
export class Session {
  readonly sql: Sql;
  #socket: Socket | null = null;
  #broken = false;

  constructor(options: SessionOptions, onBroken: (session: Session) => void) {
    const broken = (): void => {
      if (this.#broken) return;
      this.#broken = true;
      onBroken(this);
    };
    this.sql = postgres(options.url, {
      ...driverOptions(options),
      onclose: broken,
      socket: (parsed: { host: string[]; port: number[]; path: string | false }) => {
        if (this.#socket !== null) {
          throw Object.assign(new Error('the connection was lost'), { code: 'CONNECTION_LOST' });
        }
        this.#socket = openSocket(parsed);
        return this.#socket;
      },
      // `socket` is missing in the published types.
    } as postgres.Options<{ safeInteger: postgres.PostgresType<number> }>) as Sql;
  }

  get broken(): boolean {
    return this.#broken;
  }

  /** Closes without waiting; queries that wait for an answer reject. Never throws. */
  discard(): void {
    this.#broken = true;
    this.#socket?.destroy();
    this.sql.end({ timeout: 0 }).catch(() => {});
  }

  /** Closes after the answers that are still due. */
  async close(): Promise<void> {
    this.#broken = true;
    await this.sql.end({ timeout: 5 });
  }
}

function driverOptions(options: SessionOptions): object {
  return {
    max: 1,
    fetch_types: false,
    idle_timeout: 0,
    max_lifetime: null,
    connect_timeout: Math.ceil(options.connectTimeoutMs / 1000),
    onnotice: () => {},
    types: {
      safeInteger: { to: 20, from: [20], serialize: String, parse: parseSafeInteger },
    },
    connection: {
      application_name: options.applicationName,
      // JIT compilation adds 8 to 10 ms to a commit whose unnest() the planner over-estimates.
      jit: 'off',
      timezone: 'UTC',
      default_transaction_isolation: 'read committed',
      synchronous_commit: 'on',
      statement_timeout: String(options.statementTimeoutMs),
      lock_timeout: String(options.lockTimeoutMs),
      idle_in_transaction_session_timeout: String(options.idleInTransactionTimeoutMs),
    },
  };
}

function openSocket(parsed: { host: string[]; port: number[]; path: string | false }): Socket {
  const [host] = parsed.host;
  const [port] = parsed.port;
  invariant(host !== undefined && port !== undefined, 'the metadata URL has a host and a port');
  if (parsed.host.length > 1) {
    throw new OperatingError('METADATA_URL_INVALID', 'the metadata URL must name one host');
  }
  const socket =
    typeof parsed.path === 'string' ? connectSocket(parsed.path) : connectSocket(port, host);
  socket.setNoDelay(true);
  joinWrites(socket);
  // postgres.js takes the server name for TLS from here.
  return Object.assign(socket, { host, port });
}

/**
 * postgres.js writes every statement of a pipeline by itself. All that are issued together leave in
 * one call to the kernel, each of which costs a wake-up of the server.
 */
function joinWrites(socket: Socket): void {
  const write = socket.write.bind(socket);
  let corked = false;
  const uncork = (): void => {
    corked = false;
    socket.uncork();
  };
  socket.write = ((...args: Parameters<Socket['write']>) => {
    if (!corked) {
      corked = true;
      socket.cork();
      process.nextTick(uncork);
    }
    return write(...args);
  }) as Socket['write'];
}

function parseSafeInteger(text: string): number {
  const value = Number(text);
  invariant(Number.isSafeInteger(value), `${text} is beyond 2^53`);
  return value;
}
