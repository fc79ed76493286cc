import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { kafscale } from './collect.js';

let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kafscale-commands-'));
});

afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

describe('fsck and explain', () => {
  test.each([['fsck'], ['explain', 'topic', '0', '0']])(
    '%s makes nothing where there is nothing',
    async (...command) => {
      const dataDir = join(dir, 'data');
      const result = await kafscale([...command, '--data-dir', dataDir]);
      expect(result).toMatchObject({ exitCode: 1, stdout: '' });
      expect(result.stderr).toContain('[METADATA_NOT_FOUND]');
      expect(result.stderr.trim().split('\n')).toHaveLength(1);
      expect(existsSync(dataDir)).toBe(false);
    },
  );

  test('explain wants a partition and an offset that are numbers', async () => {
    for (const [partition, offset] of [
      ['x', '0'],
      ['0', '-1'],
      ['0', '1.5'],
      ['0', '9007199254740993'],
    ] as const) {
      const result = await kafscale(['explain', 'topic', partition, '--', offset]);
      expect(result).toMatchObject({ exitCode: 2, stdout: '' });
      expect(result.stderr).toContain('expected a whole number');
    }
    expect((await kafscale(['explain', 'topic'])).exitCode).toBe(2);
  });
});

describe('recover', () => {
  test('says in one line that the bucket has no index, before it asks for a database', async () => {
    const storeUrl = pathToFileURL(join(dir, 'store')).href;
    const metadataUrl = 'postgres://nobody@127.0.0.1:1/nothing';
    const options = ['--store-url', storeUrl, '--metadata-url', metadataUrl];
    const result = await kafscale(['recover', ...options]);
    expect(result).toMatchObject({ exitCode: 1, stdout: '' });
    expect(result.stderr).toContain('[INDEX_NOT_FOUND]');
    expect(result.stderr.trim().split('\n')).toHaveLength(1);
  });
});
