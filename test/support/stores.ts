import { findS3Server, startS3Server } from '@kafscale/testing';

/** An object store for servers under test: the variables that name it. */
export interface TestStore {
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** Why suites with S3 are left out, or null. Put it into the suite's name. */
export const noS3Server: string | null =
  findS3Server() === undefined
    ? 'left out: no versitygw on PATH, in GOPATH/bin or in KAFSCALE_TEST_VERSITYGW'
    : null;

/** The default: local files under the data dir. */
export const defaultFiles: TestStore = { env: {}, stop: () => Promise.resolve() };

/** A real S3 server with an empty bucket. */
export async function startS3Store(): Promise<TestStore> {
  const server = await startS3Server();
  return {
    env: {
      KAFSCALE_STORE_URL: `s3://${server.bucket}/log`,
      KAFSCALE_S3_ENDPOINT: server.endpoint,
      KAFSCALE_S3_REGION: server.region,
      AWS_ACCESS_KEY_ID: server.accessKeyId,
      AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
    },
    stop: () => server.stop(),
  };
}
