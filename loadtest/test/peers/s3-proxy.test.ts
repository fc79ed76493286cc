import { randomBytes } from 'node:crypto';
import { crc32c } from '@node-rs/crc32';
import { openObjectStore, type ObjectStore } from '@kafscale/storage';
import { findS3Server, startS3Server, type S3Server } from '@kafscale/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
// The built one: it forks the file beside it.
import { S3Proxy } from '../../dist/peers/s3-proxy.js';

describe.skipIf(findS3Server() === undefined)('the S3 proxy', () => {
  let server: S3Server;
  let proxy: S3Proxy;
  let store: ObjectStore;

  beforeAll(async () => {
    server = await startS3Server();
    proxy = await S3Proxy.start(server.endpoint);
    const { accessKeyId, secretAccessKey } = server;
    store = openObjectStore(`s3://${server.bucket}/proxied`, {
      endpoint: proxy.endpoint,
      pathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    });
  });

  afterAll(async () => {
    await store.close();
    await proxy.stop();
    await server.stop();
  });

  const put = (key: string, bytes: Buffer): Promise<void> => store.put(key, [bytes], crc32c(bytes));

  it('passes signed requests and their bytes on', async () => {
    const bytes = randomBytes(3 * 1024 * 1024);
    await put('a', bytes);
    expect((await store.read('a', 0, bytes.length)).equals(bytes)).toBe(true);
    expect(await proxy.counts()).toMatchObject({ puts: 1, putBytes: bytes.length, failures: 0 });
  });

  it('adds its latency to every PUT and to none before or after', async () => {
    const delayMs = 2_000;
    await proxy.set({ putDelayMs: delayMs });
    const startMs = performance.now();
    await Promise.all(Array.from({ length: 20 }, (_, index) => put(`b${index}`, randomBytes(9))));
    const tookMs = performance.now() - startMs;
    await proxy.set({ putDelayMs: 0 });
    // Twenty in turn would take 40 s: it must not limit how many are under way.
    expect(tookMs).toBeGreaterThanOrEqual(delayMs - 1);
    expect(tookMs).toBeLessThan(20 * delayMs);
  });

  it('refuses the share that was asked for, stores nothing of it, and recovers', async () => {
    const failuresBefore = (await proxy.counts()).failures;
    await proxy.set({ failureShare: 1 });
    const refused = put('c', randomBytes(9));
    while ((await proxy.counts()).failures === failuresBefore) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await expect(store.read('c', 0, 9)).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' });
    await proxy.set({ failureShare: 0 });
    await refused;
    expect(await store.read('c', 0, 9)).toHaveLength(9);
  });
});
