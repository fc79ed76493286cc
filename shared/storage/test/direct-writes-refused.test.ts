import * as fs from 'node:fs';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, expect, it, vi } from 'vitest';
import { openObjectStore } from '@kafscale/storage';

/** Which call a file system without direct I/O refuses. A mount of one needs more rights than a test has. */
const refuses = vi.hoisted(() => ({ call: '', times: 0 }));

vi.mock('node:fs', async (importOriginal) => {
  const real = await importOriginal<typeof fs>();
  const { O_DIRECT } = real.constants;
  const direct = new Set<number>();
  const refuse = (): never => {
    refuses.times += 1;
    throw Object.assign(new Error('EINVAL: invalid argument'), { code: 'EINVAL' });
  };
  return {
    ...real,
    openSync(path: string, flags: number | string, mode: number) {
      const isDirect = typeof flags === 'number' && (flags & O_DIRECT) !== 0;
      const file = real.openSync(path, isDirect ? flags & ~O_DIRECT : flags, mode);
      direct.delete(file);
      if (!isDirect) return file;
      // As Linux does it: the file is there by then (seen on ramfs).
      if (refuses.call === 'open') {
        real.closeSync(file);
        return refuse();
      }
      direct.add(file);
      return file;
    },
    fdatasyncSync(file: number) {
      if (refuses.call !== 'sync') return real.fdatasyncSync(file);
      throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    },
    writeSync(file: number, ...write: [Buffer, number, number, number]) {
      const isRefused = refuses.call === 'write' && direct.has(file) && write[3] > 0;
      return isRefused ? refuse() : real.writeSync(file, ...write);
    },
  };
});

const directory = mkdtempSync(join(tmpdir(), 'kafscale-direct-'));
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it.each(['open', 'write'])(
  'a put goes on where %s says EINVAL, and is not tried so again',
  async (call) => {
    Object.assign(refuses, { call, times: 0 });
    fs.mkdirSync(directory, { recursive: true });
    const store = openObjectStore(pathToFileURL(directory).href, { blockingPuts: true });
    const bytes = randomBytes(8 * 1024 * 1024);
    for (const key of ['first', 'second']) await store.put(key, [bytes], 0);
    for (const key of ['first', 'second']) {
      expect(bytes.equals(readFileSync(join(directory, key)))).toBe(true);
    }
    expect(readdirSync(join(directory, '.tmp'))).toEqual([]);
    expect(refuses.times).toBe(1);
    await store.close();
  },
);

it('a put that fails when the disk is asked for its bytes leaves none behind', async () => {
  Object.assign(refuses, { call: 'sync', times: 0 });
  fs.mkdirSync(directory, { recursive: true });
  const store = openObjectStore(pathToFileURL(directory).href, { blockingPuts: true });
  await expect(store.put('a/b', [Buffer.alloc(4096)], 0)).rejects.toMatchObject({
    code: 'STORE_FULL',
    outcome: 'failed',
  });
  expect(readdirSync(join(directory, '.tmp'))).toEqual([]);
  expect(readdirSync(join(directory, 'a'))).toEqual([]);
  await store.close();
});
