import { apis, errorCodes, listOffsetsRequest, listOffsetsResponse } from '@kafscale/codec';
import { OperatingError } from '@kafscale/core';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BatchSpec, plainRecords, World } from './world.js';

let world: World;

beforeEach(async () => {
  world = await World.open();
});

afterEach(async () => {
  await world.close();
});

interface Answer {
  readonly errorCode: number;
  readonly offset: bigint;
  readonly timestamp: bigint;
  readonly leaderEpoch: number;
}

async function listOffset(
  timestamp: bigint | number,
  options: { version?: number; partition?: number; topic?: string; epoch?: number } = {},
): Promise<Answer> {
  const { version = 9, partition = 0, topic = 't', epoch = -1 } = options;
  const partitions = [
    { partitionIndex: partition, timestamp: BigInt(timestamp), currentLeaderEpoch: epoch },
  ];
  const request = { replicaId: -1, topics: [{ name: topic, partitions }] };
  const body = Buffer.concat(listOffsetsRequest.encode(request, version));
  const reply = await world.call(apis.listOffsets.key, version, body);
  if (reply.kind !== 'response') throw new Error(reply.kind);
  const response = listOffsetsResponse.decode(Buffer.concat(reply.chunks), version);
  const {
    errorCode,
    offset,
    leaderEpoch,
    timestamp: answered,
  } = response.topics[0]!.partitions[0]!;
  return { errorCode, offset, timestamp: answered, leaderEpoch };
}

function at(...timestamps: number[]): BatchSpec {
  return { records: timestamps.map((timestampMs) => ({ timestampMs, value: Buffer.from('v') })) };
}

const none = { errorCode: 0, offset: -1n, timestamp: -1n, leaderEpoch: -1 };

function found(offset: number, timestamp: number, leaderEpoch = 0): Answer {
  return { errorCode: 0, offset: BigInt(offset), timestamp: BigInt(timestamp), leaderEpoch };
}

describe('the ends of the log', () => {
  it('are the log start and the high watermark, with the leader epoch', async () => {
    const [p0] = world.createTopic('t', 1, 4);
    await world.commit([{ partitionId: p0!, batches: [plainRecords(3)] }]);
    await world.commit([{ partitionId: p0!, batches: [plainRecords(3)] }]);
    world.advanceLogStart(p0!, 2);
    expect(await listOffset(-1)).toEqual(found(6, -1, 4));
    expect(await listOffset(-2)).toEqual(found(2, -1, 4));
    expect(await listOffset(-4)).toEqual(found(2, -1, 4));
    expect(await listOffset(-5)).toEqual(none);
    for (let version = 1; version <= 9; version++) {
      expect((await listOffset(-1, { version })).offset).toBe(6n);
    }
  });

  it.each([
    [-3, 6, 7],
    [-4, 7, 8],
    [-5, 8, 9],
    [-6, 9, 11],
    [-7, 9, 99],
  ])('timestamp %i is unsupported in version %i', async (timestamp, version) => {
    world.createTopic('t');
    expect((await listOffset(timestamp, { version })).errorCode).toBe(
      errorCodes.UNSUPPORTED_VERSION,
    );
  });
});

describe('a time', () => {
  it('is found to the record, over extents and batches', async () => {
    const [p0] = world.createTopic('t');
    await world.commit([{ partitionId: p0!, batches: [at(10, 20), at(30, 40)] }]);
    await world.commit([{ partitionId: p0!, batches: [at(50, 60, 70)] }]);
    const offsets = [
      [0, 0, 10],
      [10, 0, 10],
      [11, 1, 20],
      [25, 2, 30],
      [40, 3, 40],
      [41, 4, 50],
      [61, 6, 70],
      [70, 6, 70],
    ] as const;
    for (const [wanted, offset, timestamp] of offsets) {
      expect(await listOffset(wanted)).toEqual(found(offset, timestamp));
    }
    expect(await listOffset(71)).toEqual(none);
    expect(await listOffset(2n ** 62n)).toEqual(none);
  });

  it('is found among timestamps out of order: the first in offset order', async () => {
    const [p0] = world.createTopic('t');
    await world.commit([{ partitionId: p0!, batches: [at(50, 10, 90), at(20, 60)] }]);
    await world.commit([{ partitionId: p0!, batches: [at(5), at(100, 30)] }]);
    expect(await listOffset(0)).toEqual(found(0, 50));
    expect(await listOffset(51)).toEqual(found(2, 90));
    expect(await listOffset(91)).toEqual(found(6, 100));
    expect(await listOffset(101)).toEqual(none);
    expect(await listOffset(-3)).toEqual(found(6, 100));
  });

  it.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)('is found within %s', async (compression) => {
    const [p0] = world.createTopic('t');
    await world.commit([
      { partitionId: p0!, batches: [{ ...at(10, 20, 30, 40), compression }, at(50)] },
    ]);
    expect(await listOffset(21)).toEqual(found(2, 30));
    expect(await listOffset(45)).toEqual(found(4, 50));
  });

  it('is not found below the log start', async () => {
    const [p0] = world.createTopic('t');
    await world.commit([{ partitionId: p0!, batches: [at(90, 10, 20), at(30)] }]);
    await world.commit([{ partitionId: p0!, batches: [at(95)] }]);
    world.advanceLogStart(p0!, 1);
    expect(await listOffset(10)).toEqual(found(1, 10));
    expect(await listOffset(31)).toEqual(found(4, 95));
    expect(await listOffset(96)).toEqual(none);
  });

  it('goes on when a producer claimed a greater timestamp than it sent', async () => {
    const [p0] = world.createTopic('t');
    await world.commit([{ partitionId: p0!, batches: [at(10), at(20)] }]);
    await world.commit([{ partitionId: p0!, batches: [at(15)] }]);
    await world.commit([{ partitionId: p0!, batches: [at(70)] }]);
    const { rows } = world.model(p0!);
    rows[0] = { ...rows[0]!, maxTimestampMs: 60 };
    rows[1] = { ...rows[1]!, maxTimestampMs: 65 };
    expect(await listOffset(50)).toEqual(found(3, 70));
  });

  it('is the append time of all records where the topic says so', async () => {
    const [p0] = world.createTopic('t');
    const batch = { ...at(1, 2, 3), appendTimeMs: 10 };
    await world.commit([{ partitionId: p0!, batches: [batch] }]);
    expect(await listOffset(5)).toEqual(found(0, 10));
    world.advanceLogStart(p0!, 2);
    expect(await listOffset(5)).toEqual(found(2, 10));
    expect(await listOffset(-3)).toEqual(found(2, 10));
  });

  it('takes the first of several records with the greatest timestamp', async () => {
    const [p0] = world.createTopic('t');
    await world.commit([{ partitionId: p0!, batches: [at(10), at(80, 90, 90), at(90)] }]);
    await world.commit([{ partitionId: p0!, batches: [at(90)] }]);
    expect(await listOffset(-3)).toEqual(found(2, 90));
  });

  it('is nowhere in an empty log', async () => {
    world.createTopic('t');
    expect(await listOffset(0)).toEqual(none);
    expect(await listOffset(-3)).toEqual(none);
  });
});

describe('errors', () => {
  it('knows no partition that is not there, and fences epochs', async () => {
    world.createTopic('t', 1, 2);
    expect((await listOffset(-1, { partition: 1 })).errorCode).toBe(3);
    expect((await listOffset(-1, { topic: 'nope' })).errorCode).toBe(3);
    expect((await listOffset(-1, { epoch: 1 })).errorCode).toBe(errorCodes.FENCED_LEADER_EPOCH);
    expect((await listOffset(-1, { epoch: 3 })).errorCode).toBe(errorCodes.UNKNOWN_LEADER_EPOCH);
    expect((await listOffset(-1, { epoch: 2 })).errorCode).toBe(0);
  });

  it('says nothing without a read index', async () => {
    world.createTopic('t');
    world.beforeBarrier = () => Promise.reject(new OperatingError('OWNER_UNREACHABLE', 'no'));
    expect(await listOffset(-1)).toMatchObject({
      errorCode: errorCodes.NOT_LEADER_OR_FOLLOWER,
      offset: -1n,
    });
  });

  it('refuses a partition that is named twice', async () => {
    world.createTopic('t', 2);
    const partitions = [0, 1, 0].map((partitionIndex) => ({ partitionIndex, timestamp: -1n }));
    const request = { replicaId: -1, topics: [{ name: 't', partitions }] };
    const body = Buffer.concat(listOffsetsRequest.encode(request, 7));
    const reply = await world.call(apis.listOffsets.key, 7, body);
    if (reply.kind !== 'response') throw new Error(reply.kind);
    const response = listOffsetsResponse.decode(Buffer.concat(reply.chunks), 7);
    const codes = response.topics[0]!.partitions.map(({ errorCode }) => errorCode);
    expect(codes).toEqual([errorCodes.INVALID_REQUEST, 0, errorCodes.INVALID_REQUEST]);
  });

  it('says so when records do not decode', async () => {
    const [p0] = world.createTopic('t');
    await world.commit([{ partitionId: p0!, batches: [{ ...at(1, 2), isGarbage: true }] }]);
    expect((await listOffset(1)).errorCode).toBe(errorCodes.CORRUPT_MESSAGE);
  });
});
