import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  apis,
  errorCodes,
  listOffsetsRequest,
  listOffsetsResponse,
  segmentKey,
} from '@kafscale/codec';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BatchSpec, World } from './world.js';

const mebibyte = 1 << 20;
let world: World;
let partitionId: number;

/** 16 batches of 300 kB, one record each, in one extent: 6 parts of three batches. */
beforeEach(async () => {
  world = await World.open();
  [partitionId] = world.createTopic('t') as [number];
  for (let index = 0; index < 16; index += 1) {
    await world.commit([{ partitionId, batches: [batchAt(1000 - (index % 5) + index)] }]);
  }
  const range = await world.compact(partitionId);
  world.emit({ kind: 'swapped', ranges: [range] });
});

afterEach(() => world.close());

function batchAt(timestampMs: number): BatchSpec {
  return { records: [{ timestampMs, value: Buffer.alloc(300_000, 97) }] };
}

function path(): string {
  const { segmentId } = world.model(partitionId).rows[0]!;
  return join(fileURLToPath(world.store.url), segmentKey(segmentId));
}

async function rewrite(change: (bytes: Buffer) => Buffer): Promise<void> {
  const bytes = change(await readFile(path()));
  await rm(path());
  await writeFile(path(), bytes);
}

async function fetchAt(offset: number) {
  const answers = await world.fetchPartitions('t', [{ partition: 0, offset }]);
  return answers.get(0)!;
}

async function listOffset(timestamp: number): Promise<{ errorCode: number; offset: number }> {
  const partitions = [{ partitionIndex: 0, timestamp: BigInt(timestamp), currentLeaderEpoch: -1 }];
  const request = { replicaId: -1, topics: [{ name: 't', partitions }] };
  const body = Buffer.concat(listOffsetsRequest.encode(request, 9));
  const reply = await world.call(apis.listOffsets.key, 9, body);
  if (reply.kind !== 'response') throw new Error(reply.kind);
  const response = listOffsetsResponse.decode(Buffer.concat(reply.chunks), 9);
  const { errorCode, offset } = response.topics[0]!.partitions[0]!;
  return { errorCode, offset: Number(offset) };
}

describe('a large extent', () => {
  it('is read where the offset is, and no further than wanted', async () => {
    const answer = await fetchAt(7);
    const [first] = world.expected(partitionId, 7);
    expect(answer.records!.subarray(0, first!.bytes.length).equals(first!.bytes)).toBe(true);
    expect(world.reads.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(2 * mebibyte);
    expect(world.reads[0]!.position).toBe(world.expected(partitionId, 0)[0]!.bytes.length * 6);
    expect(world.tailReads).toHaveLength(1);
  });

  it('is read once by whoever walks it, with its footer', async () => {
    for (let offset = 0; offset < 16;) {
      const { records } = await fetchAt(offset);
      const [first] = world.expected(partitionId, offset);
      expect(records!.subarray(0, first!.bytes.length).equals(first!.bytes)).toBe(true);
      offset += Math.round(records!.length / first!.bytes.length);
    }
    const bytes = world.expected(partitionId, 0).reduce((sum, each) => sum + each.bytes.length, 0);
    expect(world.reads.reduce((sum, { length }) => sum + length, 0)).toBe(bytes);
    expect(world.reads.length).toBeLessThanOrEqual(6);
    expect(world.tailReads).toHaveLength(1);
    expect(world.lookups.length).toBeLessThanOrEqual(2);
  });

  it('is searched by time in the part that has it', async () => {
    const times = world.model(partitionId).batches.map((_, index) => 1000 - (index % 5) + index);
    for (const time of [0, 1000, 1004, 1007, 1009, 1010]) {
      const offset = times.findIndex((each) => each >= time);
      expect(await listOffset(time)).toEqual({ errorCode: 0, offset });
    }
    expect(await listOffset(-3)).toEqual({
      errorCode: 0,
      offset: times.indexOf(Math.max(...times)),
    });
    expect(await listOffset(2000)).toEqual({ errorCode: 0, offset: -1 });
  });

  it('is searched in its part only', async () => {
    await listOffset(-3);
    expect(world.reads).toHaveLength(1);
    expect(world.reads[0]!.length).toBeLessThanOrEqual(mebibyte);
  });

  it('is read as a whole when its footer is damaged', async () => {
    await rewrite((bytes) => {
      bytes[bytes.length - 20]! ^= 1;
      return bytes;
    });
    const answer = await fetchAt(7);
    expect(answer.errorCode).toBe(0);
    expect(answer.records!.readBigInt64BE(0)).toBe(7n);
    expect(world.reads).toHaveLength(1);
    expect(world.reads[0]!.length).toBe(world.model(partitionId).rows[0]!.length);
  });

  it('fails where it is damaged, and nowhere else', async () => {
    const batchBytes = world.expected(partitionId, 0)[0]!.bytes.length;
    await rewrite((bytes) => {
      bytes[batchBytes * 7 + 100]! ^= 1;
      return bytes;
    });
    expect((await fetchAt(7)).errorCode).toBe(errorCodes.KAFKA_STORAGE_ERROR);
    expect((await fetchAt(3)).errorCode).toBe(0);
    expect((await fetchAt(9)).errorCode).toBe(0);
  });

  it('that is lost is an error, said once', async () => {
    await rm(path());
    for (let attempt = 0; attempt < 3; attempt += 1) {
      expect((await fetchAt(7)).errorCode).toBe(errorCodes.KAFKA_STORAGE_ERROR);
    }
    expect(world.logLines.filter(({ level }) => level === 'error')).toHaveLength(1);
    expect(await listOffset(1004)).toMatchObject({ errorCode: errorCodes.KAFKA_STORAGE_ERROR });
  });
});

describe('a search by time', () => {
  it('follows the index when the object that it was sent to has been replaced', async () => {
    for (let round = 0; round < 2; round += 1) {
      world.beforeRead = async () => {
        world.beforeRead = () => Promise.resolve();
        await world.compact(partitionId);
        await world.collectGarbage();
      };
      expect(await listOffset(1007)).toEqual({ errorCode: 0, offset: 10 });
      expect(await listOffset(-3)).toEqual({ errorCode: 0, offset: 15 });
    }
    expect(world.logLines).toEqual([]);
  });
});
