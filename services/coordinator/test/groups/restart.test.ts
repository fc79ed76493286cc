import { describe, expect, it, vi } from 'vitest';
import { useGroupServers } from './group-server.js';

const servers = useGroupServers();

describe('a new owner of the shard', () => {
  it('goes on with stable groups: heartbeats, offsets, assignments, no rebalance', async () => {
    const before = await servers.start();
    before.addTopic('events');
    const [leader, follower] = await before.stable(2);
    const { generationId } = leader!;
    const member = { memberId: leader!.memberId, generationIdOrMemberEpoch: generationId };
    expect(await before.commit({ events: [7n, 8n, null] }, member)).toEqual([0, 0]);

    const after = await servers.takeOver(before);
    expect(await after.heartbeat(leader!.memberId, generationId)).toBe(0);
    expect(await after.heartbeat(follower!.memberId, generationId)).toBe(0);
    expect(await after.fetch('events')).toEqual([7n, 8n, -1n]);
    expect(await after.commit({ events: [9n, null, null] }, member)).toEqual([0]);
    const sync = await after.call('syncGroup', 5, {
      groupId: 'group',
      ...follower!,
      protocolType: 'consumer',
      protocolName: 'range',
    });
    expect(sync.errorCode).toBe(0);
    expect(sync.assignment.toString()).toBe(`assigned to ${follower!.memberId}`);
    const described = await after.call('describeGroups', 6, { groups: ['group'] });
    expect(described.groups[0]).toMatchObject({ errorCode: 0, groupState: 'Stable' });
    expect(described.groups[0]!.members).toHaveLength(2);
  });

  it('reads a group once, however many of its members come at once', async () => {
    const before = await servers.start();
    const members = await before.stable(5);
    const after = await servers.takeOver(before);
    const read = vi.spyOn(after.store.database, 'read');
    const beats = members.map(({ generationId, memberId }) =>
      after.heartbeat(memberId, generationId),
    );
    expect(await Promise.all(beats)).toEqual([0, 0, 0, 0, 0]);
    // One for the group; the other finds the groups with members.
    expect(read.mock.calls.length).toBeLessThanOrEqual(2);
  });

  it('lets a static member come back without a rebalance, also across the restart', async () => {
    const before = await servers.start();
    const joining = ['one', 'two'].map((groupInstanceId) => before.join({ groupInstanceId }));
    await before.arrive();
    before.time.pass(6_000);
    const joined = await Promise.all(joining);
    const { generationId, leader } = joined[0]!;
    const plan = joined.map(({ memberId }) => ({ memberId, assignment: Buffer.from(memberId) }));
    for (const [index, { memberId }] of joined.entries()) {
      const assignments = memberId === leader ? plan : [];
      const groupInstanceId = index === 0 ? 'one' : 'two';
      const named = { protocolType: 'consumer', protocolName: 'range' };
      const request = { groupId: 'group', generationId, memberId, groupInstanceId, assignments };
      expect((await before.call('syncGroup', 5, { ...request, ...named })).errorCode).toBe(0);
    }

    const after = await servers.takeOver(before);
    const back = await after.join({ groupInstanceId: 'two' });
    expect(back).toMatchObject({ errorCode: 0, generationId });
    expect(await after.heartbeat(back.memberId, generationId)).toBe(0);
    const last = await servers.takeOver(after);
    expect(await last.heartbeat(back.memberId, generationId)).toBe(0);
    const old = { groupId: 'group', generationId, memberId: joined[1]!.memberId };
    const fenced = await last.call('heartbeat', 4, { ...old, groupInstanceId: 'two' });
    expect(fenced.errorCode).toBe(82);
  });

  it('starts the session timers anew, and ends those of members that do not come back', async () => {
    const before = await servers.start();
    const [alive, lost] = await before.stable(2);
    const after = await servers.takeOver(before);
    after.manager.ownershipChanged();
    await after.manager.shard().resume();
    after.time.pass(9_000);
    expect(await after.heartbeat(alive!.memberId, alive!.generationId)).toBe(0);
    after.time.pass(9_000);
    expect(await after.heartbeat(lost!.memberId, lost!.generationId)).toBe(25);
    expect(await after.heartbeat(alive!.memberId, alive!.generationId)).toBe(27);
  });

  it('ends the sessions of groups that nobody asks for', async () => {
    const before = await servers.start();
    await before.stable(1);
    const after = await servers.takeOver(before);
    after.manager.ownershipChanged();
    await after.manager.shard().resume();
    after.time.pass(10_000 + 60_000);
    const empty = async () =>
      (await after.call('listGroups', 5, { statesFilter: ['Empty'] })).groups;
    await expect.poll(empty).toHaveLength(1);
    const last = await servers.takeOver(after);
    const stored = () =>
      last.store.database.read((sql) => sql`SELECT member_count FROM consumer_groups`);
    await expect.poll(async () => (await stored())[0]).toEqual({ member_count: 0 });
  });

  it('does not know members of a generation that never became stable', async () => {
    const before = await servers.start();
    const joining = before.join({}, 3);
    await before.arrive();
    before.time.pass(3_000);
    const { generationId, memberId } = await joining;
    const after = await servers.takeOver(before);
    expect(await after.heartbeat(memberId, generationId)).toBe(25);
    const join = await after.join({ memberId });
    expect(join.errorCode).toBe(25);
  });
});

describe('an owner that lost the shard and has not noticed', () => {
  it('writes no offsets and answers NOT_COORDINATOR', async () => {
    const old = await servers.start();
    old.addTopic('events');
    const [leader] = await old.stable(1);
    const member = { memberId: leader!.memberId, generationIdOrMemberEpoch: leader!.generationId };
    expect(await old.commit({ events: [1n, null, null] }, member)).toEqual([0]);

    const successor = await servers.takeOver(old);
    expect(await old.commit({ events: [2n, 2n, null] }, member)).toEqual([16, 16]);
    expect(old.leasesLost).toBe(1);
    expect(await successor.fetch('events')).toEqual([1n, -1n, -1n]);
  });

  it('reveals no assignment: SyncGroup is NOT_COORDINATOR and nothing is stored', async () => {
    const old = await servers.start();
    const joining = old.join({}, 3);
    await old.arrive();
    old.time.pass(3_000);
    const { generationId, memberId } = await joining;
    const successor = await servers.takeOver(old);
    const assignments = [{ memberId, assignment: Buffer.from('all') }];
    const request = { groupId: 'group', generationId, memberId, assignments };
    expect((await old.call('syncGroup', 3, request)).errorCode).toBe(16);
    const listed = await successor.call('listGroups', 4, {});
    expect(listed.groups).toEqual([]);
  });

  it('answers nothing from memory once its lease has run out', async () => {
    const old = await servers.start();
    old.addTopic('events');
    const [leader] = await old.stable(1);
    old.ownership.held = false;
    const { generationId, memberId } = leader!;
    expect(await old.heartbeat(memberId, generationId)).toBe(16);
    expect((await old.join({ memberId })).errorCode).toBe(16);
    const request = { groupId: 'group', generationId, memberId };
    expect((await old.call('syncGroup', 3, request)).errorCode).toBe(16);
    const left = await old.call('leaveGroup', 3, { groupId: 'group', members: [{ memberId }] });
    expect(left.errorCode).toBe(16);
    const described = await old.call('describeGroups', 5, { groups: ['group'] });
    expect(described.groups[0]!.errorCode).toBe(16);
    expect((await old.call('listGroups', 4, {})).errorCode).toBe(16);
    expect(await old.commit({ events: [1n] })).toEqual([16]);
    const fetched = await old.call('offsetFetch', 9, {
      groups: [{ groupId: 'group', topics: null }],
    });
    expect(fetched.groups[0]!.errorCode).toBe(16);
    const single = await old.call('offsetFetch', 7, { groupId: 'group', topics: null });
    expect(single.errorCode).toBe(16);
  });

  it('sends away who waits, when it notices', async () => {
    const old = await servers.start();
    const [leader] = await old.stable(2);
    const waiting = old.join({ memberId: leader!.memberId });
    await old.arrive();
    old.ownership.lease = null;
    old.manager.ownershipChanged();
    expect((await waiting).errorCode).toBe(16);
    expect(old.time.timerCount).toBe(0);
  });
});

describe('a new lease epoch of the same process', () => {
  it('reads the groups again', async () => {
    const server = await servers.start();
    const [leader] = await server.stable(1);
    await server.store.releaseShard(server.ownership.lease!);
    const acquired = await server.store.acquireShard(
      0,
      '00000000-0000-4000-8000-000000000001',
      60_000,
    );
    if (acquired.kind !== 'acquired') throw new Error('the shard is taken');
    server.ownership.lease = acquired.lease;
    expect(await server.heartbeat(leader!.memberId, leader!.generationId)).toBe(0);
    server.addTopic('events');
    const member = { memberId: leader!.memberId, generationIdOrMemberEpoch: 1 };
    expect(await server.commit({ events: [1n] }, member)).toEqual([0]);
  });
});

describe('sessions', () => {
  it('do not end because this process stood still', async () => {
    const server = await servers.start();
    const [leader, follower] = await server.stable(2);
    server.time.stall(30_000);
    // What waited in the sockets is read only now.
    expect(await server.heartbeat(leader!.memberId, leader!.generationId)).toBe(0);
    server.time.pass(9_000);
    expect(await server.heartbeat(leader!.memberId, leader!.generationId)).toBe(0);
    server.time.pass(2_500);
    expect(await server.heartbeat(follower!.memberId, follower!.generationId)).toBe(25);
  });

  it('do not end because heartbeats were turned away while the lease did not hold', async () => {
    const server = await servers.start();
    const [leader] = await server.stable(1);
    server.time.pass(4_000);
    server.ownership.held = false;
    expect(await server.heartbeat(leader!.memberId, leader!.generationId)).toBe(16);
    server.time.pass(5_900);
    server.ownership.held = true;
    server.time.pass(2_000);
    expect(await server.heartbeat(leader!.memberId, leader!.generationId)).toBe(0);
    server.ownership.held = false;
    server.time.pass(60_000);
    server.ownership.held = true;
    expect(await server.heartbeat(leader!.memberId, leader!.generationId)).toBe(0);
  });

  it('cost no write: a heartbeat sends nothing to the store', async () => {
    const server = await servers.start();
    const [leader] = await server.stable(1);
    const read = vi.spyOn(server.store.database, 'read');
    const write = vi.spyOn(server.store.database, 'write');
    const transaction = vi.spyOn(server.store.database, 'transaction');
    for (let beats = 0; beats < 20; beats += 1) {
      server.time.pass(3_000);
      expect(await server.heartbeat(leader!.memberId, leader!.generationId)).toBe(0);
    }
    expect([read, write, transaction].map(({ mock }) => mock.calls.length)).toEqual([0, 0, 0]);
  });
});

describe('a client that goes away', () => {
  it('leaves its member behind until the session ends', async () => {
    const server = await servers.start();
    const [leader, follower] = await server.stable(2);
    const gone = new AbortController();
    const waiting = server.join({ memberId: leader!.memberId }, 9, { signal: gone.signal });
    await server.arrive();
    gone.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CLIENT_GONE' });
    const joined = await server.join({ memberId: follower!.memberId });
    expect(joined).toMatchObject({ errorCode: 0, generationId: 2, leader: leader!.memberId });
    expect(await server.heartbeat(leader!.memberId, 2)).toBe(0);
  });
});
