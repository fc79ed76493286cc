import { randomUUID } from 'node:crypto';

import { describe, expect, it } from 'vitest';

import {
  batchOf,
  CommitFixture,
  errorCodes,
  flat,
  idempotentBatch,
  registration,
} from './support/commits.js';
import { useTestDatabases } from './support/test-databases.js';

const databases = useTestDatabases();

async function fixture(partitionCount = 2): Promise<CommitFixture> {
  return CommitFixture.create(await databases.openStore(), partitionCount);
}

/** Sessions of this database that wait for a row. */
async function lockWaiters(url: string): Promise<number> {
  const [row] = await databases.query(
    url,
    `SELECT count(*)::int AS waiting FROM pg_stat_activity
     WHERE wait_event_type = 'Lock' AND datname = current_database()`,
  );
  return row!['waiting'] as number;
}

describe('offsets and index rows', () => {
  it('are dense and in commit order over segments, extents and batches', async () => {
    const f = await fixture();
    const [p0, p1] = [f.partitionId(0), f.partitionId(1)];
    const first = f.segment([
      [p0, batchOf(3), batchOf(2)],
      [p1, batchOf(1)],
    ]);
    const second = f.segment([[p0, batchOf(4, { maxTimestampMs: 5000 })]]);
    const { answers, extents } = await f.store.commitSegments(f.lease, [first, second]);
    expect(flat(answers[0])).toEqual([[0, 3], [0]]);
    expect(flat(answers[1])).toEqual([[5]]);
    expect(extents).toEqual([
      {
        partitionId: p0,
        baseOffset: 0,
        nextOffset: 5,
        segmentId: first.segmentId,
        position: 0,
        length: 1000,
        skippedBatches: [],
        firstTimestampMs: 1000,
        maxTimestampMs: 1000,
        absoluteOffsets: false,
        writerNodeId: f.node.nodeId,
      },
      expect.objectContaining({ partitionId: p1, baseOffset: 0, nextOffset: 1, position: 1000 }),
      expect.objectContaining({
        partitionId: p0,
        baseOffset: 5,
        nextOffset: 9,
        maxTimestampMs: 5000,
      }),
    ]);
    expect(await f.store.findExtents(p0, 0, 10)).toEqual([extents[0], extents[2]]);
    expect(await f.highWatermark(0)).toBe(9);
    expect(await f.append(p0, batchOf(1))).toEqual([9]);
  });

  it('refuses numbers that can not be true, and writes nothing', async () => {
    const f = await fixture();
    const good = f.segment([[f.partitionId(), batchOf(1)]]);
    const bad = f.segment([[f.partitionId(), batchOf(0)]]);
    await expect(f.commit(good, bad)).rejects.toMatchObject({ code: 'COMMIT_INVALID' });
    expect(await f.highWatermark()).toBe(0);
  });

  it('answers an excluded batch with 56 and forgets it', async () => {
    const f = await fixture();
    const p0 = f.partitionId();
    const excluded = { ...idempotentBatch(1, 0), excluded: true };
    expect(await f.append(p0, excluded, batchOf(2))).toEqual([-errorCodes.kafkaStorageError, 0]);
    const [extent] = await f.store.findExtents(p0, 0, 10);
    expect(extent?.skippedBatches).toEqual([0]);
    // No state came of it: the producer still starts at 0.
    expect(await f.append(p0, idempotentBatch(1, 0))).toEqual([2]);
  });
});

describe('a repeated commit', () => {
  it('gets the stored answer and adds nothing', async () => {
    const f = await fixture();
    const segment = f.segment([[f.partitionId(), batchOf(2), idempotentBatch(7, 1)]]);
    const first = await f.store.commitSegments(f.lease, [segment]);
    const again = await f.store.commitSegments(f.lease, [segment]);
    expect(flat(first.answers[0])).toEqual([[0, -errorCodes.outOfOrderSequence]]);
    expect(again).toEqual({ answers: first.answers, extents: [] });
    expect(await f.highWatermark()).toBe(2);
  });

  it('gets one answer twice when it comes twice in one call', async () => {
    const f = await fixture();
    const segment = f.segment([[f.partitionId(), batchOf(2)]]);
    const { answers, extents } = await f.store.commitSegments(f.lease, [segment, segment]);
    expect(answers[0]).toEqual(answers[1]);
    expect(extents).toHaveLength(1);
    expect(await f.highWatermark()).toBe(2);
  });

  it('is applied once when it comes on two connections at once', async () => {
    const f = await fixture();
    for (let round = 0; round < 20; round += 1) {
      const segment = f.segment([[f.partitionId(), batchOf(1)]]);
      const [one, two] = await Promise.all([f.commit(segment), f.commit(segment)]);
      expect(one).toEqual(two);
      expect(flat(one[0])).toEqual([[round]]);
    }
    expect(await f.highWatermark()).toBe(20);
  });

  it('is applied once on two connections even when no partition lock is shared', async () => {
    const f = await fixture();
    const gone = 999_999;
    for (let round = 0; round < 20; round += 1) {
      const segment = f.segment([[gone, batchOf(1)]]);
      const [one, two] = await Promise.all([f.commit(segment), f.commit(segment)]);
      expect(flat(one[0])).toEqual([[-errorCodes.unknownTopicOrPartition]]);
      expect(one).toEqual(two);
    }
  });

  it('gets its stored answer after its age bound, and a new segment is refused for ever', async () => {
    const url = await databases.createUrl();
    const f = await CommitFixture.create(await databases.openStore({ url }));
    const segment = f.segment([[f.partitionId(), batchOf(2)]]);
    const answers = await f.commit(segment);
    const impatient = await databases.openStore({ url, commitAgeMsMax: 0 });
    const late = f.segment([[f.partitionId(), batchOf(2)]], { birthMs: segment.birthMs - 10 });
    const result = await impatient.commitSegments(f.lease, [segment, late]);
    expect(result.answers).toEqual([answers[0], { kind: 'tooOld' }]);
    expect((await impatient.commitSegments(f.lease, [late])).answers).toEqual([{ kind: 'tooOld' }]);
    expect(await f.highWatermark()).toBe(2);
  });

  it('gets its stored answer after its node was declared dead', async () => {
    const f = await fixture();
    const segment = f.segment([[f.partitionId(), batchOf(2)]]);
    const answers = await f.commit(segment);
    await f.store.declareNodeDead(f.node.nodeId);
    expect(await f.commit(segment)).toEqual(answers);
  });

  it('that waits behind the first one gets its answer, although it would be too old by then', async () => {
    const url = await databases.createUrl();
    const f = await CommitFixture.create(await databases.openStore({ url }));
    const impatient = await databases.openStore({ url, commitAgeMsMax: 0 });
    const segment = f.segment([[f.partitionId(), batchOf(1)]]);
    const commits = await f.store.database.transaction(async ({ sql }) => {
      await sql`SELECT 1 FROM partitions FOR UPDATE`;
      const first = f.store.commitSegments(f.lease, [segment]);
      await expect.poll(() => lockWaiters(url)).toBe(1);
      const second = impatient.commitSegments(f.lease, [segment]);
      await expect.poll(() => lockWaiters(url)).toBe(2);
      return { first, second };
    });
    const { answers } = await commits.first;
    expect(flat(answers[0])).toEqual([[0]]);
    expect(await commits.second).toEqual({ answers, extents: [] });
  });

  it('survives a restart, answers of refused segments included', async () => {
    const url = await databases.createUrl();
    const f = await CommitFixture.create(await databases.openStore({ url }));
    await f.append(f.partitionId(), idempotentBatch(3, 0));
    const duplicates = f.segment([[f.partitionId(), idempotentBatch(3, 0)]]);
    const answers = await f.commit(duplicates);
    expect(flat(answers[0])).toEqual([[0]]);
    const restarted = await databases.openStore({ url });
    expect((await restarted.commitSegments(f.lease, [duplicates])).answers).toEqual(answers);
  });
});

describe('the fence', () => {
  it('refuses a node that was declared dead or has left, or that never was', async () => {
    const f = await fixture();
    const other = await f.store.registerNode(registration(['ingest']));
    const left = registration(['ingest']);
    const leaving = await f.store.registerNode(left);
    await f.store.declareNodeDead(other.nodeId);
    await f.store.deregisterNode(leaving.nodeId, left.instanceId);
    const extents = [[f.partitionId(), batchOf(1)]] as const;
    const answers = await f.commit(
      f.segment(extents, { nodeId: other.nodeId }),
      f.segment(extents, { nodeId: leaving.nodeId }),
      f.segment(extents, { nodeId: 12_345 }),
      f.segment(extents, { incarnation: f.node.incarnation + 1 }),
      f.segment(extents),
    );
    expect(answers.map((answer) => answer.kind)).toEqual([
      'fenced',
      'fenced',
      'fenced',
      'fenced',
      'committed',
    ]);
    expect(await f.highWatermark()).toBe(1);
  });

  it('refuses the whole call of an owner whose shard was taken over', async () => {
    const f = await fixture();
    const committed = f.segment([[f.partitionId(), batchOf(1)]]);
    await f.commit(committed);
    await f.store.releaseShard(f.lease);
    const taken = await f.store.acquireShard(0, randomUUID(), 60_000);
    expect(taken.kind).toBe('acquired');
    const rejection = { code: 'SHARD_LEASE_LOST', outcome: 'failed' };
    await expect(f.commit(committed)).rejects.toMatchObject(rejection);
    await expect(f.commit(f.segment([[f.partitionId(), batchOf(1)]]))).rejects.toMatchObject(
      rejection,
    );
    expect(await f.highWatermark()).toBe(1);
  });

  it('makes a takeover wait for a commit in progress, and the next commit lose', async () => {
    const url = await databases.createUrl();
    const f = await CommitFixture.create(await databases.openStore({ url }));
    await f.store.releaseShard(f.lease);
    const { commit, takeover } = await f.store.database.transaction(async ({ sql }) => {
      await sql`SELECT 1 FROM partitions FOR UPDATE`;
      const committing = f.append(f.partitionId(), batchOf(1));
      await expect.poll(() => lockWaiters(url)).toBe(1);
      // Which of two answers on two connections is read first says nothing.
      const taking = f.store.acquireShard(0, randomUUID(), 60_000).then(() => f.highWatermark());
      await expect.poll(() => lockWaiters(url)).toBe(2);
      return { commit: committing, takeover: taking };
    });
    expect(await takeover).toBe(1);
    expect(await commit).toEqual([0]);
    await expect(f.append(f.partitionId(), batchOf(1))).rejects.toMatchObject({
      code: 'SHARD_LEASE_LOST',
    });
    expect(await f.highWatermark()).toBe(1);
  });

  it('makes a declaration of death wait for a commit in progress', async () => {
    const url = await databases.createUrl();
    const f = await CommitFixture.create(await databases.openStore({ url }));
    const { commit, death } = await f.store.database.transaction(async ({ sql }) => {
      await sql`SELECT 1 FROM partitions FOR UPDATE`;
      const committing = f.append(f.partitionId(), batchOf(1));
      await expect.poll(() => lockWaiters(url)).toBe(1);
      const dying = f.store.declareNodeDead(f.node.nodeId).then(() => f.highWatermark());
      await expect.poll(() => lockWaiters(url)).toBe(2);
      return { commit: committing, death: dying };
    });
    expect(await death).toBe(1);
    expect(await commit).toEqual([0]);
  });
});

describe('a topic deleted between upload and commit', () => {
  it('gets error 3, the rest commits, and a new topic of that name is another one', async () => {
    const f = await fixture();
    const stale = f.partitionId();
    const segment = f.segment([
      [stale, batchOf(5)],
      [f.partitionId(1), batchOf(1)],
    ]);
    const lasting = await f.store.createTopic(f.lease, {
      name: 'other',
      partitionCount: 1,
      configs: new Map(),
    });
    const mixed = f.segment([
      [stale, batchOf(5), batchOf(1)],
      [lasting.partitions[0]!.partitionId, batchOf(2)],
    ]);
    expect(await f.store.deleteTopic(f.lease, f.topic.topicId)).toBe(true);
    const reborn = await f.store.createTopic(f.lease, {
      name: 'events',
      partitionCount: 2,
      configs: new Map(),
    });
    const answers = await f.commit(segment, mixed);
    expect(flat(answers[0])).toEqual([[-3], [-3]]);
    expect(flat(answers[1])).toEqual([[-3, -3], [0]]);
    expect(reborn.topicId).not.toBe(f.topic.topicId);
    expect((await f.store.loadTopic(reborn.topicId))!.partitions).toEqual(reborn.partitions);
    expect(await f.store.findExtents(stale, 0, 10)).toEqual([]);
  });
});

describe('concurrent commits', () => {
  it('that cross on their partitions neither deadlock nor overlap', async () => {
    const f = await fixture(20);
    const ids = f.topic.partitions.map((partition) => partition.partitionId);
    const commits = Array.from({ length: 40 }, (_, index) => {
      const order = index % 2 === 0 ? ids : ids.toReversed();
      return f.commit(f.segment(order.map((id) => [id, batchOf(1), batchOf(2)])));
    });
    await Promise.all(commits);
    for (const [index, id] of ids.entries()) {
      expect(await f.highWatermark(index)).toBe(120);
      const extents = await f.store.findExtents(id, 0, 100);
      expect(extents.map((extent) => extent.baseOffset)).toEqual(
        Array.from({ length: 40 }, (_, commit) => commit * 3),
      );
    }
  });
});
