import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { startS3Server } from '@kafscale/testing';
import type { BenchServerOptions } from './bench-server.js';

/** A real S3 server (versitygw on local files) under the data folder of a benchmark. */
export interface BenchS3Server {
  readonly endpoint: string;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly pid: number;
  readonly description: string;
  /**
   * For `startStandalone`: its segments go to `s3://BUCKET/PREFIX`, through another endpoint (a
   * proxy's) if one is named.
   */
  settings(prefix: string, endpoint?: string): Readonly<Record<string, string>>;
  /** Ends the process and deletes its data. */
  stop(): Promise<void>;
}

/** S3_SERVER_MISSING when there is no versitygw on this machine. */
export async function startBenchS3Server({ dataRoot }: BenchServerOptions): Promise<BenchS3Server> {
  const parentDirectory = await mkdtemp(join(dataRoot, 's3-'));
  const server = await startS3Server({ parentDirectory });
  const { accessKeyId, bucket, endpoint, pid, region, secretAccessKey } = server;
  return {
    endpoint,
    bucket,
    region,
    accessKeyId,
    secretAccessKey,
    pid,
    description: 'versitygw on the same disk, which acknowledges from the page cache',
    settings: (prefix, ownEndpoint = endpoint) => ({
      KAFSCALE_STORE_URL: `s3://${bucket}/${prefix}`,
      KAFSCALE_S3_ENDPOINT: ownEndpoint,
      KAFSCALE_S3_REGION: region,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    }),
    stop: () => server.stop(),
  };
}
