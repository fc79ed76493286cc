import { errorCodes, type FetchRequestInput, type FetchResponse } from '@kafscale/codec';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFetchService } from '../src/index.js';
import { SessionCache } from '../src/sessions/session-cache.js';
import { SessionClient } from './session-client.js';
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

function fetchOf(partitions: readonly number[], offsets: readonly number[] = []) {
  return {
    maxBytes: 1_000_000,
    topics: [
      {
        topic: 't',
        partitions: partitions.map((partition) => ({
          partition,
          fetchOffset: BigInt(offsets[partition] ?? 0),
          partitionMaxBytes: 1_000_000,
        })),
      },
    ],
  } satisfies FetchRequestInput;
}

function partitionsIn(response: FetchResponse): number[] {
  return response.responses.flatMap(({ partitions }) =>
    partitions.map((each) => each.partitionIndex),
  );
}

async function begin(partitions: readonly number[], offsets?: readonly number[]): Promise<number> {
  const response = await world.fetchRaw({ ...fetchOf(partitions, offsets), sessionEpoch: 0 });
  expect(response.errorCode).toBe(0);
  expect(response.sessionId).toBeGreaterThan(0);
  expect(partitionsIn(response)).toEqual(partitions);
  return response.sessionId;
}

async function untilWaiting(count = 1): Promise<void> {
  while (world.countOf('fetch_long_polls_total') < count) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

describe('an incremental fetch', () => {
  it('names nothing, and hears of nothing but what has changed', async () => {
    const ids = world.createTopic('t', 4);
    const sessionId = await begin([0, 1, 2, 3]);
    const idle = await world.fetchRaw({ sessionId, sessionEpoch: 1, maxBytes: 1_000_000 });
    expect(idle).toMatchObject({ errorCode: 0, sessionId, responses: [] });
    await world.commit([{ partitionId: ids[2]!, batches: [plainRecords(3)] }]);
    const changed = await world.fetchRaw({ sessionId, sessionEpoch: 2, maxBytes: 1_000_000 });
    expect(partitionsIn(changed)).toEqual([2]);
    const [partition] = changed.responses[0]!.partitions;
    expect(partition).toMatchObject({ errorCode: 0, highWatermark: 3n, logStartOffset: 0n });
    expect(partition!.records).toEqual(world.expected(ids[2]!, 0)[0]!.bytes);
    // The consumer has taken them, and moves on.
    const moved = { ...fetchOf([2], [0, 0, 3]), sessionId, sessionEpoch: 3 };
    expect((await world.fetchRaw(moved)).responses).toEqual([]);
    world.advanceLogStart(ids[2]!, 2);
    const start = await world.fetchRaw({ sessionId, sessionEpoch: 4, maxBytes: 1_000_000 });
    expect(start.responses[0]!.partitions).toMatchObject([
      { partitionIndex: 2, logStartOffset: 2n },
    ]);
  });

  it('hears of a moved high watermark also where there was no room for its records', async () => {
    const ids = world.createTopic('t', 2);
    const sessionId = await begin([0, 1]);
    await world.commit(ids.map((partitionId) => ({ partitionId, batches: [plainRecords(2)] })));
    const request = { sessionId, maxBytes: 1 };
    const first = await world.fetchRaw({ ...request, sessionEpoch: 1 });
    expect(first.responses[0]!.partitions.map(({ highWatermark }) => highWatermark)).toEqual([
      2n,
      2n,
    ]);
    expect(first.responses[0]!.partitions[1]!.records).toHaveLength(0);
    // The other one's turn; what is known of the first has not changed.
    const advanced = { ...fetchOf([0], [2]), ...request, sessionEpoch: 2 };
    const second = await world.fetchRaw(advanced);
    expect(partitionsIn(second)).toEqual([1]);
    expect(second.responses[0]!.partitions[0]!.records!.length).toBeGreaterThan(0);
  });

  it('hears of an error every time, and that it has gone', async () => {
    const ids = world.createTopic('t', 2);
    await world.commit([{ partitionId: ids[1]!, batches: [plainRecords(5)] }]);
    const sessionId = await begin([0, 1], [0, 77]);
    for (const sessionEpoch of [1, 2]) {
      const response = await world.fetchRaw({ sessionId, sessionEpoch });
      expect(response.responses[0]!.partitions).toMatchObject([
        { partitionIndex: 1, errorCode: errorCodes.OFFSET_OUT_OF_RANGE },
      ]);
    }
    const healed = { ...fetchOf([1], [0, 5]), sessionId, sessionEpoch: 3 };
    expect((await world.fetchRaw(healed)).responses[0]!.partitions).toMatchObject([
      { partitionIndex: 1, errorCode: 0, highWatermark: 5n },
    ]);
    const calm = await world.fetchRaw({ sessionId, sessionEpoch: 4 });
    expect(calm.responses).toEqual([]);
  });

  it('speaks of an unknown topic as of any error, until it is there', async () => {
    const sessionId = await begin([0]);
    const unknown = await world.fetchRaw({ sessionId, sessionEpoch: 1, ...forever });
    expect(unknown.responses[0]!.partitions).toMatchObject([
      { errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION },
    ]);
    world.createTopic('t');
    const known = await world.fetchRaw({ sessionId, sessionEpoch: 2 });
    expect(known.responses[0]!.partitions).toMatchObject([{ errorCode: 0, highWatermark: 0n }]);
  });

  it('adds partitions and forgets others', async () => {
    const ids = world.createTopic('t', 3);
    const sessionId = await begin([0, 1]);
    const response = await world.fetchRaw({
      ...fetchOf([2]),
      sessionId,
      sessionEpoch: 1,
      forgottenTopicsData: [{ topic: 't', partitions: [0, 7] }],
    });
    expect(partitionsIn(response)).toEqual([2]);
    const pending = world.fetchRaw({ sessionId, sessionEpoch: 2, minBytes: 1, ...forever });
    await untilWaiting();
    await world.commit([{ partitionId: ids[0]!, batches: [plainRecords(1)] }]);
    await world.commit([{ partitionId: ids[2]!, batches: [plainRecords(1)] }]);
    expect(partitionsIn(await pending)).toEqual([2]);
  });
});

describe('a waiting session', () => {
  it('costs nothing until one of its partitions is written', async () => {
    const ids = world.createTopic('t', 32);
    const [other] = world.createTopic('other');
    const sessionId = await begin(ids.map((_, index) => index));
    const before = { barriers: world.barriers, lookups: world.lookups.length };
    const pending = world.fetchRaw({
      sessionId,
      sessionEpoch: 1,
      minBytes: 1,
      maxBytes: 1e6,
      ...forever,
    });
    await untilWaiting();
    await world.commit([{ partitionId: other!, batches: [plainRecords(1)] }]);
    await world.commit([{ partitionId: ids[31]!, batches: [plainRecords(2)] }]);
    const response = await pending;
    expect(partitionsIn(response)).toEqual([31]);
    expect(response.responses[0]!.partitions[0]!.records!.length).toBeGreaterThan(0);
    expect(world.barriers - before.barriers).toBe(1);
    expect(world.lookups.length - before.lookups).toBe(0);
    expect(world.countOf('fetch_long_polls_total')).toBe(1);
  });

  it('is answered at once when one partition is hot among 31 idle ones', async () => {
    const ids = world.createTopic('t', 32);
    const sessionId = await begin(ids.map((_, index) => index));
    await world.commit([{ partitionId: ids[17]!, batches: [plainRecords(2)] }]);
    const response = await world.fetchRaw({
      sessionId,
      sessionEpoch: 1,
      maxBytes: 1e6,
      ...forever,
    });
    expect(partitionsIn(response)).toEqual([17]);
    expect(world.countOf('fetch_long_polls_total')).toBe(0);
  });

  it('whose connection goes away ends; the next request of the session is out of step', async () => {
    world.createTopic('t');
    const sessionId = await begin([0]);
    const controller = new AbortController();
    const { signal } = controller;
    const pending = world.fetchRaw({ sessionId, sessionEpoch: 1, ...forever }, 12, { signal });
    await untilWaiting();
    controller.abort();
    await expect(pending).rejects.toMatchObject({ code: 'NO_RESPONSE' });
    const again = await world.fetchRaw({ sessionId, sessionEpoch: 1 });
    expect(again.errorCode).toBe(errorCodes.INVALID_FETCH_SESSION_EPOCH);
    // FetchSessionHandler then closes it and begins another.
    const anew = await world.fetchRaw({ ...fetchOf([0]), sessionId, sessionEpoch: 0 });
    expect(anew.sessionId).not.toBe(sessionId);
    expect(partitionsIn(anew)).toEqual([0]);
  });

  it('that another request overtakes says nothing of a state that has moved on', async () => {
    const [partitionId] = world.createTopic('t');
    const sessionId = await begin([0]);
    const pending = world.fetchRaw({ sessionId, sessionEpoch: 1, maxBytes: 1e6, ...forever });
    await untilWaiting();
    await world.fetchRaw({ sessionId, sessionEpoch: 2 });
    await world.commit([{ partitionId: partitionId!, batches: [plainRecords(1)] }]);
    expect(await pending).toMatchObject({
      errorCode: errorCodes.INVALID_FETCH_SESSION_EPOCH,
      responses: [],
    });
  });
});

describe('a session ends', () => {
  it('when the client closes it', async () => {
    world.createTopic('t');
    const sessionId = await begin([0]);
    const closed = await world.fetchRaw({ ...fetchOf([0]), sessionId, sessionEpoch: -1 });
    expect(closed).toMatchObject({ errorCode: 0, sessionId: 0 });
    expect(partitionsIn(closed)).toEqual([0]);
    const after = await world.fetchRaw({ sessionId, sessionEpoch: 1 });
    expect(after.errorCode).toBe(errorCodes.FETCH_SESSION_ID_NOT_FOUND);
  });

  it('when nothing is left of it', async () => {
    world.createTopic('t');
    const sessionId = await begin([0]);
    const forgottenTopicsData = [{ topic: 't', partitions: [0] }];
    const last = await world.fetchRaw({ sessionId, sessionEpoch: 1, forgottenTopicsData });
    expect(last).toMatchObject({ errorCode: 0, sessionId: 0, responses: [] });
    const after = await world.fetchRaw({ sessionId, sessionEpoch: 2 });
    expect(after.errorCode).toBe(errorCodes.FETCH_SESSION_ID_NOT_FOUND);
  });

  it('when its connection comes to another fetch node', async () => {
    world.createTopic('t');
    const sessionId = await begin([0]);
    const other = createFetchService(world.fetchOptions);
    const moved = Object.assign(Object.create(world) as World, { fetch: other });
    const response = await moved.fetchRaw({ sessionId, sessionEpoch: 1 });
    expect(response.errorCode).toBe(errorCodes.FETCH_SESSION_ID_NOT_FOUND);
    const anew = await moved.fetchRaw({ ...fetchOf([0]), sessionId, sessionEpoch: 0 });
    expect(partitionsIn(anew)).toEqual([0]);
    expect(anew.sessionId).toBeGreaterThan(0);
    other.close();
  });
});

describe('without a session', () => {
  it('are requests older than version 7', async () => {
    world.createTopic('t');
    const response = await world.fetchRaw(fetchOf([0]), 6);
    expect(response.responses[0]!.partitions).toHaveLength(1);
  });

  it('are those for which there is no room: they name and hear everything', async () => {
    const full = await World.open({ fetchSessionsMax: 2, fetchSessionPartitionsMax: 3 });
    full.createTopic('t', 4);
    const create = async (partitions: number[]): Promise<FetchResponse> => {
      const response = await full.fetchRaw({ ...fetchOf(partitions), sessionEpoch: 0 });
      expect(partitionsIn(response)).toEqual(partitions);
      return response;
    };
    expect((await create([0, 1, 2, 3])).sessionId).toBe(0);
    const { sessionId } = await create([0, 1]);
    expect(sessionId).toBeGreaterThan(0);
    expect((await create([0, 1])).sessionId).toBe(0);
    expect((await create([0])).sessionId).toBeGreaterThan(0);
    expect((await create([0])).sessionId).toBe(0);
    // One that grows beyond the bound has to begin anew.
    const grown = await full.fetchRaw({ ...fetchOf([2]), sessionId, sessionEpoch: 1 });
    expect(grown.errorCode).toBe(errorCodes.FETCH_SESSION_ID_NOT_FOUND);
    expect((await create([0, 1])).sessionId).toBeGreaterThan(0);
    await full.close();
  });
});

it('a consumer with a session reads all partitions in turn, however little fits', async () => {
  const ids = world.createTopic('t', 5);
  for (let round = 0; round < 6; round++) {
    await world.commit(
      ids.map((partitionId) => ({ partitionId, batches: [plainRecords(3, 300)] })),
    );
  }
  const client = new SessionClient(world, 't', ids.length);
  const served: number[] = [];
  for (let fetch = 0; fetch < 30; fetch++) served.push(...(await client.fetch({ maxBytes: 1 })));
  // One batch of one partition each time, and nobody gets a second before all have had a first.
  for (let round = 0; round < 6; round++) {
    expect(new Set(served.slice(round * 5, round * 5 + 5)).size).toBe(5);
  }
  expect(await client.fetch({ maxBytes: 1 })).toEqual([]);
  for (const [index, partitionId] of ids.entries()) {
    const log = Buffer.concat(world.expected(partitionId, 0).map(({ bytes }) => bytes));
    expect(client.log(index).equals(log)).toBe(true);
  }
});

describe('the cache, full', () => {
  let nowMs = 0;
  let evicted = 0;
  const cacheOf = (sessionsMax: number): SessionCache =>
    new SessionCache({
      limits: { sessionsMax, partitionsMax: 100, evictionMs: 100 },
      clock: { monotonicMs: () => nowMs, wallMs: () => 0 },
      onEvicted: () => evicted++,
    });
  const create = (cache: SessionCache, size: number): number => {
    const session = cache.create(size, false);
    if (session === undefined) return 0;
    for (let partition = 0; partition < size; partition++) {
      session.put({ topic: 't', topicId: '', requested: { partition } as never });
    }
    cache.touch(session);
    return session.id;
  };

  beforeEach(() => {
    nowMs = 0;
    evicted = 0;
  });

  it('gives up one that was not used for longer than the time, not for as long', () => {
    const cache = cacheOf(1);
    create(cache, 5);
    nowMs = 100;
    expect(create(cache, 1)).toBe(0);
    nowMs = 101;
    expect(create(cache, 1)).toBeGreaterThan(0);
    expect(evicted).toBe(1);
  });

  it('gives up a smaller one that has lived for longer than the time, the smallest first', () => {
    const cache = cacheOf(2);
    const ids = [create(cache, 2), create(cache, 3)];
    nowMs = 60;
    for (const id of ids) cache.touch(cache.get(id)!);
    nowMs = 100;
    for (const id of ids) cache.touch(cache.get(id)!);
    expect(create(cache, 9)).toBe(0);
    nowMs = 101;
    for (const id of ids) cache.touch(cache.get(id)!);
    expect(create(cache, 2)).toBe(0);
    expect(create(cache, 3)).toBeGreaterThan(0);
    expect([cache.get(ids[0]!), cache.get(ids[1]!)?.size]).toEqual([undefined, 3]);
  });

  it('gives up that of the smaller id among equals', () => {
    const cache = cacheOf(2);
    const ids = [create(cache, 2), create(cache, 2)];
    for (nowMs of [60, 101]) for (const id of ids) cache.touch(cache.get(id)!);
    expect(create(cache, 3)).toBeGreaterThan(0);
    expect(cache.get(Math.min(...ids))).toBeUndefined();
    expect(cache.get(Math.max(...ids))).toBeDefined();
  });
});
