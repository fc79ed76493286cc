import {
  apis,
  errorCodes,
  offsetForLeaderEpochRequest,
  offsetForLeaderEpochResponse,
} from '@kafscale/codec';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { plainRecords, World } from './world.js';

let world: World;

beforeEach(async () => {
  world = await World.open();
});

afterEach(async () => {
  await world.close();
});

async function endOfEpoch(
  leaderEpoch: number,
  currentLeaderEpoch = -1,
  partition = 0,
): Promise<readonly [errorCode: number, epoch: number, endOffset: bigint]> {
  const version = 4;
  const partitions = [{ partition, currentLeaderEpoch, leaderEpoch }];
  const request = { replicaId: -1, topics: [{ topic: 't', partitions }] };
  const body = Buffer.concat(offsetForLeaderEpochRequest.encode(request, version));
  const reply = await world.call(apis.offsetForLeaderEpoch.key, version, body);
  if (reply.kind !== 'response') throw new Error(reply.kind);
  const response = offsetForLeaderEpochResponse.decode(Buffer.concat(reply.chunks), version);
  const answer = response.topics[0]!.partitions[0]!;
  return [answer.errorCode, answer.leaderEpoch, answer.endOffset];
}

it('ends the current epoch at the end of the log, and no other', async () => {
  const [p0] = world.createTopic('t', 1, 5);
  await world.commit([{ partitionId: p0!, batches: [plainRecords(3)] }]);
  expect(await endOfEpoch(5)).toEqual([0, 5, 3n]);
  expect(await endOfEpoch(5, 5)).toEqual([0, 5, 3n]);
  expect(await endOfEpoch(6)).toEqual([0, -1, -1n]);
  expect(await endOfEpoch(-1)).toEqual([0, -1, -1n]);
});

it('ends an earlier epoch where the next one began', async () => {
  const starts = [
    { leaderEpoch: 1, startOffset: 2 },
    { leaderEpoch: 4, startOffset: 3 },
  ];
  const [p0] = world.createTopic('t', 1, 4, starts);
  await world.commit([{ partitionId: p0!, batches: [plainRecords(5)] }]);
  expect(await endOfEpoch(0)).toEqual([0, 0, 2n]);
  expect(await endOfEpoch(1)).toEqual([0, 1, 3n]);
  // Epochs 2 and 3 never were: the one before them, as LeaderEpochFileCache.endOffsetFor.
  expect(await endOfEpoch(2)).toEqual([0, 1, 3n]);
  expect(await endOfEpoch(3)).toEqual([0, 1, 3n]);
  expect(await endOfEpoch(4)).toEqual([0, 4, 5n]);
  expect(await endOfEpoch(5)).toEqual([0, -1, -1n]);
  expect(await endOfEpoch(-1)).toEqual([0, -1, -1n]);
});

it('refuses clients with another idea of the current epoch', async () => {
  world.createTopic('t', 1, 5);
  expect(await endOfEpoch(5, 4)).toEqual([errorCodes.FENCED_LEADER_EPOCH, -1, -1n]);
  expect(await endOfEpoch(5, 6)).toEqual([errorCodes.UNKNOWN_LEADER_EPOCH, -1, -1n]);
  expect(await endOfEpoch(5, 5, 1)).toEqual([errorCodes.UNKNOWN_TOPIC_OR_PARTITION, -1, -1n]);
});
