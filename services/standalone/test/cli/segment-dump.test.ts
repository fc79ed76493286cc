import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { encodePlainBatch, encodeSegmentFooter, segmentKey } from '@kafscale/codec';
import { openObjectStore } from '@kafscale/storage';
import { crc32c } from '@node-rs/crc32';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { kafscale } from './collect.js';

const segmentId = '01234567-89ab-cdef-0123-456789abcdef';
const topicId = '6b1f7a52-3f0e-4b52-9e0a-0c1d2e3f4a5b';
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'kafscale-dump-'));
});

afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

function buildSegment(): Buffer {
  const body = encodePlainBatch({
    records: [{ timestampMs: 1_700_000_000_000, value: Buffer.from('hello') }],
  });
  const footer = encodeSegmentFooter({
    extents: [
      {
        topicId,
        partitionIndex: 3,
        position: 0,
        length: body.length,
        recordCount: 1,
        batchCount: 1,
        firstTimestampMs: 1_700_000_000_000,
        maxTimestampMs: 1_700_000_000_000,
        crc32c: crc32c(body),
        baseOffset: null,
      },
    ],
    writer: { nodeId: 1, incarnation: 1, birthMs: 0, segmentId, softwareVersion: 'test' },
  });
  return Buffer.concat([body, footer]);
}

test('a file: the footer, and the records only if asked', async () => {
  const path = join(dir, 'some.seg');
  await writeFile(path, buildSegment());
  const plain = await kafscale(['segment', 'dump', path]);
  expect(plain).toMatchObject({ exitCode: 0, stderr: '' });
  expect(plain.stdout).toContain(segmentId);
  expect(plain.stdout).toContain(`topic ${topicId}  partition 3`);
  expect(plain.stdout).not.toContain('hello');
  expect((await kafscale(['segment', 'dump', path, '--records'])).stdout).toContain('"hello"');
});

test('an object, by its key with or without a prefix, or by the id of the segment', async () => {
  const url = pathToFileURL(join(dir, 'store')).href;
  const store = openObjectStore(url);
  const segment = buildSegment();
  await store.put(segmentKey(segmentId), [segment], crc32c(segment));
  await store.close();
  for (const name of [segmentKey(segmentId), segmentKey(segmentId, 'a/prefix'), segmentId]) {
    const { exitCode, stdout } = await kafscale(['segment', 'dump', name, '--store-url', url]);
    expect(exitCode).toBe(0);
    expect(stdout).toContain(segmentId);
  }
});

test('what is not there, or no segment, is one line', async () => {
  const url = pathToFileURL(join(dir, 'store')).href;
  const absent = await kafscale(['segment', 'dump', segmentId, '--store-url', url]);
  expect(absent.exitCode).toBe(1);
  expect(absent.stderr).toContain('[OBJECT_NOT_FOUND]');
  const path = join(dir, 'text');
  await writeFile(path, 'not a segment');
  const unrecognized = await kafscale(['segment', 'dump', path]);
  expect(unrecognized.exitCode).toBe(1);
  expect(unrecognized.stderr).toContain('[SEGMENT_UNRECOGNIZED]');
});
