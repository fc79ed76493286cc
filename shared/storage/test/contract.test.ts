import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { crc32c } from '@node-rs/crc32';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ObjectStore, openObjectStore } from '@kafscale/storage';
import { hasS3, s3Options, s3Title, s3Url } from '@kafscale/testing';

/** What every object store must do; the same tests for all of them. */
function contract(url: () => string, options = {}): void {
  let store: ObjectStore;
  let made = 0;

  beforeAll(async () => {
    store = openObjectStore(url(), options);
    await store.check();
  });
  afterAll(() => store.close());

  function newKey(): string {
    made += 1;
    return `v1/segments/${(made % 100).toString().padStart(2, '0')}/object-${made}.seg`;
  }

  async function put(key: string, ...chunks: readonly Uint8Array[]): Promise<Buffer> {
    const whole = Buffer.concat(chunks);
    await store.put(key, chunks, crc32c(whole));
    return whole;
  }

  async function listed(prefix: string): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of store.list(prefix)) keys.push(key);
    return keys;
  }

  const failure = (code: string): unknown =>
    expect.objectContaining({ name: 'OperatingError', code, outcome: 'failed', retriable: false });

  it('tells its URL', () => {
    expect(store.url).toBe(url());
  });

  it('gives back any range of what was put in chunks', async () => {
    const key = newKey();
    const whole = await put(key, Buffer.from('abc'), Buffer.alloc(0), Buffer.from('defgh'));
    expect(whole.toString()).toBe('abcdefgh');
    expect((await store.read(key, 0, 8)).toString()).toBe('abcdefgh');
    expect((await store.read(key, 2, 3)).toString()).toBe('cde');
    expect((await store.read(key, 7, 1)).toString()).toBe('h');
  });

  it('takes thousands of chunks and views of shared memory', async () => {
    const memory = Buffer.from(new SharedArrayBuffer(300_000));
    for (let at = 0; at < memory.length; at += 1) memory[at] = (at * 31) & 0xff;
    const key = newKey();
    const chunks = Array.from({ length: 3000 }, (_, index) =>
      memory.subarray(index * 100, index * 100 + 100),
    );
    const whole = await put(key, ...chunks);
    expect((await store.read(key, 0, whole.length)).equals(whole)).toBe(true);
    expect(whole.equals(memory)).toBe(true);
  });

  it('takes large objects', async () => {
    const key = newKey();
    const chunk = Buffer.alloc(3_000_000, 'large object ');
    const whole = await put(key, chunk, chunk, chunk, chunk);
    const back = await store.read(key, 1, whole.length - 2);
    expect(back.equals(whole.subarray(1, -1))).toBe(true);
  });

  it('gives a tail and the size, whatever the length asked for', async () => {
    const key = newKey();
    await put(key, Buffer.from('0123456789'));
    const tail = async (length: number): Promise<string> => {
      const { bytes, sizeBytes } = await store.readTail(key, length);
      expect(sizeBytes).toBe(10);
      return bytes.toString();
    };
    expect(await tail(3)).toBe('789');
    expect(await tail(10)).toBe('0123456789');
    expect(await tail(65_536)).toBe('0123456789');
  });

  it('holds empty objects', async () => {
    const key = newKey();
    await put(key);
    expect(await store.readTail(key, 5)).toEqual({ bytes: Buffer.alloc(0), sizeBytes: 0 });
  });

  it('never overwrites', async () => {
    const key = newKey();
    await put(key, Buffer.from('first'));
    await expect(put(key, Buffer.from('second'))).rejects.toEqual(failure('OBJECT_EXISTS'));
    expect((await store.read(key, 0, 5)).toString()).toBe('first');
  });

  it('lets exactly one of many concurrent puts of a key win', async () => {
    const key = newKey();
    const contents = Array.from({ length: 16 }, (_, index) => Buffer.alloc(50_000, `${index} `));
    const results = await Promise.allSettled(contents.map((content) => put(key, content)));
    const winners = results.flatMap((result, index) =>
      result.status === 'fulfilled' ? [index] : [],
    );
    expect(winners).toHaveLength(1);
    for (const result of results) {
      if (result.status === 'rejected') expect(result.reason).toEqual(failure('OBJECT_EXISTS'));
    }
    const stored = await store.read(key, 0, 50_000);
    expect(stored.equals(contents[winners[0]!]!)).toBe(true);
  });

  it('says when an object is not there', async () => {
    await expect(store.read(newKey(), 0, 1)).rejects.toEqual(failure('OBJECT_NOT_FOUND'));
    await expect(store.readTail(newKey(), 1)).rejects.toEqual(failure('OBJECT_NOT_FOUND'));
  });

  it('says when a range ends beyond the object, or begins there', async () => {
    const key = newKey();
    await put(key, Buffer.from('0123456789'));
    await expect(store.read(key, 5, 6)).rejects.toEqual(failure('RANGE_NOT_SATISFIABLE'));
    await expect(store.read(key, 10, 1)).rejects.toEqual(failure('RANGE_NOT_SATISFIABLE'));
    await expect(store.read(key, 500, 1)).rejects.toEqual(failure('RANGE_NOT_SATISFIABLE'));
  });

  it('deletes, and counts what is not there as deleted', async () => {
    const keys = [newKey(), newKey(), newKey()];
    for (const key of keys) await put(key, Buffer.from(key));
    const absent = Array.from({ length: 1500 }, (_, index) => `absent/${index}`);
    expect(await store.delete([...keys.slice(0, 2), ...absent, keys[2]!])).toEqual([]);
    for (const key of keys) {
      await expect(store.read(key, 0, 1)).rejects.toEqual(failure('OBJECT_NOT_FOUND'));
    }
    expect(await store.delete([])).toEqual([]);
  });

  it('stops serving an object that it has served before and that is deleted', async () => {
    const key = newKey();
    await put(key, Buffer.from('x'));
    await store.read(key, 0, 1);
    await store.delete([key]);
    await expect(store.read(key, 0, 1)).rejects.toEqual(failure('OBJECT_NOT_FOUND'));
  });

  it('lists in key order what has a prefix', async () => {
    const keys = [
      'list/a',
      'list/a-b/c',
      'list/a.b',
      'list/a/b',
      'list/a0',
      'list/ab/c',
      'listing',
    ];
    const possible = keys.filter((key) => key !== 'list/a');
    for (const key of [...possible].reverse()) await put(key, Buffer.from(key));
    expect(await listed('list/')).toEqual(possible.slice(0, -1));
    expect(await listed('list')).toEqual(possible);
    expect(await listed('list/a/')).toEqual(['list/a/b']);
    expect(await listed('list/a')).toEqual(possible.slice(0, -1));
    expect(await listed('nothing/here')).toEqual([]);
    const infos = [];
    for await (const info of store.list('list/a0')) infos.push(info);
    expect(infos).toEqual([{ key: 'list/a0', sizeBytes: 7, lastModifiedMs: expect.any(Number) }]);
  });

  it('refuses keys that a path or a URL would read differently', async () => {
    for (const key of [
      '',
      '/a',
      'a/',
      'a//b',
      '../a',
      'a/../b',
      '.tmp/a',
      'a/.b',
      'a b',
      'ä',
      'a?b',
      'a\\b',
    ]) {
      const invalid = failure('OBJECT_KEY_INVALID');
      await expect(async () => store.put(key, [], 0)).rejects.toEqual(invalid);
      await expect(async () => store.read(key, 0, 1)).rejects.toEqual(invalid);
      await expect(async () => store.readTail(key, 1)).rejects.toEqual(invalid);
      await expect(async () => store.delete([key])).rejects.toEqual(invalid);
    }
    await expect(listed('../')).rejects.toEqual(failure('OBJECT_KEY_INVALID'));
  });

  it('is opened in a worker thread from plain data', async () => {
    const key = newKey();
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       import(workerData.module).then(async ({ openObjectStore }) => {
         const store = openObjectStore(workerData.url, workerData.options);
         await store.put(workerData.key, [Buffer.from('from a worker')], workerData.crc);
         await store.close();
         parentPort.postMessage('done');
       });`,
      {
        eval: true,
        workerData: {
          key,
          options,
          url: url(),
          crc: crc32c('from a worker'),
          module: new URL('../dist/index.js', import.meta.url).href,
        },
      },
    );
    await new Promise((resolve, reject) => {
      worker.once('message', resolve);
      worker.once('error', reject);
    });
    await worker.terminate();
    expect((await store.readTail(key, 100)).bytes.toString()).toBe('from a worker');
  });
}

describe('local files', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kafscale-storage-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));
  contract(() => pathToFileURL(join(directory, 'not', 'yet', 'there')).href);
});

describe.skipIf(!hasS3)(s3Title('S3'), () => {
  const url = s3Url();
  contract(() => url, s3Options());
});

describe.skipIf(!hasS3)(s3Title('S3 with signed payloads'), () => {
  const url = s3Url();
  contract(() => url, { ...s3Options(), signPayload: true });
});
