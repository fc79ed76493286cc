import { createServer } from 'node:net';
import { crc32c } from '@node-rs/crc32';
import { limits } from '@kafscale/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ObjectStore, openObjectStore } from '@kafscale/storage';
import { FaultProxy } from './fault-proxy.js';
import { hasS3, s3Endpoint, s3Options, s3Title, s3Url } from '@kafscale/testing';

describe.skipIf(!hasS3)(s3Title('S3 behind a failing network'), () => {
  const proxy = new FaultProxy(hasS3 ? s3Endpoint() : 'http://127.0.0.1');
  const url = s3Url();
  const content = Buffer.from('the content of an object');
  const crc = crc32c(content);
  let endpoint: string;
  /** Straight to the server. */
  let direct: ObjectStore;
  let made = 0;

  beforeAll(async () => {
    endpoint = await proxy.start();
    direct = openObjectStore(url, s3Options());
  });
  afterAll(async () => {
    await direct.close();
    await proxy.stop();
  });

  /** A store of its own for every test: the retry budget is the store's. */
  async function withStore(
    work: (store: ObjectStore, key: string) => Promise<void>,
  ): Promise<void> {
    const store = openObjectStore(url, s3Options(endpoint));
    made += 1;
    try {
      await work(store, `object-${made}`);
    } finally {
      await store.close();
    }
  }

  const slowDown = { kind: 'status', status: 503, code: 'SlowDown' } as const;

  it('takes its own object for success when the answer to a put was lost', () =>
    withStore(async (store, key) => {
      proxy.next({ kind: 'cutAnswer', method: 'PUT' });
      await store.put(key, [content], crc);
      expect(proxy.requests).toEqual(['PUT', 'PUT', 'HEAD']);
      expect((await direct.read(key, 0, content.length)).equals(content)).toBe(true);
    }));

  it('reads a whole object where but its footer is left, and gives what was asked for', () =>
    withStore(async (store, key) => {
      const whole = Buffer.alloc(1_000_000, 'records and a footer ');
      await direct.put(key, [whole], crc32c(whole));
      proxy.next();
      for (const length of [999_000, 500_000]) {
        const memory = Buffer.alloc(whole.length, 'x');
        await store.read(key, 0, length, { into: memory.subarray(0, length) });
        expect(memory.subarray(0, length).equals(whole.subarray(0, length))).toBe(true);
        expect(memory.subarray(length).every((byte) => byte === 0x78)).toBe(true);
      }
      await store.read(key, 1, 998_999);
      await store.read(key, 0, 1000);
      const [most, ...others] = proxy.ranges.map((range) => Number(/-(\d+)$/.exec(range)?.[1]));
      expect(most).toBeGreaterThan(1_000_000);
      expect(others).toEqual([500_000 + limits.storeFooterBytesRead - 1, 998_999, 999]);
      await expect(store.read(key, 0, 1_000_001)).rejects.toMatchObject({
        code: 'RANGE_NOT_SATISFIABLE',
      });
    }));

  it('takes no other object for its own, though it holds the same bytes', () =>
    withStore(async (store, key) => {
      await direct.put(key, [content], crc);
      proxy.next({ kind: 'cutAnswer', method: 'PUT' });
      await expect(store.put(key, [content], crc)).rejects.toMatchObject({
        code: 'OBJECT_EXISTS',
        outcome: 'failed',
      });
      expect(proxy.requests).toEqual(['PUT', 'PUT', 'HEAD']);
    }));

  it('says unknown when it can not find out whose object it is', () =>
    withStore(async (store, key) => {
      proxy.next(
        { kind: 'cutAnswer', method: 'PUT' },
        { ...slowDown, method: 'HEAD', isLasting: true },
      );
      await expect(store.put(key, [content], crc)).rejects.toMatchObject({
        code: 'STORE_THROTTLED',
        outcome: 'unknown',
      });
    }));

  it('says unknown when every answer to a put was lost', () =>
    withStore(async (store, key) => {
      proxy.next({ kind: 'cutAnswer', isLasting: true });
      await expect(store.put(key, [content], crc)).rejects.toMatchObject({
        code: 'STORE_UNREACHABLE',
        retriable: true,
        outcome: 'unknown',
      });
      expect(proxy.requests).toHaveLength(5);
      expect((await direct.readTail(key, 100)).bytes.equals(content)).toBe(true);
    }));

  it('sends all chunks again after a connection broke', () =>
    withStore(async (store, key) => {
      proxy.next({ kind: 'cutRequest' }, { kind: 'cutRequest' });
      const chunks = Array.from({ length: 50 }, (_, index) => Buffer.alloc(40_000, `${index}`));
      const whole = Buffer.concat(chunks);
      await store.put(key, chunks, crc32c(whole));
      expect((await direct.read(key, 0, whole.length)).equals(whole)).toBe(true);
    }));

  it('has a damaged upload refused, and says that nothing was stored', () =>
    withStore(async (store, key) => {
      proxy.next();
      const wrong = (crc ^ 1) >>> 0;
      await expect(store.put(key, [content], wrong)).rejects.toMatchObject({ outcome: 'failed' });
      await expect(direct.read(key, 0, 1)).rejects.toMatchObject({ code: 'OBJECT_NOT_FOUND' });
    }));

  it('retries 503, 500, 429 and 409', () =>
    withStore(async (store, key) => {
      proxy.next(
        slowDown,
        { kind: 'status', status: 500, code: 'InternalError' },
        { kind: 'status', status: 429, code: 'TooManyRequests' },
        { kind: 'status', status: 409, code: 'ConditionalRequestConflict' },
      );
      await store.put(key, [content], crc);
      expect(proxy.requests).toEqual(['PUT', 'PUT', 'PUT', 'PUT', 'PUT']);
    }));

  it('leaves it to a caller that repeats puts to do so, and takes those for one put', async () => {
    const store = openObjectStore(url, { ...s3Options(endpoint), callerRepeatsPuts: true });
    const put = (): Promise<void> => store.put('repeated', [content], crc);
    proxy.next({ ...slowDown, method: 'PUT' });
    await expect(put()).rejects.toMatchObject({ code: 'STORE_THROTTLED', retriable: true });
    expect(proxy.requests).toEqual(['PUT']);
    proxy.next({ kind: 'cutAnswer', method: 'PUT' }, slowDown);
    await expect(put()).rejects.toMatchObject({ code: 'STORE_THROTTLED' });
    proxy.next();
    await put();
    expect(proxy.requests).toEqual(['PUT', 'HEAD']);
    // Other bytes under the key are another put, and other failures are repeated here.
    const other = Buffer.from('the content of the object');
    proxy.next({ kind: 'cutRequest' });
    const refused = { code: 'OBJECT_EXISTS', outcome: 'failed' };
    await expect(store.put('repeated', [other], crc32c(other))).rejects.toMatchObject(refused);
    expect(proxy.requests).toEqual(['PUT', 'PUT', 'HEAD']);
    await store.close();
  });

  it('gives up on a throttling store', () =>
    withStore(async (store, key) => {
      proxy.next({ ...slowDown, isLasting: true });
      await expect(store.read(key, 0, 1)).rejects.toMatchObject({
        code: 'STORE_THROTTLED',
        retriable: true,
      });
      expect(proxy.requests).toHaveLength(5);
    }));

  it.each([
    [403, 'AccessDenied', 'STORE_DENIED'],
    [404, 'NoSuchBucket', 'STORE_BUCKET_MISSING'],
    [400, 'InvalidArgument', 'STORE_REFUSED'],
    [404, '', 'STORE_REFUSED'],
    [507, 'InsufficientStorage', 'STORE_FULL'],
  ])('does not retry %i %s: %s', (status, code, expected) =>
    withStore(async (store, key) => {
      proxy.next({ kind: 'status', status, code });
      await expect(store.read(key, 0, 1)).rejects.toMatchObject({
        code: expected,
        outcome: 'failed',
      });
      expect(proxy.requests).toEqual(['GET']);
    }),
  );

  it('reads again what was cut short, and never gives out less', () =>
    withStore(async (store, key) => {
      const large = Buffer.alloc(200_000, 'abc');
      await direct.put(key, [large], crc32c(large));
      proxy.next({ kind: 'cutBody', bytes: 1000 }, { kind: 'cutBody', bytes: 0 });
      expect((await store.read(key, 0, large.length)).equals(large)).toBe(true);
      proxy.next({ kind: 'cutBody', bytes: 1000 });
      expect((await store.readTail(key, 50_000)).bytes.equals(large.subarray(-50_000))).toBe(true);
      proxy.next({ kind: 'cutBody', bytes: 1000, isLasting: true });
      await expect(store.read(key, 0, large.length)).rejects.toMatchObject({
        code: 'STORE_UNREACHABLE',
      });
    }));

  it('bounds the retries of all operations together', () =>
    withStore(async (store) => {
      proxy.next({ ...slowDown, isLasting: true });
      const operations = 60;
      const results = await Promise.allSettled(
        Array.from({ length: operations }, (_, index) => store.read(`absent-${index}`, 0, 1)),
      );
      expect(results.every((result) => result.status === 'rejected')).toBe(true);
      // A burst of 20 and 10 % of 60, where five attempts each would be 240 retries.
      expect(proxy.requests.length - operations).toBeLessThanOrEqual(26);
      expect(proxy.requests.length).toBeGreaterThan(operations);
    }));

  it('tells which keys it could not delete', () =>
    withStore(async (store) => {
      const { pathname } = new URL(url);
      const body = `<DeleteResult><Error><Key>${pathname.slice(1)}/a</Key><Code>InternalError</Code></Error></DeleteResult>`;
      proxy.next({ kind: 'status', status: 200, body });
      expect(await store.delete(['a', 'b'])).toEqual(['a']);
    }));

  it('lists more than one page', () =>
    withStore(async (store) => {
      proxy.next();
      const keys = Array.from(
        { length: 1005 },
        (_, index) => `page/${String(index).padStart(4, '0')}`,
      );
      for (let start = 0; start < keys.length; start += 50) {
        await Promise.all(
          keys.slice(start, start + 50).map((key) => direct.put(key, [content], crc)),
        );
      }
      const listed = [];
      for await (const { key } of store.list('page/')) listed.push(key);
      expect(listed).toEqual(keys);
      expect(proxy.requests).toEqual(['GET', 'GET']);
      expect(await direct.delete(keys)).toEqual([]);
    }));
});

describe('S3 that is not there', () => {
  it('is unreachable, and a put certainly did not happen', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    await new Promise((resolve) => server.close(resolve));
    const store = openObjectStore('s3://bucket', {
      endpoint: `http://127.0.0.1:${port}`,
      pathStyle: true,
      credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    });
    const expected = { code: 'STORE_UNREACHABLE', retriable: true, outcome: 'failed' };
    await expect(store.check()).rejects.toMatchObject(expected);
    await expect(store.put('a', [Buffer.from('x')], 0)).rejects.toMatchObject(expected);
    await store.close();
  });
});
