import { describe, expect, it } from 'vitest';

import { openMetadataStore } from '../src/index.js';
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
