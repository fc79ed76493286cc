import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmbeddedPostgres } from '@kafscale/metadata';
import postgres from 'postgres';

export interface TestPostgresOptions {
  /** Keep fsync on, for tests of durability and for measurements. Default `false`. */
  readonly durable?: boolean;
  /** Runs once on an empty database (migrations, say); every fresh database is a copy of it. */
  readonly prepareTemplate?: (url: string) => Promise<void>;
}

export interface TestPostgres {
  /** A fresh database of its own, in milliseconds. It goes away with the server. */
  createDatabase(): Promise<string>;
  /** The server's process, for tests that stop (SIGSTOP) or kill it. */
  readonly pid: number;
  /** Removes server and data. */
  stop(): Promise<void>;
}

/**
 * A real PostgreSQL server in a temporary folder: start one in `beforeAll`, one per test file. It
 * ends with this process even when that is killed.
 */
export async function startTestPostgres(options: TestPostgresOptions = {}): Promise<TestPostgres> {
  const dataDir = await mkdtemp(join(tmpdir(), 'kafscale-test-postgres-'));
  const log = { info: () => undefined, warn: () => undefined };
  const server = await startEmbeddedPostgres({
    dataDir,
    log,
    durable: options.durable ?? false,
    stopWithParent: true,
  });
  const admin = postgres(server.url, { max: 1, fetch_types: false, onnotice: () => undefined });
  const template = 'test_template';
  await admin.unsafe(`create database ${template} template template0`);
  await options.prepareTemplate?.(databaseUrl(server.url, template));

  let databases = 0;
  return {
    pid: server.pid,
    createDatabase: async () => {
      databases += 1;
      const name = `test_${databases}`;
      await admin.unsafe(`create database ${name} template ${template} strategy wal_log`);
      return databaseUrl(server.url, name);
    },
    stop: async () => {
      await admin.end({ timeout: 1 });
      await server.stop('immediate');
      await rm(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
    },
  };
}

function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}
