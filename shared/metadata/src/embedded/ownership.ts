import { setTimeout as delay } from 'node:timers/promises';
import { describeError, OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import postgres from 'postgres';
import type { Sql } from 'postgres';
import { userName } from './cluster-files.js';
import { embeddedLimits } from './types.js';

const databaseName = 'kafscale';
/** Two int4 halves of the advisory lock's key: "kafs", then 1 for "owner of the data dir". */
const lockKey = [0x6b_61_66_73, 1] as const;

/**
 * The claim on a data dir: a lock of a database session, so that it ends with the process that
 * holds it, however that ends, and is never left behind.
 */
export interface Ownership {
  /** Ends the session on purpose. */
  release(): Promise<void>;
}

/** `in-use`: another process has it. `unreachable`: the server went away or is not up yet. */
export type ClaimResult =
  | { readonly outcome: 'owned'; readonly ownership: Ownership }
  | { readonly outcome: 'in-use'; readonly holder: string }
  | { readonly outcome: 'unreachable'; readonly reason: string };

export interface ClaimOptions {
  readonly port: number;
  readonly secret: string;
  readonly clock: Clock;
  /** Those of an owner that is gone must not commit after us or hold locks that we need. */
  readonly endOtherSessions: boolean;
  /** The session that holds the lock broke. Not called after `release`. */
  readonly onBroken: () => void;
}

export function databaseUrl(port: number, secret: string): string {
  return `postgres://${userName}:${secret}@127.0.0.1:${port}/${databaseName}`;
}

/**
 * Takes the lock and makes the database ready for its owner. A previous owner that was killed may
 * still have it for a moment: its server process has to notice that the socket closed.
 */
export async function claimOwnership(options: ClaimOptions): Promise<ClaimResult> {
  let released = false;
  let owned = false;
  const sql = postgres({
    host: '127.0.0.1',
    port: options.port,
    user: userName,
    password: options.secret,
    // The lock lives in a database that always exists; advisory locks are per database.
    database: 'postgres',
    max: 1,
    // The library would replace a session after a while, and the lock would be gone.
    max_lifetime: null,
    connect_timeout: embeddedLimits.connectSecondsMax,
    fetch_types: false,
    connection: { application_name: `kafscale owner, process ${process.pid}` },
    onnotice: () => undefined,
    onclose: () => {
      if (owned && !released) options.onBroken();
    },
  });
  const release = async (): Promise<void> => {
    released = true;
    await sql.end({ timeout: 0 });
  };
  try {
    owned = await takeLock(sql, options.clock);
    if (!owned) {
      const holder = await describeHolder(sql);
      await release();
      return { outcome: 'in-use', holder };
    }
    if (options.endOtherSessions) await endOtherSessions(sql);
    await createDatabase(sql);
    return { outcome: 'owned', ownership: { release } };
  } catch (error) {
    await release();
    return { outcome: 'unreachable', reason: describeError(error) };
  }
}

export function dataDirInUse(dataDir: string, holder: string): OperatingError {
  return new OperatingError('DATA_DIR_IN_USE', `the data dir ${dataDir} is in use by ${holder}`);
}

async function takeLock(sql: Sql, clock: Clock): Promise<boolean> {
  const deadlineMs = clock.monotonicMs() + embeddedLimits.ownershipMsMax;
  for (;;) {
    const [row] = await sql<{ taken: boolean }[]>`
      select pg_try_advisory_lock(${lockKey[0]}::int4, ${lockKey[1]}::int4) as taken`;
    if (row?.taken === true) return true;
    if (clock.monotonicMs() >= deadlineMs) return false;
    await delay(embeddedLimits.ownershipRetryMs);
  }
}

async function describeHolder(sql: Sql): Promise<string> {
  const [row] = await sql<{ name: string }[]>`
    select application_name as name from pg_stat_activity join pg_locks using (pid)
    where locktype = 'advisory' and granted
      and classid::int8 = ${lockKey[0]}::int8 and objid::int8 = ${lockKey[1]}::int8`;
  return row?.name ?? 'another process';
}

async function endOtherSessions(sql: Sql): Promise<void> {
  await sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_backend_pid()`;
}

async function createDatabase(sql: Sql): Promise<void> {
  const found = await sql`select 1 from pg_database where datname = ${databaseName}`;
  if (found.length === 0) await sql.unsafe(`create database ${databaseName} strategy wal_log`);
}
