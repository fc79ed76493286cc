import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openObjectStore } from '@kafscale/storage';
import { findS3Server, startS3Server } from '@kafscale/testing';

const hasServer = findS3Server() !== undefined;
const title = hasServer ? 'the S3 server' : 'the S3 server — LEFT OUT: no versitygw found';

describe.skipIf(!hasServer)(title, () => {
  it('starts with a bucket, serves the store, and leaves nothing behind', async () => {
    const server = await startS3Server();
    const { accessKeyId, bucket, bucketDirectory, endpoint, secretAccessKey } = server;
    try {
      const store = openObjectStore(`s3://${bucket}`, {
        endpoint,
        pathStyle: true,
        credentials: { accessKeyId, secretAccessKey },
      });
      await store.check();
      await store.put('a', [Buffer.alloc(0)], 0);
      await store.close();
      expect(existsSync(`${bucketDirectory}/a`)).toBe(true);
    } finally {
      await server.stop();
    }
    expect(existsSync(bucketDirectory)).toBe(false);
    expect(() => process.kill(server.pid, 0)).toThrow(/ESRCH/);
  });
});
