import { afterEach, expect, it } from 'vitest';
import { createFetchService } from '../src/index.js';
import { plainRecords, World } from './world.js';

let world: World;

afterEach(async () => {
  await world.close();
});

const segments = 30;
const recordsPerExtent = 4;

/** A topic of two partitions whose segments have a part of each; two connections read one each. */
async function twoReaders(isStoreRemote: boolean): Promise<(of: number) => Promise<void>> {
  world = await World.open();
  const ids = world.createTopic('t', 2);
  for (let segment = 0; segment < segments; segment++) {
    const batches = [plainRecords(recordsPerExtent)];
    await world.commit(ids.map((partitionId) => ({ partitionId, batches })));
  }
  world.resync();
  const fetch = createFetchService({ ...world.fetchOptions, isStoreRemote });
  const reading = Object.assign(Object.create(world) as World, { fetch });
  world.resync();
  const offsets = [0, 0];
  return async (partition) => {
    const offset = offsets[partition]!;
    const [batch] = world.expected(ids[partition]!, offset);
    const answers = await reading.fetchPartitions(
      't',
      [{ partition, offset, bytesMax: batch!.bytes.length }],
      {},
      { connectionId: `${partition}` },
    );
    expect(answers.get(partition)!.records).toEqual(batch!.bytes);
    offsets[partition] = offset + recordsPerExtent;
  };
}

function keysRead(): string[] {
  return world.reads.map(({ key }) => key);
}

it('readers of different partitions share the reads of a remote store, though one is ahead', async () => {
  const read = await twoReaders(true);
  for (let turn = 0; turn < 3; turn++) await read(0);
  for (let turn = 0; turn < 3; turn++) await read(1);
  // Both are known to read in sequence now; what was read ahead for the first one alone is read again.
  const isLate = new Set(keysRead());
  for (let turn = 3; turn < segments; turn++) await read(0);
  for (let turn = 3; turn < segments; turn++) await read(1);
  const later = keysRead().filter((key) => !isLate.has(key));
  expect(later.length).toBe(segments - isLate.size);
  expect(new Set(later).size).toBe(later.length);
  expect(later.length).toBeGreaterThan(segments / 2);
});

it('local files are read for whoever asks', async () => {
  const read = await twoReaders(false);
  for (const partition of [0, 1]) {
    for (let turn = 0; turn < 3; turn++) await read(partition);
  }
  for (let turn = 3; turn < segments; turn++) await read(0);
  const byNow = world.reads.length;
  for (let turn = 3; turn < segments; turn++) await read(1);
  expect(world.reads.length).toBeGreaterThan(byNow);
});
