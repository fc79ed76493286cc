import { startS3Server, startTestPostgres } from '@kafscale/testing';
import type { S3Server, TestPostgres } from '@kafscale/testing';
import { afterAll, beforeAll } from 'vitest';
import { noS3Server } from './stores.js';

/** Of a test file: PostgreSQL, and an S3 server where there is one to start. */
export interface Servers {
  postgres: TestPostgres;
  /** Only for tests that are skipped where {@link noS3Server} says why there is none. */
  s3: S3Server;
}

/** Starts both before the tests of the calling file, and stops them behind them. */
export function serversOfThisFile(): Servers {
  const servers: Partial<Servers> = {};
  beforeAll(async () => {
    servers.postgres = await startTestPostgres();
    if (noS3Server === null) servers.s3 = await startS3Server();
  });
  afterAll(async () => {
    await servers.s3?.stop();
    await servers.postgres?.stop();
  });
  return servers as Servers;
}
