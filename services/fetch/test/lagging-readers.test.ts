import { segmentKey } from '@kafscale/codec';
import { limits } from '@kafscale/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { plainRecords, World } from './world.js';

let world: World;

beforeEach(async () => {
  world = await World.open();
});

afterEach(async () => {
  await world.close();
});

it('leaves a thread of the pool to the tail, however many lagging readers wait for their reads', async () => {
  const lagging = 12;
  const ids = world.createTopic('t', lagging + 1);
  const tail = ids[lagging]!;
  const old = new Set<string>();
  for (const partitionId of ids.slice(0, lagging)) {
    old.add(segmentKey(await world.commit([{ partitionId, batches: [plainRecords(1)] }])));
  }
  // What is known of it has to be looked up now: history.
  world.resync();
  let letGo: () => void = () => undefined;
  const held = new Promise<void>((resolve) => (letGo = resolve));
  let heldCount = 0;
  world.beforeRead = (key) => {
    if (!old.has(key)) return Promise.resolve();
    heldCount++;
    return held;
  };
  const replays = ids
    .slice(0, lagging)
    .map((_, partition) =>
      world.fetchPartitions('t', [{ partition, offset: 0 }], {}, { connectionId: `${partition}` }),
    );
  await expect.poll(() => heldCount).toBe(limits.localCatchUpReadsMax);
  await world.commit([{ partitionId: tail, batches: [plainRecords(2)] }]);
  const answers = await world.fetchPartitions('t', [{ partition: lagging, offset: 0 }]);
  expect(answers.get(lagging)!.records).toEqual(world.expected(tail, 0)[0]!.bytes);
  // libuv has four threads unless told otherwise.
  expect(heldCount).toBe(limits.localCatchUpReadsMax);
  expect(limits.localCatchUpReadsMax + limits.localReadAheadReadsMax).toBeLessThan(4);
  letGo();
  for (const [partition, replay] of (await Promise.all(replays)).entries()) {
    expect(replay.get(partition)!.records).toEqual(world.expected(ids[partition]!, 0)[0]!.bytes);
  }
});
