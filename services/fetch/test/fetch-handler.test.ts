import { apis, errorCodes, fetchRequest } from '@kafscale/codec';
import { OperatingError } from '@kafscale/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { plainRecords, World } from './world.js';

let world: World;

beforeEach(async () => {
  world = await World.open();
});

afterEach(async () => {
  await world.close();
});

function concat(batches: readonly { bytes: Buffer }[]): Buffer {
  return Buffer.concat(batches.map(({ bytes }) => bytes));
}

describe('records', () => {
  it('serves committed batches with their offsets and epoch stamped', async () => {
    const [p0] = world.createTopic('t', 1, 3);
    await world.commit([{ partitionId: p0!, batches: [plainRecords(2), plainRecords(3)] }]);
    await world.commit([{ partitionId: p0!, batches: [plainRecords(4)] }]);
    const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 0 }]);
    const answer = answers.get(0)!;
    expect(answer.errorCode).toBe(0);
    expect(answer.highWatermark).toBe(9n);
    expect(answer.lastStableOffset).toBe(9n);
    expect(answer.logStartOffset).toBe(0n);
    expect(answer.records).toEqual(concat(world.expected(p0!, 0)));
    expect(answer.records!.readInt32BE(12)).toBe(3);
  });

  it('starts with the batch that contains the offset', async () => {
    const [p0] = world.createTopic('t');
    await world.commit([
      { partitionId: p0!, batches: [plainRecords(2), plainRecords(5), plainRecords(1)] },
    ]);
    for (let offset = 0; offset < 8; offset++) {
      const answers = await world.fetchPartitions('t', [{ partition: 0, offset }]);
      expect(answers.get(0)!.records).toEqual(concat(world.expected(p0!, offset)));
    }
    expect(world.expected(p0!, 4)[0]!.baseOffset).toBe(2);
  });

  it('leaves out batches that were not accepted, wherever they lie', async () => {
    const [p0] = world.createTopic('t');
    const refused = { ...plainRecords(3), accepted: false };
    await world.commit([
      {
        partitionId: p0!,
        batches: [refused, plainRecords(1), refused, refused, plainRecords(2), refused],
      },
    ]);
    await world.commit([{ partitionId: p0!, batches: [plainRecords(1)] }]);
    const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 0 }]);
    expect(answers.get(0)!.highWatermark).toBe(4n);
    expect(answers.get(0)!.records).toEqual(concat(world.expected(p0!, 0)));
  });

  it('serves every version', async () => {
    const [p0] = world.createTopic('t');
    await world.commit([{ partitionId: p0!, batches: [plainRecords(2)] }]);
    for (let version = 4; version <= 12; version++) {
      const wanted = [{ partition: 0, offset: 0 }];
      const answers = await world.fetchPartitions('t', wanted, {}, { version });
      expect(answers.get(0)!.records).toEqual(concat(world.expected(p0!, 0)));
    }
  });

  it('reads one segment once for all of its partitions, and never again while it is cached', async () => {
    const ids = world.createTopic('t', 8);
    await world.commit(ids.map((partitionId) => ({ partitionId, batches: [plainRecords(3)] })));
    const wanted = ids.map((_, partition) => ({ partition, offset: 0 }));
    const [first, second] = await Promise.all([
      world.fetchPartitions('t', wanted),
      world.fetchPartitions('t', wanted.slice().reverse(), {}, { connectionId: 'other' }),
    ]);
    await world.fetchPartitions('t', wanted);
    for (const [partition, partitionId] of ids.entries()) {
      expect(first.get(partition)!.records).toEqual(concat(world.expected(partitionId, 0)));
      expect(second.get(partition)!.records).toEqual(concat(world.expected(partitionId, 0)));
    }
    expect(world.reads).toHaveLength(1);
  });

  it('finds what the feed did not bring by asking the index', async () => {
    const [p0] = world.createTopic('t');
    for (let index = 0; index < 10; index++) {
      await world.commit([{ partitionId: p0!, batches: [plainRecords(1)] }]);
    }
    world.resync();
    await world.commit([{ partitionId: p0!, batches: [plainRecords(1)] }]);
    const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 4 }]);
    expect(answers.get(0)!.records).toEqual(concat(world.expected(p0!, 4)));
    expect(world.lookups).toHaveLength(1);
    await world.fetchPartitions('t', [{ partition: 0, offset: 6 }]);
    expect(world.lookups).toHaveLength(1);
  });

  it('takes a recent segment from its writer, and from the store when that does not have it', async () => {
    const asked: number[] = [];
    let has = true;
    const writer = {
      readRecentSegment: async (segmentId: string, position: number, length: number) => {
        asked.push(position);
        const { segmentKey } = await import('@kafscale/codec');
        return has ? tailWorld.store.read(segmentKey(segmentId), position, length) : null;
      },
    };
    const tailWorld = await World.open({}, (nodeId) => (nodeId === 7 ? writer : undefined));
    const [p0] = tailWorld.createTopic('t');
    await tailWorld.commit([{ partitionId: p0!, batches: [plainRecords(2)] }]);
    const first = await tailWorld.fetchPartitions('t', [{ partition: 0, offset: 0 }]);
    expect(first.get(0)!.records).toEqual(concat(tailWorld.expected(p0!, 0)));
    expect(tailWorld.reads).toHaveLength(0);
    has = false;
    await tailWorld.commit([{ partitionId: p0!, batches: [plainRecords(2)] }]);
    const second = await tailWorld.fetchPartitions('t', [{ partition: 0, offset: 2 }]);
    expect(second.get(0)!.records).toEqual(concat(tailWorld.expected(p0!, 2)));
    expect(asked).toHaveLength(2);
    expect(tailWorld.reads).toHaveLength(1);
    await tailWorld.close();
  });
});

describe('limits', () => {
  it('gives the first partition a batch however large it is, and only the first (KIP-74)', async () => {
    const ids = world.createTopic('t', 2);
    await world.commit(
      ids.map((partitionId) => ({
        partitionId,
        batches: [plainRecords(1, 5000), plainRecords(1)],
      })),
    );
    const wanted = ids.map((_, partition) => ({ partition, offset: 0, bytesMax: 100 }));
    const answers = await world.fetchPartitions('t', wanted, { maxBytes: 100 });
    expect(answers.get(0)!.records).toEqual(world.expected(ids[0]!, 0)[0]!.bytes);
    expect(answers.get(1)!.records).toHaveLength(0);
    expect(answers.get(1)!.errorCode).toBe(0);
  });

  it('serves each partition in turn when a response has room for one only', async () => {
    const ids = world.createTopic('t', 5);
    await world.commit(
      ids.map((partitionId) => ({ partitionId, batches: [plainRecords(1, 600)] })),
    );
    const wanted = ids.map((_, partition) => ({ partition, offset: 0 }));
    const served: number[] = [];
    for (let round = 0; round < 5; round++) {
      const answers = await world.fetchPartitions('t', wanted, { maxBytes: 700 });
      for (const [partition, answer] of answers)
        if (answer.records!.length > 0) served.push(partition);
    }
    expect(served.sort((left, right) => left - right)).toEqual([0, 1, 2, 3, 4]);
  });

  it('lets no partition starve behind one with larger batches', async () => {
    const ids = world.createTopic('t', 2);
    await world.commit(
      ids.map((partitionId) => ({ partitionId, batches: [plainRecords(1, 600)] })),
    );
    const wanted = ids.map((_, partition) => ({ partition, offset: 0, bytesMax: 500 }));
    const served = new Set<number>();
    for (let round = 0; round < 2; round++) {
      const answers = await world.fetchPartitions('t', wanted, { maxBytes: 1000 });
      for (const [partition, answer] of answers)
        if (answer.records!.length > 0) served.add(partition);
    }
    expect(served).toEqual(new Set([0, 1]));
  });

  it('keeps to its own ceiling whatever the client asks for', async () => {
    const small = await World.open({ fetchResponseBytesMax: 2000 });
    const [p0] = small.createTopic('t');
    const batches = Array.from({ length: 10 }, () => plainRecords(1, 500));
    await small.commit([{ partitionId: p0!, batches }]);
    const answers = await small.fetchPartitions('t', [{ partition: 0, offset: 0 }]);
    const { length } = answers.get(0)!.records!;
    expect(length).toBeGreaterThan(1000);
    expect(length).toBeLessThanOrEqual(2000);
    await small.close();
  });
});

describe('errors', () => {
  it('does not know a partition that is not there, after one barrier', async () => {
    world.createTopic('t', 1);
    const answers = await world.fetchPartitions('t', [{ partition: 1, offset: 0 }], {
      maxWaitMs: 60_000,
    });
    expect(answers.get(1)!.errorCode).toBe(errorCodes.UNKNOWN_TOPIC_OR_PARTITION);
    expect(answers.get(1)!.records).toHaveLength(0);
    expect(world.barriers).toBe(1);
    const other = await world.fetchPartitions('nope', [{ partition: 0, offset: 0 }]);
    expect(other.get(0)!.errorCode).toBe(errorCodes.UNKNOWN_TOPIC_OR_PARTITION);
    expect(other.get(0)!.highWatermark).toBe(-1n);
  });

  it('answers an offset beyond either end with the end', async () => {
    const [p0] = world.createTopic('t');
    await world.commit([{ partitionId: p0!, batches: [plainRecords(3)] }]);
    await world.commit([{ partitionId: p0!, batches: [plainRecords(3)] }]);
    world.advanceLogStart(p0!, 4);
    for (const offset of [-1, 0, 3, 7, Number.MAX_SAFE_INTEGER]) {
      const answers = await world.fetchPartitions('t', [{ partition: 0, offset }], {
        maxWaitMs: 60_000,
      });
      expect(answers.get(0)!.errorCode).toBe(errorCodes.OFFSET_OUT_OF_RANGE);
      expect(answers.get(0)!.highWatermark).toBe(6n);
      expect(answers.get(0)!.logStartOffset).toBe(4n);
    }
    // The log start lies within a batch: the batch is served whole.
    const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 4 }]);
    expect(answers.get(0)!.records).toEqual(concat(world.expected(p0!, 4)));
  });

  it.each([
    [-1, 0],
    [1, errorCodes.FENCED_LEADER_EPOCH],
    [2, 0],
    [3, errorCodes.UNKNOWN_LEADER_EPOCH],
  ])('judges leader epoch %i when the current one is 2', async (epoch, code) => {
    world.createTopic('t', 1, 2);
    const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 0, epoch }]);
    expect(answers.get(0)!.errorCode).toBe(code);
  });

  it('takes 0 for the epoch of a client that has none (librdkafka)', async () => {
    world.createTopic('t', 1, 0);
    const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 0, epoch: 0 }]);
    expect(answers.get(0)!.errorCode).toBe(0);
  });

  it('knows no followers', async () => {
    world.createTopic('t', 1, 2);
    const bare = await world.fetchPartitions('t', [{ partition: 0, offset: 0 }], { replicaId: 1 });
    expect(bare.get(0)!.errorCode).toBe(errorCodes.NOT_LEADER_OR_FOLLOWER);
    const wanted = [{ partition: 0, offset: 0, epoch: 2 }];
    const epoch = await world.fetchPartitions('t', wanted, { replicaId: 1 });
    expect(epoch.get(0)!.errorCode).toBe(errorCodes.UNKNOWN_LEADER_EPOCH);
  });

  it('answers retriably when there is no read index', async () => {
    const [p0] = world.createTopic('t');
    await world.commit([{ partitionId: p0!, batches: [plainRecords(3)] }]);
    world.beforeBarrier = () =>
      Promise.reject(new OperatingError('OWNER_UNREACHABLE', 'no', { retriable: true }));
    const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 0 }]);
    expect(answers.get(0)!.errorCode).toBe(errorCodes.NOT_LEADER_OR_FOLLOWER);
    expect(answers.get(0)!.records).toHaveLength(0);
  });

  it('sends aborted transactions as Kafka does: none, or an empty list', async () => {
    world.createTopic('t');
    const wanted = [{ partition: 0, offset: 0 }];
    const uncommitted = await world.fetchPartitions('t', wanted, { isolationLevel: 0 });
    const committed = await world.fetchPartitions('t', wanted, { isolationLevel: 1 });
    expect(uncommitted.get(0)!.abortedTransactions).toBeNull();
    expect(committed.get(0)!.abortedTransactions).toEqual([]);
  });

  it('closes on a body that is not a Fetch request, and on versions that it does not serve', async () => {
    const garbage = await world.call(apis.fetch.key, 12, Buffer.from('garbage'));
    expect(garbage.kind).toBe('close');
    const body = Buffer.concat(fetchRequest.encode({}, 12));
    expect((await world.call(apis.fetch.key, 19, body)).kind).toBe('close');
    expect((await world.call(apis.metadata.key, 1, body)).kind).toBe('close');
  });
});

describe('sessions', () => {
  it.each([
    [0, 0],
    [0, -1],
    [5, 0],
    [5, -1],
  ])('answers a full fetch (%i, %i) with session 0 and every partition', async (id, epoch) => {
    world.createTopic('t', 3);
    const wanted = [0, 1, 2].map((partition) => ({ partition, offset: 0 }));
    const answers = await world.fetchPartitions('t', wanted, {
      sessionId: id,
      sessionEpoch: epoch,
    });
    expect([...answers.keys()]).toEqual([0, 1, 2]);
  });

  it.each([
    [0, 1],
    [5, 1],
    [5, 77],
  ])('does not know the session of an incremental fetch (%i, %i)', async (id, epoch) => {
    const response = await world.fetchRaw({ sessionId: id, sessionEpoch: epoch });
    expect(response.errorCode).toBe(errorCodes.FETCH_SESSION_ID_NOT_FOUND);
    expect(response.responses).toEqual([]);
  });

  it('answers a request without partitions at once', async () => {
    const response = await world.fetchRaw({ maxWaitMs: 60_000, sessionId: 5, sessionEpoch: -1 });
    expect(response.errorCode).toBe(0);
    expect(response.sessionId).toBe(0);
    expect(response.responses).toEqual([]);
  });
});

describe.each([13, 15, 16, 17, 18])('topics by their ids, version %i', (version) => {
  const at = { partition: 0, fetchOffset: 0n, partitionMaxBytes: 1_000_000 };
  const unknownId = '11111111-2222-4333-8444-555555555555';

  it('are served under their ids, and have no names', async () => {
    const [p0] = world.createTopic('t');
    await world.commit([{ partitionId: p0!, batches: [plainRecords(2)] }]);
    const { topicId } = world.topics.get('t')!;
    const topics = [{ topicId, partitions: [at] }];
    const response = await world.fetchRaw({ maxBytes: 1e6, topics }, version);
    expect(response.responses).toMatchObject([{ topicId, partitions: [{ errorCode: 0 }] }]);
    const { records } = response.responses[0]!.partitions[0]!;
    expect(records).toEqual(concat(world.expected(p0!, 0)));
  });

  it('are unknown by an id that nobody has, or had', async () => {
    world.createTopic('t');
    const { topicId } = world.topics.get('t')!;
    const missing = { ...at, partition: 5 };
    const topics = [
      { topicId: unknownId, partitions: [at] },
      { topicId, partitions: [at, missing] },
    ];
    const response = await world.fetchRaw({ topics }, version);
    const codesOf = ({ responses }: typeof response): number[][] =>
      responses.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode));
    const { UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION } = errorCodes;
    expect(codesOf(response)).toEqual([[UNKNOWN_TOPIC_ID], [0, UNKNOWN_TOPIC_OR_PARTITION]]);
    world.deleteTopic('t');
    world.createTopic('t');
    const after = await world.fetchRaw({ topics }, version);
    expect(codesOf(after)).toEqual([[UNKNOWN_TOPIC_ID], [UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_ID]]);
  });

  it('have sessions of their own', async () => {
    world.createTopic('t');
    const { topicId } = world.topics.get('t')!;
    const topics = [{ topicId, partitions: [at] }];
    const { sessionId } = await world.fetchRaw({ topics, sessionEpoch: 0 }, version);
    expect(sessionId).toBeGreaterThan(0);
    const byName = await world.fetchRaw({ sessionId, sessionEpoch: 1 }, 12);
    expect(byName.errorCode).toBe(errorCodes.FETCH_SESSION_TOPIC_ID_ERROR);
    world.deleteTopic('t');
    const gone = await world.fetchRaw({ sessionId, sessionEpoch: 1 }, version);
    expect(gone.responses).toMatchObject([
      { topicId, partitions: [{ errorCode: errorCodes.UNKNOWN_TOPIC_ID }] },
    ]);
    const forgottenTopicsData = [{ topicId, partitions: [0] }];
    const closed = await world.fetchRaw(
      { sessionId, sessionEpoch: 2, forgottenTopicsData },
      version,
    );
    expect(closed).toMatchObject({ errorCode: 0, sessionId: 0, responses: [] });
  });

  it('are not read by followers', async () => {
    world.createTopic('t');
    const { topicId } = world.topics.get('t')!;
    const follower = version < 15 ? { replicaId: 3 } : { replicaState: { replicaId: 3 } };
    const topics = [{ topicId, partitions: [at] }];
    const response = await world.fetchRaw({ topics, ...follower }, version);
    expect(response.responses[0]!.partitions[0]!.errorCode).toBe(errorCodes.NOT_LEADER_OR_FOLLOWER);
  });
});
