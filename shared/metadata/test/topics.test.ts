import { describe, expect, it } from 'vitest';

import { batchOf, CommitFixture, idempotentBatch } from './support/commits.js';
import { useTestDatabases } from './support/test-databases.js';

const databases = useTestDatabases();

function topic(name: string, partitionCount = 1, configs: [string, string][] = []) {
  return { name, partitionCount, configs: new Map(configs) };
}

describe('a topic', () => {
  it('is what was asked for, and is there after a restart', async () => {
    const url = await databases.createUrl();
    const f = await CommitFixture.create(await databases.openStore({ url }));
    const configs: [string, string][] = [
      ['retention.ms', '1000'],
      ['__proto__', 'x'],
    ];
    const created = await f.store.createTopic(f.lease, topic('Quote"d é', 3, configs));
    expect(created).toMatchObject({ name: 'Quote"d é', shardId: 0 });
    expect([...created.configs]).toEqual(expect.arrayContaining(configs));
    expect(created.partitions.map((head) => head.partitionIndex)).toEqual([0, 1, 2]);
    expect(created.partitions[0]).toMatchObject({
      leaderEpoch: 0,
      logStartOffset: 0,
      highWatermark: 0,
    });
    expect(Math.abs(created.createdAtMs - Date.now())).toBeLessThan(60_000);
    await f.append(created.partitions[1]!.partitionId, batchOf(7));
    const restarted = await databases.openStore({ url });
    const topics = await restarted.loadTopics(0);
    expect(topics.map(({ name }) => name)).toEqual(['Quote"d é', 'events']);
    expect(topics[0]).toEqual({
      ...created,
      partitions: created.partitions.map((head, index) => ({
        ...head,
        highWatermark: index === 1 ? 7 : 0,
      })),
    });
    expect(await restarted.loadTopics(1)).toEqual([]);
  });

  it('has a name of its own, also up to "." and "_"', async () => {
    const f = await CommitFixture.create(await databases.openStore());
    await f.store.createTopic(f.lease, topic('a.b_c'));
    await expect(f.store.createTopic(f.lease, topic('a.b_c'))).rejects.toMatchObject({
      code: 'TOPIC_ALREADY_EXISTS',
    });
    await expect(f.store.createTopic(f.lease, topic('a_b.c'))).rejects.toMatchObject({
      code: 'TOPIC_NAME_COLLISION',
    });
    await f.store.createTopic(f.lease, topic('a-b-c'));
  });

  it('is created once by many at the same time', async () => {
    const f = await CommitFixture.create(await databases.openStore());
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, () => f.store.createTopic(f.lease, topic('popular', 5))),
    );
    const failures = results.filter((result) => result.status === 'rejected');
    expect(failures).toHaveLength(7);
    for (const { reason } of failures) {
      expect(reason).toMatchObject({ code: 'TOPIC_ALREADY_EXISTS', outcome: 'failed' });
    }
  });

  it('is gone after its deletion, and its name is free', async () => {
    const f = await CommitFixture.create(await databases.openStore());
    expect(await f.store.deleteTopic(f.lease, f.topic.topicId)).toBe(true);
    expect(await f.store.deleteTopic(f.lease, f.topic.topicId)).toBe(false);
    expect(await f.store.loadTopic(f.topic.topicId)).toBeNull();
    const reborn = await f.store.createTopic(f.lease, topic('events'));
    expect(reborn.topicId).not.toBe(f.topic.topicId);
    const oldIds = f.topic.partitions.map((head) => head.partitionId);
    expect(oldIds).not.toContain(reborn.partitions[0]!.partitionId);
  });

  it('is changed by the owner of the shard only', async () => {
    const f = await CommitFixture.create(await databases.openStore());
    const stale = { shardId: 0, epoch: f.lease.epoch - 1 };
    const lost = { code: 'SHARD_LEASE_LOST' };
    await expect(f.store.createTopic(stale, topic('x'))).rejects.toMatchObject(lost);
    await expect(f.store.deleteTopic(stale, f.topic.topicId)).rejects.toMatchObject(lost);
    await expect(f.store.purgeDeletedPartitions(stale, 10)).rejects.toMatchObject(lost);
    expect((await f.store.loadTopics(0)).map(({ name }) => name)).toEqual(['events']);
  });
});

describe('the purge of deleted topics', () => {
  it('removes in bounded steps what only they referred to', async () => {
    const url = await databases.createUrl();
    const f = await CommitFixture.create(await databases.openStore({ url }));
    const kept = await f.store.createTopic(f.lease, topic('kept'));
    const keptId = kept.partitions[0]!.partitionId;
    for (let index = 0; index < 5; index += 1) {
      await f.commit(
        f.segment([
          [f.partitionId(0), idempotentBatch(index, 0)],
          [f.partitionId(1), batchOf(1)],
          [keptId, idempotentBatch(index, 0)],
        ]),
      );
    }
    expect(await f.store.purgeDeletedPartitions(f.lease, 3)).toBe('done');
    await f.store.deleteTopic(f.lease, f.topic.topicId);
    let steps = 0;
    while ((await f.store.purgeDeletedPartitions(f.lease, 3)) === 'more') steps += 1;
    expect(steps).toBeGreaterThan(3);
    const rows = await databases.query(
      url,
      `SELECT (SELECT array_agg(DISTINCT partition_id) FROM extents) AS extents,
              (SELECT array_agg(DISTINCT partition_id) FROM producers) AS producers,
              (SELECT array_agg(DISTINCT partition_id) FROM partitions) AS partitions,
              (SELECT array_agg(DISTINCT live_extents) FROM segments) AS live_extents`,
    );
    expect(rows[0]).toEqual({
      extents: [keptId],
      producers: [keptId],
      partitions: [keptId],
      live_extents: [1],
    });
  });
});

describe('producer ids', () => {
  it('are never given out twice', async () => {
    const url = await databases.createUrl();
    const stores = [await databases.openStore({ url }), await databases.openStore({ url })];
    const blocks = await Promise.all(
      Array.from({ length: 30 }, (_, index) => stores[index % 2]!.allocateProducerIds(index + 1)),
    );
    const ids = blocks.flatMap((first, index) =>
      Array.from({ length: index + 1 }, (_, offset) => first + offset),
    );
    expect(new Set(ids).size).toBe(ids.length);
    expect(Math.min(...ids)).toBe(0);
  });
});
