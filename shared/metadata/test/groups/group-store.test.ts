import { randomUUID } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openGroupStore } from '../../src/index.js';
import type { GroupStore, LeaseGrant, MetadataStore, StoredGroup } from '../../src/index.js';
import { decodeGroupState, encodeGroupState } from '../../src/groups/group-record.js';
import { useTestDatabases } from '../support/test-databases.js';

const databases = useTestDatabases();

async function acquire(store: MetadataStore): Promise<LeaseGrant> {
  const acquired = await store.acquireShard(0, randomUUID(), 60_000);
  if (acquired.kind !== 'acquired') throw new Error('the shard is taken');
  return acquired.lease;
}

async function fixture(): Promise<{ store: MetadataStore; lease: LeaseGrant; groups: GroupStore }> {
  const store = await databases.openStore();
  const lease = await acquire(store);
  return { store, lease, groups: openGroupStore(store, lease) };
}

/** Takes the shard over, as another process does when the lease has run out. */
async function takeOver(store: MetadataStore, lease: LeaseGrant): Promise<LeaseGrant> {
  await store.releaseShard(lease);
  return acquire(store);
}

const member = {
  memberId: 'client\u0000-"quoted"\\-1',
  groupInstanceId: null,
  clientId: 'client\u0000',
  clientHost: '127.0.0.1',
  sessionTimeoutMs: 10_000,
  rebalanceTimeoutMs: 60_000,
  protocols: [{ name: 'range', metadata: Buffer.from([0, 1, 255]) }],
  assignment: Buffer.from([255, 0]),
};

function groupOf(groupId: string, fields: Partial<StoredGroup> = {}): StoredGroup {
  return {
    groupId,
    generationId: 3,
    protocolType: 'consumer',
    protocolName: 'range',
    leaderId: member.memberId,
    members: [member],
    ...fields,
  };
}

const topicId = '0d8e6a6e-6b6b-4f0e-9a3f-3f1b1d1c1b1a';

function offsetOf(partitionIndex: number, committedOffset: bigint, metadata = '') {
  return { topicId, partitionIndex, committedOffset, leaderEpoch: -1, metadata };
}

describe('the stored form of a group', () => {
  const text = fc.string({ unit: 'binary', maxLength: 20 });
  const bytes = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
  const anyMember = fc.record({
    memberId: text.map((id) => `m${id}`),
    groupInstanceId: fc.option(text),
    clientId: text,
    clientHost: text,
    sessionTimeoutMs: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    rebalanceTimeoutMs: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    protocols: fc.array(fc.record({ name: text, metadata: bytes }), { minLength: 1 }),
    assignment: bytes,
  });

  it('comes back as it was', () => {
    fc.assert(
      fc.property(fc.array(anyMember, { minLength: 1, maxLength: 3 }), (members) => {
        const state = { protocolName: 'range', leaderId: 'm', members };
        const document = encodeGroupState(state);
        expect(document).not.toContain('\u0000');
        expect(decodeGroupState(document)).toEqual(state);
      }),
    );
  });

  it.each(['', '[]', '{}', '{"members":[{}]}', '{"members":[],"leaderId":7}', 'null'])(
    'refuses %j',
    (document) => {
      expect(() => decodeGroupState(document)).toThrow(
        expect.objectContaining({ code: 'GROUP_RECORD_CORRUPT' }),
      );
    },
  );
});

describe('a group', () => {
  it('is loaded as it was saved, the last time', async () => {
    const { groups } = await fixture();
    expect(await groups.load('g')).toBeNull();
    await groups.save(groupOf('g', { generationId: 2 }));
    await groups.save(groupOf('g'));
    expect(await groups.load('g')).toEqual(groupOf('g'));
    const empty = { generationId: 4, protocolName: null, leaderId: null, members: [] };
    await groups.save(groupOf('g', empty));
    expect(await groups.load('g')).toEqual(groupOf('g', empty));
  });

  it('is listed with all others of the shard, those that only have offsets too', async () => {
    const { groups } = await fixture();
    await groups.save(groupOf('b'));
    await groups.save(groupOf('c', { leaderId: null, members: [], protocolName: null }));
    await groups.commitOffsets([{ groupId: 'a', offsets: [offsetOf(0, 1n)] }]);
    expect(await groups.list()).toEqual([
      { groupId: 'a', protocolType: null, memberCount: 0 },
      { groupId: 'b', protocolType: 'consumer', memberCount: 1 },
      { groupId: 'c', protocolType: 'consumer', memberCount: 0 },
    ]);
    expect(await groups.load('a')).toMatchObject({ generationId: 0, protocolType: null });
  });

  it('with members is found in pages', async () => {
    const { groups } = await fixture();
    for (const groupId of ['a', 'b', 'd']) await groups.save(groupOf(groupId));
    await groups.save(groupOf('c', { leaderId: null, members: [] }));
    expect(await groups.groupsWithMembers('', 2)).toEqual(['a', 'b']);
    expect(await groups.groupsWithMembers('b', 2)).toEqual(['d']);
    expect(await groups.groupsWithMembers('d', 2)).toEqual([]);
  });

  it('keeps its members when it commits offsets', async () => {
    const { groups } = await fixture();
    await groups.save(groupOf('g'));
    await groups.commitOffsets([{ groupId: 'g', offsets: [offsetOf(0, 1n)] }]);
    expect(await groups.load('g')).toEqual(groupOf('g'));
  });
});

describe('offsets', () => {
  it('come back exactly, any int64 and any text', async () => {
    const { groups } = await fixture();
    const offsets = [
      offsetOf(0, 2n ** 63n - 1n, 'nul \u0000 quote " backslash \\ emoji 🦊'),
      offsetOf(1, -1n, ''),
      { ...offsetOf(2, 7n, 'null'), leaderEpoch: 5 },
    ];
    await groups.commitOffsets([{ groupId: 'g', offsets }]);
    expect(await groups.fetchAllOffsets('g')).toEqual(offsets);
    const keys = [1, 2, 9].map((partitionIndex) => ({ topicId, partitionIndex }));
    const found = await groups.fetchOffsets('g', keys);
    expect(found.toSorted((a, b) => a.partitionIndex - b.partitionIndex)).toEqual(offsets.slice(1));
    expect(await groups.fetchAllOffsets('other')).toEqual([]);
    expect(await groups.fetchOffsets('g', [])).toEqual([]);
  });

  it('of one transaction: the later counts', async () => {
    const { groups } = await fixture();
    await groups.commitOffsets([
      { groupId: 'g', offsets: [offsetOf(0, 5n), offsetOf(0, 3n)] },
      { groupId: 'h', offsets: [offsetOf(0, 9n)] },
      { groupId: 'g', offsets: [offsetOf(0, 4n), offsetOf(1, 1n)] },
    ]);
    expect(await groups.fetchAllOffsets('g')).toEqual([offsetOf(0, 4n), offsetOf(1, 1n)]);
    expect(await groups.fetchAllOffsets('h')).toEqual([offsetOf(0, 9n)]);
  });

  it('may go back, when a client seeks back', async () => {
    const { groups } = await fixture();
    await groups.commitOffsets([{ groupId: 'g', offsets: [offsetOf(0, 100n)] }]);
    await groups.commitOffsets([{ groupId: 'g', offsets: [offsetOf(0, 7n)] }]);
    expect(await groups.fetchAllOffsets('g')).toEqual([offsetOf(0, 7n)]);
  });

  it('are not undone by a transaction that was called earlier and ends later', async () => {
    const { groups, store, lease } = await fixture();
    await groups.commitOffsets([{ groupId: 'g', offsets: [offsetOf(0, 1n)] }]);
    await groups.commitOffsets([{ groupId: 'g', offsets: [offsetOf(0, 2n)] }]);
    // A second store of the same epoch starts to count anew: its first write is the late one.
    const late = openGroupStore(store, lease);
    await late.commitOffsets([{ groupId: 'g', offsets: [offsetOf(0, 1n)] }]);
    expect(await groups.fetchAllOffsets('g')).toEqual([offsetOf(0, 2n)]);
  });

  it('of a deleted topic are purged, step by step', async () => {
    const { groups, store, lease } = await fixture();
    const kept = await store.createTopic(lease, topicNamed('kept'));
    const gone = await store.createTopic(lease, topicNamed('gone'));
    const of = (id: string, partitionIndex: number) => ({
      ...offsetOf(partitionIndex, 1n),
      topicId: id,
    });
    const offsets = [of(kept.topicId, 0), of(gone.topicId, 0), of(gone.topicId, 1)];
    await groups.commitOffsets([{ groupId: 'g', offsets }]);
    expect(await groups.purgeOffsetsOfDeletedTopics(10)).toBe(0);
    await store.deleteTopic(lease, gone.topicId);
    expect(await groups.purgeOffsetsOfDeletedTopics(1)).toBe(1);
    expect(await groups.purgeOffsetsOfDeletedTopics(10)).toBe(1);
    expect(await groups.fetchAllOffsets('g')).toEqual([of(kept.topicId, 0)]);
  });
});

describe('a lost lease', () => {
  it('writes nothing: SHARD_LEASE_LOST', async () => {
    const { groups, store, lease } = await fixture();
    await groups.save(groupOf('g'));
    await groups.commitOffsets([{ groupId: 'g', offsets: [offsetOf(0, 5n)] }]);
    const successor = openGroupStore(store, await takeOver(store, lease));

    const lost = expect.objectContaining({ code: 'SHARD_LEASE_LOST', outcome: 'failed' });
    const late = [{ groupId: 'g', offsets: [offsetOf(0, 6n), offsetOf(1, 6n)] }];
    await expect(groups.commitOffsets(late)).rejects.toEqual(lost);
    await expect(groups.save(groupOf('g', { generationId: 9 }))).rejects.toEqual(lost);
    await expect(groups.commitOffsets([{ ...late[0]!, groupId: 'new' }])).rejects.toEqual(lost);
    await expect(groups.purgeOffsetsOfDeletedTopics(1)).rejects.toEqual(lost);

    expect(await successor.fetchAllOffsets('g')).toEqual([offsetOf(0, 5n)]);
    expect(await successor.load('g')).toEqual(groupOf('g'));
    expect(await successor.load('new')).toBeNull();
    await successor.commitOffsets([{ groupId: 'g', offsets: [offsetOf(0, 4n)] }]);
    expect(await successor.fetchAllOffsets('g')).toEqual([offsetOf(0, 4n)]);
  });
});

function topicNamed(name: string) {
  return { name, partitionCount: 2, configs: new Map<string, string>() };
}
