import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import postgres from 'postgres';
import { afterAll, afterEach, beforeAll } from 'vitest';

import { openMetadataStore, startEmbeddedPostgres } from '../../src/index.js';
import type { EmbeddedPostgres, MetadataStore, MetadataStoreOptions } from '../../src/index.js';

export interface TestDatabases {
  /** A new, empty database. */
  createUrl(): Promise<string>;
  /** A store on a new database, or on `url`; closed after the test. */
  openStore(options?: Partial<MetadataStoreOptions>): Promise<MetadataStore>;
  /** Runs SQL as an outsider would. */
  query(url: string, sql: string): Promise<postgres.RowList<postgres.Row[]>>;
}

/** One PostgreSQL server per test file, a fresh database per store. */
export function useTestDatabases(): TestDatabases {
  let dataDir = '';
  let server: EmbeddedPostgres | null = null;
  let admin: postgres.Sql | null = null;
  const opened: MetadataStore[] = [];

  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'kafscale-metadata-test-'));
    const log = { info: () => {}, warn: () => {} };
    server = await startEmbeddedPostgres({ dataDir, log, durable: false, stopWithParent: true });
    admin = postgres(server.url, { max: 1, onnotice: () => {} });
  });

  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()));
  });

  afterAll(async () => {
    await admin?.end({ timeout: 1 });
    await server?.stop('immediate');
    await rm(dataDir, { recursive: true, force: true });
  });

  const createUrl = async (): Promise<string> => {
    const name = `test_${randomUUID().replaceAll('-', '')}`;
    await admin!.unsafe(`CREATE DATABASE ${name}`);
    const url = new URL(server!.url);
    url.pathname = `/${name}`;
    return url.href;
  };

  return {
    createUrl,
    async openStore(options = {}) {
      const store = await openMetadataStore({
        ...options,
        url: options.url ?? (await createUrl()),
      });
      opened.push(store);
      return store;
    },
    async query(url, text) {
      const sql = postgres(url, { max: 1, onnotice: () => {} });
      try {
        return await sql.unsafe(text);
      } finally {
        await sql.end({ timeout: 1 });
      }
    },
  };
}
