import { randomUUID } from 'node:crypto';
import { OperatingError } from '@kafscale/core';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { FetchLimits } from '../src/index.js';
import { chooseOwner } from '../src/owners/choose-owner.js';
import { FetchNodes } from './fetch-nodes.js';
import { plainRecords, World } from './world.js';

const segmentCount = 12;
const partitionCount = 4;
const closing: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** Twelve segments, each with records of all four partitions. */
async function worldOfSegments(): Promise<World> {
  // The tail of an index is read by a class of its own: here it does not matter.
  const world = await World.open();
  closing.push(() => world.close());
  const partitionIds = world.createTopic('t', partitionCount);
  for (let segment = 0; segment < segmentCount; segment++) {
    const extents = partitionIds.map((partitionId) => {
      return { partitionId, batches: [plainRecords(3, 200, segment), plainRecords(2, 500)] };
    });
    await world.commit(extents);
  }
  return world;
}

async function nodesOf(
  world: World,
  nodeIds: readonly number[],
  limits: Partial<FetchLimits> = {},
): Promise<FetchNodes> {
  // A machine that is busy is no owner that does not answer.
  const cluster = await FetchNodes.start(world, nodeIds, {
    ownerReadTimeoutMs: 60_000,
    ...limits,
  });
  closing.push(() => cluster.close());
  return cluster;
}

/** Bytes of segments that were read from the store more than once. */
function bytesReadAgain(world: World): number {
  const bytes = new Map<string, Uint8Array>();
  let again = 0;
  for (const { key, position, length } of world.reads) {
    const seen = bytes.get(key) ?? new Uint8Array(1 << 20);
    bytes.set(key, seen);
    for (let at = position; at < position + length; at++) again += seen[at]!++ > 0 ? 1 : 0;
  }
  return again;
}

describe.each([[[11, 12]], [[11, 12, 13]]])('of fetch nodes %j', (nodeIds) => {
  it('a block is read once, by however many nodes and readers it is wanted', async () => {
    const world = await worldOfSegments();
    const cluster = await nodesOf(world, nodeIds);
    const readers = cluster.nodes.flatMap((node) => [1, 2, 3].map((reader) => ({ node, reader })));
    await Promise.all(
      readers.map(({ node, reader }) => node.readAll(world, 't', `reader ${reader}`)),
    );
    expect(world.reads).toHaveLength(segmentCount);
    expect(bytesReadAgain(world)).toBe(0);
    expect(cluster.sum('fetch_store_reads_total')).toBe(segmentCount);
    expect(cluster.sum('fetch_owner_fallbacks_total')).toBe(0);
    expect(cluster.sum('fetch_peer_extents_total')).toBeGreaterThan(0);
    // Everybody has read some of it, and keeps only what he read.
    const kept = cluster.nodes.map((node) => node.gauge('fetch_block_cache_bytes'));
    expect(kept.every((bytes) => bytes > 0)).toBe(true);
    const reads = cluster.nodes.map((node) => node.count('fetch_store_read_bytes_total'));
    const logBytes = world.reads.reduce((sum, { length }) => sum + length, 0);
    expect(reads.reduce((sum, bytes) => sum + bytes)).toBe(logBytes);
    expect(Math.max(...kept)).toBeLessThan(2 * logBytes);
  });

  it('it is read once as well when the others come later', async () => {
    const world = await worldOfSegments();
    const cluster = await nodesOf(world, nodeIds);
    for (const node of cluster.nodes) await node.readAll(world, 't', 'reader');
    expect(world.reads).toHaveLength(segmentCount);
    for (const node of cluster.nodes) await node.readAll(world, 't', 'reader again', 1_500);
    expect(world.reads).toHaveLength(segmentCount);
  });
});

describe('an owner', () => {
  it('that is killed under its readers costs them nothing but reads of their own', async () => {
    const world = await worldOfSegments();
    const cluster = await nodesOf(world, [11, 12, 13]);
    const [survivor, , victim] = cluster.nodes;
    let questions = 0;
    victim!.serve = async (read, own) => {
      if (++questions === 1) void victim!.kill();
      return own.readExtents(read);
    };
    await survivor!.readAll(world, 't', 'reader');
    expect(questions).toBeGreaterThan(0);
    // Declared dead, its blocks are the others': each is read once more at most.
    cluster.view = [11, 12];
    const readsBefore = world.reads.length;
    await cluster.node(12).readAll(world, 't', 'reader');
    await survivor!.readAll(world, 't', 'reader again');
    expect(world.reads.length - readsBefore).toBeLessThanOrEqual(segmentCount);
  });

  it('that does not answer is not waited for again for a while', async () => {
    const world = await worldOfSegments();
    const cluster = await nodesOf(world, [11, 12], {
      ownerReadTimeoutMs: 30,
      ownerPauseMs: 600_000,
    });
    const [asking, frozen] = cluster.nodes;
    frozen!.serve = () => new Promise(() => undefined);
    await asking!.readAll(world, 't', 'reader');
    const { questions } = frozen!;
    expect(questions).toBeGreaterThan(0);
    expect(asking!.count('fetch_owner_fallbacks_total')).toBeGreaterThan(0);
    expect(world.reads).toHaveLength(segmentCount);
    expect(world.logLines.filter(({ level }) => level === 'warn')).toHaveLength(1);
    // What was read meanwhile is in memory; what was not is not asked for.
    await world.commit([{ partitionId: 1, batches: [plainRecords(1)] }]);
    await asking!.readAll(world, 't', 'another reader');
    expect(frozen!.questions).toBe(questions);
  });

  it('is asked again after the pause', async () => {
    const world = await worldOfSegments();
    const cluster = await nodesOf(world, [11, 12], {
      ownerReadTimeoutMs: 30,
      ownerPauseMs: 0,
      borrowedBlocksBytesMax: 1,
    });
    const [asking, owner] = cluster.nodes;
    owner!.serve = () => new Promise(() => undefined);
    await asking!.readAll(world, 't', 'reader');
    owner!.serve = (read, own) => own.readExtents(read);
    // It owns about half of what comes, and may be late with some of it.
    while (asking!.count('fetch_owner_reads_total') === 0) {
      await world.commit([{ partitionId: 1, batches: [plainRecords(1)] }]);
      await asking!.readAll(world, 't', 'reader');
    }
  });

  it('that has no room is left alone for that question only', async () => {
    const world = await worldOfSegments();
    const cluster = await nodesOf(world, [11, 12]);
    const [asking, busy] = cluster.nodes;
    busy!.serve = () =>
      Promise.reject(new OperatingError('BLOCKS_BUSY', 'busy', { retriable: true }));
    await asking!.readAll(world, 't', 'reader', 3_000);
    expect(busy!.questions).toBeGreaterThan(1);
    expect(asking!.count('fetch_owner_fallbacks_total')).toBeGreaterThan(1);
    expect(world.logLines).toEqual([]);
  });

  it('refuses what is more than its budget', async () => {
    const world = await worldOfSegments();
    const cluster = await nodesOf(world, [11, 12], { peerReadBytesInFlightMax: 1_000 });
    const { rows } = world.model(1);
    const wanted = rows.map((extent) => ({ extent, leaderEpoch: 0 }));
    const { blocks } = cluster.node(11).fetch;
    const [first, second] = [wanted.slice(0, 1), wanted.slice(1, 2)];
    const granted = blocks.readExtents({ wanted: first, urgency: 'tail' });
    const refused = blocks.readExtents({ wanted: second, urgency: 'tail' });
    await expect(refused).rejects.toMatchObject({ code: 'BLOCKS_BUSY', retriable: true });
    expect((await granted)[0]?.length).toBe(rows[0]!.length);
    expect((await blocks.readExtents({ wanted: second, urgency: 'tail' }))[0]).not.toBeNull();
  });

  it.each([
    ['flipped', (bytes: Buffer) => flipped(bytes)],
    ['short', (bytes: Buffer) => bytes.subarray(0, bytes.length - 1)],
    ['long', (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)])],
    ['empty', () => Buffer.alloc(0)],
    ['missing', () => null],
  ])('whose bytes are %s is not believed', async (_, change) => {
    const world = await worldOfSegments();
    const cluster = await nodesOf(world, [11, 12]);
    const [asking, owner] = cluster.nodes;
    owner!.serve = async (read, own) => {
      const extents = await own.readExtents(read);
      return extents.map((bytes) => bytes && change(Buffer.from(bytes)));
    };
    await asking!.readAll(world, 't', 'reader');
    expect(owner!.questions).toBeGreaterThan(0);
    expect(asking!.count('fetch_owner_read_bytes_total')).toBe(0);
    expect(asking!.count('fetch_owner_fallbacks_total')).toBeGreaterThan(0);
    const wrong = asking!.count('fetch_owner_answers_wrong_total');
    expect(wrong > 0).toBe(_ !== 'missing');
  });

  it('that answers with another extent of the same length is not believed', async () => {
    const world = await worldOfSegments();
    const cluster = await nodesOf(world, [11, 12]);
    const [asking, owner] = cluster.nodes;
    owner!.serve = async (read, own) => {
      const others = read.wanted.map(({ extent, leaderEpoch }) => {
        const { rows } = world.model(extent.partitionId);
        const other =
          rows[(rows.findIndex((row) => row === find(rows, extent)) + 1) % rows.length]!;
        return { extent: other, leaderEpoch };
      });
      return own.readExtents({ ...read, wanted: others });
    };
    await asking!.readAll(world, 't', 'reader');
    expect(asking!.count('fetch_owner_answers_wrong_total')).toBeGreaterThan(0);
    expect(asking!.count('fetch_owner_read_bytes_total')).toBe(0);
  });

  it('never passes a question on, nor waits for one that it asks itself', async () => {
    const world = await worldOfSegments();
    const cluster = await nodesOf(world, [11, 12], { ownerReadTimeoutMs: 20_000 });
    const [left, right] = cluster.nodes;
    // Each believes that the other owns everything.
    left!.view = () => [12, 12];
    right!.view = () => [11, 11];
    await Promise.all([left!.readAll(world, 't', 'l'), right!.readAll(world, 't', 'r')]);
    expect(left!.questions).toBeGreaterThan(0);
    expect(right!.questions).toBeGreaterThan(0);
    expect(cluster.sum('fetch_owner_fallbacks_total')).toBe(0);
    expect(world.reads).toHaveLength(2 * segmentCount);
  });

  it('is not asked for anything by the only node there is', async () => {
    const world = await worldOfSegments();
    const cluster = await nodesOf(world, [11, 12]);
    cluster.view = [11];
    await cluster.node(11).readAll(world, 't', 'reader');
    expect(cluster.node(12).questions).toBe(0);
    expect(world.reads).toHaveLength(segmentCount);
  });
});

it('what others own takes little memory, and nothing of the cache', async () => {
  const world = await worldOfSegments();
  const cluster = await nodesOf(world, [11, 12], { borrowedBlocksBytesMax: 5_000 });
  const asking = cluster.node(11);
  asking.view = () => [12, 12];
  await asking.readAll(world, 't', 'reader', 2_000);
  expect(asking.gauge('fetch_block_cache_bytes')).toBe(0);
  expect(asking.gauge('fetch_borrowed_bytes')).toBeGreaterThan(0);
  expect(asking.gauge('fetch_borrowed_bytes')).toBeLessThanOrEqual(5_000);
});

describe('chooseOwner', () => {
  const nodes = fc.uniqueArray(fc.integer({ min: 1, max: 1 << 30 }), {
    minLength: 2,
    maxLength: 9,
  });

  it('moves only the blocks of the node that comes or goes, whatever the order', () => {
    fc.assert(
      fc.property(nodes, fc.uuid(), fc.nat(100), fc.nat(), (nodeIds, segmentId, block, pick) => {
        const name = { segmentId, block };
        const owner = chooseOwner(nodeIds, name, () => true);
        expect(nodeIds).toContain(owner);
        expect(chooseOwner([...nodeIds].reverse(), name, () => true)).toBe(owner);
        const gone = nodeIds[pick % nodeIds.length]!;
        const next = chooseOwner(nodeIds, name, (nodeId) => nodeId !== gone);
        if (gone !== owner) expect(next).toBe(owner);
        // Whether it can't be reached or is declared dead is the same.
        const others = nodeIds.filter((nodeId) => nodeId !== gone);
        expect(chooseOwner(others, name, () => true)).toBe(next);
        expect(chooseOwner(nodeIds, name, () => false)).toBeNull();
      }),
    );
  });

  it('gives every node its part, of the segments and of the blocks of one', () => {
    const nodeIds = [101, 102, 103, 104, 105];
    const owned = new Map<number, number>();
    const count = 20_000;
    for (let at = 0; at < count; at++) {
      const name = { segmentId: randomUUID(), block: at % 8 };
      const owner = chooseOwner(nodeIds, name, () => true)!;
      owned.set(owner, (owned.get(owner) ?? 0) + 1);
    }
    const segmentId = randomUUID();
    const ofOne = new Set(
      Array.from({ length: 64 }, (_, at) =>
        chooseOwner(nodeIds, { segmentId, block: at }, () => true),
      ),
    );
    // Five deviations of a binomial distribution, about 280, either way.
    for (const nodeId of nodeIds) expect(Math.abs(owned.get(nodeId)! - 4_000)).toBeLessThan(300);
    expect(ofOne.size).toBe(5);
  });
});

function flipped(bytes: Buffer): Buffer {
  bytes[bytes.length - 3]! ^= 1;
  return bytes;
}

function find<T extends { readonly baseOffset: number }>(
  rows: readonly T[],
  { baseOffset }: { readonly baseOffset: number },
): T {
  return rows.find((row) => row.baseOffset === baseOffset)!;
}
