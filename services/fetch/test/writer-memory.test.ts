import { apis, fetchRequest, fetchResponse, segmentKey } from '@kafscale/codec';
import type { RecentSegmentView } from '@kafscale/cluster';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { RecentSegmentReader } from '../src/blocks/segment-source.js';
import { plainRecords, World } from './world.js';

/** A writer in the same process: segments in memory, cut into pieces where the test says. */
class Writer implements RecentSegmentReader {
  readonly memory = new Map<string, Buffer>();
  /** Offsets in the object at which another memory begins. */
  cuts: readonly number[] = [];
  readonly open = new Set<() => void>();
  copies = 0;

  readRecentSegment(): Promise<Buffer | null> {
    this.copies++;
    return Promise.resolve(null);
  }

  viewRecentSegment(segmentId: string, onWanted: () => void): RecentSegmentView | null {
    const object = this.memory.get(segmentId);
    if (object === undefined) return null;
    this.open.add(onWanted);
    return {
      pieces: (position, length) => {
        const end = position + length;
        const bounds = [position, ...this.cuts.filter((at) => at > position && at < end), end];
        return bounds.slice(1).map((to, index) => object.subarray(bounds[index], to));
      },
      release: () => {
        expect(this.open.delete(onWanted)).toBe(true);
      },
    };
  }
}

let world: World;
let writer: Writer;

beforeEach(async () => {
  writer = new Writer();
  world = await World.open({}, (nodeId) => (nodeId === 7 ? writer : undefined));
});

afterEach(async () => {
  await world.close();
});

/** Commits and puts the object into the writer's memory. */
async function commit(partitionId: number, valueBytes: number, batchCount: number): Promise<void> {
  const batches = Array.from({ length: batchCount }, () => plainRecords(1, valueBytes));
  const segmentId = await world.commit([{ partitionId, batches }]);
  const { sizeBytes } = await world.store.readTail(segmentKey(segmentId), 1);
  writer.memory.set(segmentId, await world.store.read(segmentKey(segmentId), 0, sizeBytes));
}

async function fetchChunks(offset: number) {
  const partitions = [{ partition: 0, fetchOffset: BigInt(offset), partitionMaxBytes: 1_048_576 }];
  const request = { minBytes: 1, maxBytes: 52_428_800, topics: [{ topic: 't', partitions }] };
  const body = Buffer.concat(fetchRequest.encode(request, 12));
  const reply = await world.call(apis.fetch.key, 12, body);
  if (reply.kind !== 'response') throw new Error(reply.kind);
  return reply;
}

it("serves the writer's own memory, without a copy, a read or a lookup", async () => {
  const [p0] = world.createTopic('t');
  await commit(p0!, 10_000, 3);
  const row = world.model(p0!).rows[0]!;
  writer.cuts = world.expected(p0!, 0).map((_, index) => (index + 1) * (row.length / 3));
  const reply = await fetchChunks(0);
  const { buffer } = [...writer.memory.values()][0]!;
  const views = reply.chunks.filter((chunk) => chunk.buffer === buffer);
  expect(views.reduce((sum, { length }) => sum + length, 0)).toBe(row.length);
  expect(Buffer.concat(reply.chunks).includes(world.expected(p0!, 0)[0]!.bytes)).toBe(true);
  const { responses } = fetchResponse.decode(Buffer.concat(reply.chunks), 12);
  const expected = Buffer.concat(world.expected(p0!, 0).map((batch) => batch.bytes));
  expect(responses[0]!.partitions[0]!.records).toEqual(expected);
  // From the middle: within a piece, and across pieces.
  expect((await world.fetchPartitions('t', [{ partition: 0, offset: 1 }])).get(0)!.records).toEqual(
    Buffer.concat(world.expected(p0!, 1).map((batch) => batch.bytes)),
  );
  expect([world.reads, world.lookups, writer.copies]).toEqual([[], [], 0]);
});

it('lets go of it when the writer wants it back, as soon as responses have left', async () => {
  const [p0] = world.createTopic('t');
  await commit(p0!, 10_000, 1);
  const reply = await fetchChunks(0);
  expect(writer.open.size).toBe(1);
  writer.memory.clear();
  for (const onWanted of writer.open) onWanted();
  expect(writer.open.size).toBe(1);
  reply.release?.();
  expect(writer.open.size).toBe(0);
  // It is loaded anew for the next reader, from the store.
  await world.fetchPartitions('t', [{ partition: 0, offset: 0 }]);
  expect(world.reads).toHaveLength(1);
});

it('copies what lies in pieces too small to be sent one by one', async () => {
  const [p0] = world.createTopic('t');
  await commit(p0!, 100, 4);
  const row = world.model(p0!).rows[0]!;
  writer.cuts = [1, 2, 3].map((batch) => (batch * row.length) / 4);
  await world.fetchPartitions('t', [{ partition: 0, offset: 0 }]);
  expect(writer.open.size).toBe(0);
  expect(writer.copies).toBe(1);
});

it('does not serve from memory what is damaged there', async () => {
  const [p0] = world.createTopic('t');
  await commit(p0!, 10_000, 1);
  for (const object of writer.memory.values()) object[100]! ^= 1;
  const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 0 }]);
  expect(answers.get(0)!.records).toEqual(world.expected(p0!, 0)[0]!.bytes);
  expect(writer.open.size).toBe(0);
  expect(world.reads).toHaveLength(1);
});
