import { describe, expect, it } from 'vitest';

import { batchOf, CommitFixture, errorCodes, flat, idempotentBatch } from './support/commits.js';
import { useTestDatabases } from './support/test-databases.js';

const databases = useTestDatabases();
const outOfOrder = -errorCodes.outOfOrderSequence;
const sequenceMax = 2 ** 31 - 1;

async function fixture(): Promise<CommitFixture> {
  return CommitFixture.create(await databases.openStore());
}

/** A partition whose producers up to the given id may have a past that it does not know. */
async function withFloor(f: CommitFixture, floor: number): Promise<number> {
  await f.store.database.write((sql) => sql`UPDATE partitions SET producer_state_floor = ${floor}`);
  return f.partitionId();
}

describe('a producer in one partition', () => {
  it('gets original offsets for its last 5 batches and 45 for an older one and for a gap', async () => {
    const f = await fixture();
    const p = f.partitionId();
    for (let index = 0; index < 6; index += 1) {
      expect(await f.append(p, idempotentBatch(1, index * 2, 2))).toEqual([index * 2]);
    }
    expect(await f.append(p, idempotentBatch(1, 0, 2))).toEqual([outOfOrder]);
    for (let index = 1; index < 6; index += 1) {
      expect(await f.append(p, idempotentBatch(1, index * 2, 2))).toEqual([index * 2]);
    }
    // Same base, other end: not the same batch.
    expect(await f.append(p, idempotentBatch(1, 10, 1))).toEqual([outOfOrder]);
    expect(await f.append(p, idempotentBatch(1, 13, 1))).toEqual([outOfOrder]);
    expect(await f.append(p, idempotentBatch(1, 12, 1))).toEqual([12]);
  });

  it('finds a duplicate in the same extent, in another segment of the call, after a restart', async () => {
    const url = await databases.createUrl();
    const f = await CommitFixture.create(await databases.openStore({ url }));
    const p = f.partitionId();
    const batch = idempotentBatch(1, 0, 3);
    expect(await f.append(p, batch, batch, idempotentBatch(1, 3))).toEqual([0, 0, 3]);
    const next = idempotentBatch(1, 4, 2);
    const [one, two] = await f.commit(f.segment([[p, next]]), f.segment([[p, next, batch]]));
    expect([flat(one), flat(two)]).toEqual([[[4]], [[4, 0]]]);
    const restarted = await databases.openStore({ url });
    const segment = f.segment([[p, next, idempotentBatch(1, 6)]]);
    const { answers, extents } = await restarted.commitSegments(f.lease, [segment]);
    expect(flat(answers[0])).toEqual([[4, 6]]);
    expect(extents).toMatchObject([{ baseOffset: 6, nextOffset: 7, skippedBatches: [0] }]);
  });

  it('wraps from 2^31 - 1 to 0, between batches and within one', async () => {
    const f = await fixture();
    const p = await withFloor(f, 1);
    expect(await f.append(p, idempotentBatch(1, sequenceMax))).toEqual([0]);
    expect(await f.append(p, idempotentBatch(1, 0))).toEqual([1]);
    const q = f.partitionId(1);
    const across = idempotentBatch(1, sequenceMax - 1, 5);
    expect(await f.append(q, across)).toEqual([0]);
    expect(await f.append(q, across, idempotentBatch(1, 3, 2))).toEqual([0, 5]);
  });

  it('starts a new epoch at 0, also in the middle of a segment, and is fenced in the old one', async () => {
    const f = await fixture();
    const p = f.partitionId();
    const answers = await f.append(
      p,
      idempotentBatch(1, 0, 1, 0),
      idempotentBatch(1, 1, 1, 2), // a new epoch does not start at 1
      idempotentBatch(1, 0, 1, 2),
      idempotentBatch(1, 1, 1, 0), // the old epoch goes on
      idempotentBatch(1, 0, 1, 0), // and repeats
      idempotentBatch(1, 1, 1, 2),
    );
    const fenced = -errorCodes.invalidProducerEpoch;
    expect(answers).toEqual([0, outOfOrder, 1, fenced, fenced, 2]);
    expect(await f.append(p, idempotentBatch(1, 0, 1, 2))).toEqual([1]);
  });

  it('shares nothing with another producer, partition, or with batches without a producer', async () => {
    const f = await fixture();
    const [p, q] = [f.partitionId(0), f.partitionId(1)];
    const segment = f.segment([
      [p, idempotentBatch(1, 0), batchOf(4), idempotentBatch(2, 0), idempotentBatch(1, 1)],
      [q, idempotentBatch(1, 0), idempotentBatch(2, 1)],
    ]);
    const [answer] = await f.commit(segment);
    expect(flat(answer)).toEqual([
      [0, 1, 5, 6],
      [0, outOfOrder],
    ]);
  });
});

describe('segments without anything new', () => {
  it('of duplicates only: original offsets, no index row, a stored answer', async () => {
    const f = await fixture();
    const p = f.partitionId();
    await f.append(p, idempotentBatch(1, 0), idempotentBatch(1, 1));
    const segment = f.segment([[p, idempotentBatch(1, 0), idempotentBatch(1, 1)]]);
    const { answers, extents } = await f.store.commitSegments(f.lease, [segment]);
    expect(flat(answers[0])).toEqual([[0, 1]]);
    expect(extents).toEqual([]);
    expect(await f.store.findExtents(p, 0, 10)).toHaveLength(1);
    expect(await f.commit(segment)).toEqual(answers);
  });

  it('of some duplicates: what is new is written, and the index says which is not', async () => {
    const f = await fixture();
    const p = f.partitionId();
    await f.append(p, idempotentBatch(1, 0, 2));
    const answers = await f.append(
      p,
      idempotentBatch(1, 0, 2),
      idempotentBatch(1, 2, 3),
      idempotentBatch(1, 9),
      idempotentBatch(1, 5),
    );
    expect(answers).toEqual([0, 2, outOfOrder, 5]);
    const [, extent] = await f.store.findExtents(p, 0, 10);
    expect(extent).toMatchObject({ baseOffset: 2, nextOffset: 6, skippedBatches: [0, 2] });
  });
});

describe('the first sequence', () => {
  it('of a new producer is 0, so that its second batch can not shut the first one out', async () => {
    const f = await fixture();
    const p = f.partitionId();
    const producerId = await f.store.allocateProducerIds(1);
    const first = f.segment([[p, idempotentBatch(producerId, 0)]]);
    const second = f.segment([[p, idempotentBatch(producerId, 1)]]);
    expect(flat((await f.commit(second))[0])).toEqual([[outOfOrder]]);
    expect(flat((await f.commit(first))[0])).toEqual([[0]]);
    // The client sends the refused batch again, in a segment of its own.
    expect(await f.append(p, idempotentBatch(producerId, 1))).toEqual([1]);
  });

  it('is 0 too when the topic is created after the producer got its id', async () => {
    const f = await fixture();
    const producerId = await f.store.allocateProducerIds(1);
    const topic = await f.store.createTopic(f.lease, {
      name: 'created-on-demand',
      partitionCount: 1,
      configs: new Map(),
    });
    const { partitionId } = topic.partitions[0]!;
    expect(await f.append(partitionId, idempotentBatch(producerId, 1))).toEqual([outOfOrder]);
  });

  it('is anything for a producer that may have written to a deleted topic of this name', async () => {
    const f = await fixture();
    const old = await f.store.allocateProducerIds(1);
    await f.append(f.partitionId(), idempotentBatch(old, 0));
    await f.store.deleteTopic(f.lease, f.topic.topicId);
    const topic = await f.store.createTopic(f.lease, {
      name: 'events',
      partitionCount: 1,
      configs: new Map(),
    });
    const fresh = await f.store.allocateProducerIds(1);
    const { partitionId } = topic.partitions[0]!;
    expect(await f.append(partitionId, idempotentBatch(old, 1))).toEqual([0]);
    expect(await f.append(partitionId, idempotentBatch(fresh, 1))).toEqual([outOfOrder]);
    expect(await f.append(partitionId, idempotentBatch(old, 2))).toEqual([1]);
  });
});
