import { errorCodes } from '@kafscale/codec';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { plainRecords, World } from './world.js';

let world: World;

beforeEach(async () => {
  world = await World.open();
});

afterEach(async () => {
  await world.close();
});

/** Long enough that a test which waits for it fails by its own time limit. */
const forever = { maxWaitMs: 200_000 };

/** Resolves when the request under way is waiting for data. */
async function untilWaiting(count = 1): Promise<void> {
  while (world.countOf('fetch_long_polls_total') < count) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

it('is woken by a commit to any of its partitions, and by no other', async () => {
  const ids = world.createTopic('t', 32);
  const [other] = world.createTopic('other');
  const wanted = ids.map((_, partition) => ({ partition, offset: 0 }));
  const pending = world.fetchPartitions('t', wanted, forever);
  await untilWaiting();
  await world.commit([{ partitionId: other!, batches: [plainRecords(1)] }]);
  await world.commit([{ partitionId: ids[31]!, batches: [plainRecords(2)] }]);
  const answers = await pending;
  expect(answers.size).toBe(32);
  expect(answers.get(31)!.records).toEqual(world.expected(ids[31]!, 0)[0]!.bytes);
  expect(answers.get(31)!.highWatermark).toBe(2n);
  for (let partition = 0; partition < 31; partition++) {
    expect(answers.get(partition)!.records).toHaveLength(0);
  }
  expect(world.barriers).toBe(1);
  expect(world.lookups).toHaveLength(0);
});

it('answers one hot partition among 31 idle ones at once', async () => {
  const ids = world.createTopic('t', 32);
  await world.commit([{ partitionId: ids[17]!, batches: [plainRecords(2)] }]);
  const wanted = ids.map((_, partition) => ({ partition, offset: 0 }));
  const answers = await world.fetchPartitions('t', wanted, forever);
  expect(answers.get(17)!.records).toEqual(world.expected(ids[17]!, 0)[0]!.bytes);
  expect(world.countOf('fetch_long_polls_total')).toBe(0);
});

it('waits until there are min_bytes over all of its partitions', async () => {
  const ids = world.createTopic('t', 2);
  const wanted = ids.map((_, partition) => ({ partition, offset: 0 }));
  const pending = world.fetchPartitions('t', wanted, { ...forever, minBytes: 2000 });
  await untilWaiting();
  let isAnswered = false;
  void pending.then(() => (isAnswered = true));
  for (let round = 0; round < 3; round++) {
    expect(isAnswered).toBe(false);
    const partitionId = ids[round % 2]!;
    await world.commit([{ partitionId, batches: [plainRecords(1, 600)] }]);
  }
  const answers = await pending;
  const bytes = [...answers.values()].reduce((sum, { records }) => sum + records!.length, 0);
  expect(bytes).toBeGreaterThanOrEqual(2000);
});

it('answers with the high watermark and no records when the wait is over', async () => {
  const [p0] = world.createTopic('t');
  await world.commit([{ partitionId: p0!, batches: [plainRecords(3)] }]);
  const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 3 }], {
    maxWaitMs: 20,
  });
  expect(answers.get(0)!.errorCode).toBe(0);
  expect(answers.get(0)!.records).toHaveLength(0);
  expect(answers.get(0)!.highWatermark).toBe(3n);
  expect(world.countOf('fetch_long_polls_total')).toBe(1);
});

it('serves what there is when min_bytes are not reached in time', async () => {
  const [p0] = world.createTopic('t');
  await world.commit([{ partitionId: p0!, batches: [plainRecords(3)] }]);
  const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 0 }], {
    maxWaitMs: 20,
    minBytes: 1_000_000,
  });
  expect(answers.get(0)!.records).toEqual(world.expected(p0!, 0)[0]!.bytes);
});

it('does not wait when nothing is to be waited for', async () => {
  world.createTopic('t');
  const wanted = [{ partition: 0, offset: 0 }];
  await world.fetchPartitions('t', wanted, { maxWaitMs: 0 });
  await world.fetchPartitions('t', wanted, { ...forever, minBytes: 0 });
  expect(world.countOf('fetch_long_polls_total')).toBe(0);
});

it('ends when the connection goes', async () => {
  world.createTopic('t');
  const abort = new AbortController();
  const wanted = [{ partition: 0, offset: 0 }];
  const pending = world.fetchPartitions('t', wanted, forever, { signal: abort.signal });
  await untilWaiting();
  abort.abort();
  await expect(pending).rejects.toThrow('the client has gone');
});

it('learns that its topic was deleted', async () => {
  world.createTopic('t');
  const pending = world.fetchPartitions('t', [{ partition: 0, offset: 0 }], forever);
  await untilWaiting();
  world.deleteTopic('t');
  const answers = await pending;
  expect(answers.get(0)!.errorCode).toBe(errorCodes.UNKNOWN_TOPIC_OR_PARTITION);
});

it('looks again after a snapshot, whose heads may be further on', async () => {
  const [p0] = world.createTopic('t');
  const pending = world.fetchPartitions('t', [{ partition: 0, offset: 0 }], forever);
  await untilWaiting();
  world.muteFeed = true;
  await world.commit([{ partitionId: p0!, batches: [plainRecords(2)] }]);
  world.muteFeed = false;
  world.resync();
  const answers = await pending;
  expect(answers.get(0)!.records).toEqual(world.expected(p0!, 0)[0]!.bytes);
});

it('misses nothing that is committed while the index is being asked', async () => {
  const [p0] = world.createTopic('t');
  await world.commit([{ partitionId: p0!, batches: [plainRecords(1)] }]);
  world.resync();
  world.beforeLookup = async () => {
    world.beforeLookup = () => Promise.resolve();
    await world.commit([{ partitionId: p0!, batches: [plainRecords(100, 100)] }]);
  };
  const wanted = [{ partition: 0, offset: 0 }];
  const answers = await world.fetchPartitions('t', wanted, { ...forever, minBytes: 5000 });
  expect(answers.get(0)!.highWatermark).toBe(101n);
  expect(answers.get(0)!.records!.length).toBeGreaterThan(5000);
});

it('ends all waits when the service closes', async () => {
  world.createTopic('t');
  const pending = world.fetchPartitions('t', [{ partition: 0, offset: 0 }], forever);
  await untilWaiting();
  world.fetch.close();
  expect((await pending).get(0)!.errorCode).toBe(0);
});
