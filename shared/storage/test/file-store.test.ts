import { fstatSync, readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { limits } from '@kafscale/core';
import { type ObjectStore, openObjectStore } from '@kafscale/storage';
import { fileStoreError } from '../src/files/file-errors.js';
import { OpenFileCache } from '../src/files/open-file-cache.js';

describe.each([
  { puts: 'by libuv', blockingPuts: false },
  { puts: 'by the calling thread', blockingPuts: true },
])('the store in local files, puts $puts', ({ blockingPuts }) => {
  let directory: string;
  let store: ObjectStore;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kafscale-files-'));
    store = openObjectStore(pathToFileURL(directory).href, { blockingPuts });
  });
  afterEach(async () => {
    await store.close();
    await rm(directory, { recursive: true, force: true });
  });

  it('stores objects of every size around its size multiple and its memory', async () => {
    const { sizeMultiple } = store;
    const memory = limits.storeDirectWriteBytes;
    const sizes = [
      1,
      sizeMultiple,
      memory - sizeMultiple,
      memory,
      memory + sizeMultiple,
      2 * memory,
    ];
    for (const [index, size] of [...sizes, memory + 1].entries()) {
      const bytes = randomBytes(size);
      const cut = Math.floor(size / 3);
      const chunks = [bytes.subarray(0, cut), Buffer.alloc(0), bytes.subarray(cut)];
      await store.put(`sizes/${index}`, chunks, 0);
      expect(bytes.equals(await readFile(join(directory, `sizes/${index}`)))).toBe(true);
    }
  });

  it('leaves nothing behind but the object', async () => {
    await store.put('a/b/c', [Buffer.from('x')], 0);
    await expect(store.put('a/b/c', [Buffer.from('y')], 0)).rejects.toThrow();
    expect(await readdir(join(directory, '.tmp'))).toEqual([]);
    expect(await readFile(join(directory, 'a/b/c'), 'utf8')).toBe('x');
  });

  it('removes what dead puts left, but not what may be in use', async () => {
    await store.check();
    const old = join(directory, '.tmp', 'old');
    const young = join(directory, '.tmp', 'young');
    await writeFile(old, 'half a segment');
    await writeFile(young, 'half a segment');
    await utimes(old, 1_700_000_000, 1_700_000_000);
    await store.check();
    expect(await readdir(join(directory, '.tmp'))).toEqual(['young']);
  });

  it('does not list what is being written', async () => {
    await store.check();
    await writeFile(join(directory, '.tmp', 'half'), 'half a segment');
    await store.put('whole', [Buffer.from('x')], 0);
    const keys = [];
    for await (const { key } of store.list('')) keys.push(key);
    expect(keys).toEqual(['whole']);
  });

  it('goes on when a directory that it knows is removed', async () => {
    await store.put('a/b', [Buffer.from('x')], 0);
    await rm(join(directory, 'a'), { recursive: true });
    await store.put('a/c', [Buffer.from('y')], 0);
    expect((await store.read('a/c', 0, 1)).toString()).toBe('y');
  });

  it('does not make its root again: it may be an unmounted disk', async () => {
    await store.put('a/b', [Buffer.from('x')], 0);
    await rm(directory, { recursive: true });
    for (let attempt = 0; attempt < 2; attempt += 1) {
      await expect(store.put('a/c', [Buffer.from('y')], 0)).rejects.toMatchObject({
        code: 'STORE_UNREACHABLE',
        retriable: true,
        outcome: 'failed',
      });
    }
    await expect(readdir(directory)).rejects.toThrow(/ENOENT/);
  });

  it('tells which keys it could not delete', async () => {
    await store.put('a/b', [Buffer.from('x')], 0);
    expect(await store.delete(['a', 'a/b', 'c'])).toEqual(['a']);
  });

  it('is not usable where a file stands in the way', async () => {
    await writeFile(join(directory, 'file'), '');
    const inside = openObjectStore(pathToFileURL(join(directory, 'file', 'store')).href);
    await expect(inside.check()).rejects.toMatchObject({ code: 'STORE_UNREACHABLE' });
  });

  it('reads more files than it keeps open', async () => {
    const keys = Array.from({ length: 300 }, (_, index) => `many/${index}`);
    await Promise.all(keys.map((key) => store.put(key, [Buffer.from(key)], 0)));
    const read = await Promise.all(keys.map((key) => store.readTail(key, 100)));
    expect(read.map(({ bytes }) => bytes.toString())).toEqual(keys);
    const open = await readdir('/proc/self/fd');
    const links = await Promise.all(
      open.map((fd) =>
        import('node:fs/promises').then(({ readlink }) =>
          readlink(`/proc/self/fd/${fd}`).catch(() => ''),
        ),
      ),
    );
    // A thread that writes keeps directories open as well; those are few.
    const files = links.filter((path) => path.startsWith(join(directory, 'many', '/')));
    expect(files.length).toBeGreaterThan(0);
    expect(files.length).toBeLessThanOrEqual(256);
  });
});

describe('open files', () => {
  it('are closed by their last user after they were evicted', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'kafscale-open-'));
    const paths = ['a', 'b', 'c'].map((name) => join(directory, name));
    for (const path of paths) await writeFile(path, path);
    const cache = new OpenFileCache(1);
    const texts = await cache.use(paths[0]!, async (descriptor) => {
      // Two others push the first out while it is in use.
      for (const path of paths.slice(1)) await cache.use(path, async (other) => fstatSync(other));
      return [readFileSync(descriptor, 'utf8')];
    });
    expect(texts).toEqual([paths[0]]);
    cache.close();
    await rm(directory, { recursive: true });
  });
});

describe('failures of the file system', () => {
  it.each([
    ['ENOSPC', 'STORE_FULL', true],
    ['EDQUOT', 'STORE_FULL', true],
    ['EROFS', 'STORE_DENIED', false],
    ['EACCES', 'STORE_DENIED', false],
    ['EIO', 'STORE_UNREACHABLE', true],
    ['EMFILE', 'STORE_UNREACHABLE', true],
  ])('%s is %s', (systemCode, code, retriable) => {
    const error = Object.assign(new Error('x'), { code: systemCode });
    const expected = { code, retriable, outcome: 'unknown' };
    expect(fileStoreError(error, 'y', 'unknown')).toMatchObject(expected);
  });
});

describe('a store URL', () => {
  it.each([
    '',
    'data',
    'http://x',
    'file://host/x',
    's3://',
    's3://b',
    's3://UPPER/x',
    's3://bucket/a b',
  ])('%j is refused', (url) => {
    expect(() => openObjectStore(url)).toThrow(
      expect.objectContaining({
        code: expect.stringMatching(/STORE_URL_INVALID|OBJECT_KEY_INVALID/),
      }),
    );
  });
});
