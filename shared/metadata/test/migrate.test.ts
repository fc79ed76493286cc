import { describe, expect, it } from 'vitest';

import { Database } from '../src/database.js';
import { openMetadataStore } from '../src/index.js';
import { migrate } from '../src/migrate.js';
import { migrations } from '../src/migrations/index.js';
import { useTestDatabases } from './support/test-databases.js';

const databases = useTestDatabases();

describe('the schema', () => {
  it('is made once by starters that come together, and they are one cluster', async () => {
    const url = await databases.createUrl();
    const stores = await Promise.all(
      Array.from({ length: 5 }, () => databases.openStore({ url, sessionsMax: 2 })),
    );
    const views = await Promise.all(stores.map((store) => store.clusterView()));
    expect(new Set(views.map((view) => view.clusterId)).size).toBe(1);
    const applied = await databases.query(url, 'SELECT version FROM schema_migrations');
    expect(applied[0]).toEqual({ version: 1 });
  });

  it('that is newer than the program is refused', async () => {
    const url = await databases.createUrl();
    await databases.openStore({ url });
    await databases.query(url, `INSERT INTO schema_migrations VALUES (999, 'later', 'x')`);
    await expect(openMetadataStore({ url })).rejects.toMatchObject({
      code: 'METADATA_SCHEMA_NEWER',
      retriable: false,
    });
  });

  it('that took another step of the same number is refused', async () => {
    const url = await databases.createUrl();
    await databases.openStore({ url });
    await databases.query(url, `UPDATE schema_migrations SET checksum = 'x' WHERE version = 1`);
    await expect(openMetadataStore({ url })).rejects.toMatchObject({
      code: 'METADATA_SCHEMA_MISMATCH',
    });
  });
});

describe('a database of version 6', () => {
  /** As a program of that version has left it: three extents with the timestamps 5, 9 and 7. */
  async function databaseOfVersion6(): Promise<string> {
    const url = await databases.createUrl();
    const database = new Database({
      url,
      applicationName: 'version 6',
      sessionsMax: 1,
      waitersMax: 1,
      connectTimeoutMs: 10_000,
      statementTimeoutMs: 30_000,
      lockTimeoutMs: 30_000,
      idleInTransactionTimeoutMs: 30_000,
      holdMsMax: 30_000,
    });
    await migrate(database, migrations.slice(0, 6));
    await database.close();
    await databases.query(
      url,
      `INSERT INTO partitions (topic_id, partition_index, shard_id, leader_epoch, next_offset,
                               max_timestamp_ms, producer_state_floor)
         VALUES (gen_random_uuid(), 0, 0, 0, 9, 9, -1);
       INSERT INTO segments VALUES
         ('11111111-1111-4111-8111-111111111111', 0, 1, 1, 1, now(), 300, 3, '[]');
       INSERT INTO extents SELECT partition_id, row.at, row.at + 3,
           '11111111-1111-4111-8111-111111111111', 0, 100, NULL, row.own, row.own, row.greatest, false
         FROM partitions, (VALUES (0, 5, 5), (3, 9, 9), (6, 7, 9)) AS row (at, own, greatest)`,
    );
    return url;
  }

  it('has one index less, and finds by timestamp what it found before', async () => {
    const url = await databaseOfVersion6();
    const indexes = async () => {
      const rows = await databases.query(
        url,
        `SELECT indexname FROM pg_indexes WHERE tablename = 'extents' ORDER BY indexname`,
      );
      return rows.map((row) => row['indexname'] as string);
    };
    const before = await indexes();
    expect(before).toContain('extents_by_timestamp');
    const store = await databases.openStore({ url });
    expect(await indexes()).toEqual(before.filter((name) => name !== 'extents_by_timestamp'));
    expect(await store.findExtentByTimestamp(1, 5)).toMatchObject({ baseOffset: 0 });
    expect(await store.findExtentByTimestamp(1, 6)).toMatchObject({ baseOffset: 3 });
    expect(await store.findExtentByTimestamp(1, 10)).toBeNull();
    expect(await store.findExtentOfMaxTimestamp(1)).toMatchObject({ baseOffset: 3 });
    const applied = await databases.query(url, 'SELECT version FROM schema_migrations ORDER BY 1');
    expect(applied.map((row) => row['version'] as number)).toEqual(
      migrations.map(({ version }) => version),
    );
  });
});

describe('a database that can not be used', () => {
  it('is one clear error: nobody listens, no such database, a wrong password', async () => {
    const url = new URL(await databases.createUrl());
    const nobody = new URL(url);
    nobody.port = '1';
    await expect(openMetadataStore({ url: nobody.href })).rejects.toMatchObject({
      code: 'METADATA_UNAVAILABLE',
      retriable: true,
    });
    const missing = new URL(url);
    missing.pathname = '/missing';
    const refused = { code: 'METADATA_REFUSED', retriable: false };
    await expect(openMetadataStore({ url: missing.href })).rejects.toMatchObject(refused);
    const stranger = new URL(url);
    stranger.password = 'wrong';
    await expect(openMetadataStore({ url: stranger.href })).rejects.toMatchObject(refused);
  });
});
