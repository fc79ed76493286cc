import { createHash } from 'node:crypto';

import { invariant, OperatingError } from '@kafscale/core';

import type { Database, Sql } from './database.js';
import type { Migration } from './migrations/index.js';

/** Any number that nothing else in the database uses; taken by every starter. */
const advisoryLockKey = 7_201_998_004;
const migrationTimeoutMs = 10 * 60_000;

/**
 * Brings the schema up to date, in one transaction. Starters that come together wait for one another
 * on an advisory lock, and all but the first find nothing to do.
 *
 * Errors: METADATA_SCHEMA_NEWER (an older program on a newer database), METADATA_SCHEMA_MISMATCH (the
 * database took a step with this number and another content).
 */
export async function migrate(
  database: Database,
  migrations: readonly Migration[],
): Promise<{ applied: number }> {
  migrations.forEach((migration, index) => {
    invariant(migration.version === index + 1, `migration ${index + 1} is missing`);
  });
  return database.transaction(({ sql }) => migrateWithin(sql, migrations), {
    timeoutMs: migrationTimeoutMs,
  });
}

/** {@link migrate} as a part of the caller's transaction, which lasts as long as the lock. */
export async function migrateWithin(
  sql: Sql,
  migrations: readonly Migration[],
): Promise<{ applied: number }> {
  await sql.unsafe(`SET LOCAL lock_timeout = ${migrationTimeoutMs / 2};
    SET LOCAL statement_timeout = ${migrationTimeoutMs};
    SELECT pg_advisory_xact_lock(${advisoryLockKey})`);
  // A statement of its own: it must see what the lock waited for.
  await sql`
    CREATE TABLE IF NOT EXISTS schema_migrations (
      version    integer PRIMARY KEY,
      name       text NOT NULL,
      checksum   text NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now()
    )`;
  const pending = await pendingMigrations(sql, migrations);
  for (const migration of pending) {
    await sql.unsafe(migration.sql);
    await sql`
      INSERT INTO schema_migrations (version, name, checksum)
      VALUES (${migration.version}, ${migration.name}, ${checksumOf(migration)})`;
  }
  return { applied: pending.length };
}

/** For those who only read: METADATA_SCHEMA_OLDER when the database has no schema, or an older one. */
export async function requireSchema(sql: Sql, migrations: readonly Migration[]): Promise<void> {
  const [table] = await sql<{ found: boolean }[]>`
    SELECT to_regclass('schema_migrations') IS NOT NULL AS found`;
  const pending = table?.found === true ? await pendingMigrations(sql, migrations) : migrations;
  const [first] = pending;
  if (first !== undefined) {
    throw new OperatingError(
      'METADATA_SCHEMA_OLDER',
      `the database lacks schema version ${first.version}: a server of this version brings it`,
    );
  }
}

async function pendingMigrations(
  sql: Sql,
  migrations: readonly Migration[],
): Promise<readonly Migration[]> {
  const applied = await sql<{ version: number; name: string; checksum: string }[]>`
    SELECT version, name, checksum FROM schema_migrations ORDER BY version`;
  for (const step of applied) {
    const known = migrations[step.version - 1];
    if (known === undefined) {
      throw new OperatingError(
        'METADATA_SCHEMA_NEWER',
        `the database has schema version ${step.version}; this program knows ${migrations.length}`,
      );
    }
    if (step.checksum !== checksumOf(known)) {
      throw new OperatingError(
        'METADATA_SCHEMA_MISMATCH',
        `the database applied "${step.version} ${step.name}" with another content`,
      );
    }
  }
  return migrations.slice(applied.length);
}

function checksumOf(migration: Migration): string {
  return createHash('sha256').update(migration.sql).digest('hex');
}
