import { describe, expect, it } from 'vitest';
import { useGroupServers } from './group-server.js';

const servers = useGroupServers();
const noTopicId = '00000000-0000-0000-0000-000000000000';

describe('FindCoordinator', () => {
  it.each([0, 1, 3])('v%i answers one key with a live front', async (version) => {
    const server = await servers.start();
    const found = await server.call('findCoordinator', version, { key: 'group' });
    expect(found).toMatchObject({ errorCode: 0, nodeId: 3, host: 'front.example', port: 9092 });
  });

  it.each([4, 6])('v%i echoes every key', async (version) => {
    const server = await servers.start();
    const found = await server.call('findCoordinator', version, { coordinatorKeys: ['a', 'b'] });
    expect(found.coordinators).toMatchObject([
      { key: 'a', errorCode: 0, nodeId: 3, host: 'front.example', port: 9092 },
      { key: 'b', errorCode: 0, nodeId: 3, host: 'front.example', port: 9092 },
    ]);
  });

  it('has none without a live front: COORDINATOR_NOT_AVAILABLE', async () => {
    const server = await servers.start();
    server.coordinator = null;
    const found = await server.call('findCoordinator', 2, { key: 'group' });
    expect(found).toMatchObject({ errorCode: 15, nodeId: -1, host: '', port: -1 });
  });

  it('refuses transactions for good, and unknown key types', async () => {
    const server = await servers.start();
    const one = await server.call('findCoordinator', 3, { key: 't', keyType: 1 });
    expect(one.errorCode).toBe(53);
    const many = await server.call('findCoordinator', 6, { coordinatorKeys: ['s'], keyType: 2 });
    expect(many.coordinators).toMatchObject([{ key: 's', errorCode: 42 }]);
  });
});

describe('JoinGroup', () => {
  it.each([0, 1, 2, 3])('v%i admits a new member directly', async (version) => {
    const server = await servers.start();
    const joining = server.join({ sessionTimeoutMs: 30_000 }, version);
    await server.arrive();
    server.time.pass(3_000);
    const joined = await joining;
    expect(joined).toMatchObject({ errorCode: 0, generationId: 1, protocolName: 'range' });
    expect(joined.memberId).toMatch(/^client-[0-9a-f-]{36}$/);
    expect(joined.leader).toBe(joined.memberId);
    expect(joined.members[0]!.metadata.toString()).toBe('subscription');
  });

  it.each([4, 5, 6, 7, 8, 9])('v%i hands out the member id first', async (version) => {
    const server = await servers.start();
    const first = await server.join({}, version);
    expect(first).toMatchObject({ errorCode: 79, generationId: -1 });
    expect(first.memberId).toMatch(/^client-/);
    const joining = server.join({ memberId: first.memberId }, version);
    await server.arrive();
    server.time.pass(3_000);
    expect(await joining).toMatchObject({ errorCode: 0, memberId: first.memberId });
  });

  it('has a protocol name before v7 also when it fails, and null after', async () => {
    const server = await servers.start();
    expect((await server.join({ groupId: '' }, 6)).protocolName).toBe('');
    expect((await server.join({ groupId: '' }, 7)).protocolName).toBeNull();
  });

  it.each([
    ['an empty group id', { groupId: '' }, 24],
    ['a group id that can not be stored', { groupId: 'nul\u0000' }, 24],
    ['a short session', { sessionTimeoutMs: 5_999 }, 26],
    ['a long session', { sessionTimeoutMs: 1_800_001 }, 26],
    ['no protocols', { protocols: [] }, 23],
    ['no protocol type', { protocolType: '' }, 23],
    ['an unknown member id', { memberId: 'nobody' }, 25],
  ])('refuses %s', async (_, request, errorCode) => {
    const server = await servers.start();
    expect((await server.join(request)).errorCode).toBe(errorCode);
  });

  it('takes sessions at the bounds', async () => {
    const server = await servers.start();
    for (const sessionTimeoutMs of [6_000, 1_800_000]) {
      expect((await server.join({ sessionTimeoutMs })).errorCode).toBe(79);
    }
  });

  it('uses the session timeout as the rebalance timeout in v0', async () => {
    const server = await servers.start();
    const joining = server.join({ sessionTimeoutMs: 6_000 }, 0);
    await server.arrive();
    server.time.pass(3_000);
    const { memberId, generationId } = await joining;
    const request = { groupId: 'group', memberId, generationId };
    await server.call('syncGroup', 0, request);
    // The leader rejoins, a second member has not come in for good: 6 s are the limit.
    const pending = await server.join({ sessionTimeoutMs: 30_000 });
    const rejoin = server.join({ memberId, sessionTimeoutMs: 6_000 }, 0);
    await server.arrive();
    server.time.pass(6_000);
    expect(await rejoin).toMatchObject({ errorCode: 0, generationId: 2 });
    expect(pending.errorCode).toBe(79);
  });
});

describe('SyncGroup, Heartbeat and LeaveGroup', () => {
  it('SyncGroup v5 needs the protocol: INCONSISTENT_GROUP_PROTOCOL', async () => {
    const server = await servers.start();
    const [leader] = await server.stable(1);
    const request = { groupId: 'group', ...leader! };
    const without = await server.call('syncGroup', 5, {
      ...request,
      protocolType: 'consumer',
      protocolName: null,
    });
    expect(without.errorCode).toBe(23);
    const wrong = { protocolType: 'consumer', protocolName: 'roundrobin' };
    expect((await server.call('syncGroup', 5, { ...request, ...wrong })).errorCode).toBe(23);
    const right = { protocolType: 'consumer', protocolName: 'range' };
    expect(await server.call('syncGroup', 5, { ...request, ...right })).toMatchObject({
      errorCode: 0,
      ...right,
    });
  });

  it.each([0, 1, 2, 3, 4])('SyncGroup v%i gives the assignment', async (version) => {
    const server = await servers.start();
    const [leader] = await server.stable(1);
    const sync = await server.call('syncGroup', version, { groupId: 'group', ...leader! });
    expect(sync.assignment.toString()).toBe(`assigned to ${leader!.memberId}`);
  });

  it('know no groups that are not there', async () => {
    const server = await servers.start();
    const member = { groupId: 'none', memberId: 'm', generationId: 1 };
    expect((await server.call('syncGroup', 4, member)).errorCode).toBe(25);
    expect((await server.call('heartbeat', 4, member)).errorCode).toBe(25);
    const members = [{ memberId: 'm' }];
    expect(await server.call('leaveGroup', 5, { groupId: 'none', members })).toMatchObject({
      errorCode: 0,
      members: [{ memberId: 'm', errorCode: 25 }],
    });
    expect((await server.call('leaveGroup', 1, { groupId: 'none', memberId: 'm' })).errorCode).toBe(
      25,
    );
  });

  it('refuse an empty group id: INVALID_GROUP_ID', async () => {
    const server = await servers.start();
    const member = { groupId: '', memberId: 'm', generationId: 1 };
    expect((await server.call('syncGroup', 4, member)).errorCode).toBe(24);
    expect((await server.call('heartbeat', 0, member)).errorCode).toBe(24);
    expect((await server.call('leaveGroup', 0, member)).errorCode).toBe(24);
  });

  it.each([0, 1, 2])('LeaveGroup v%i is about one member', async (version) => {
    const server = await servers.start();
    const [leader] = await server.stable(1);
    const { memberId } = leader!;
    expect(
      (await server.call('leaveGroup', version, { groupId: 'group', memberId })).errorCode,
    ).toBe(0);
    expect(
      (await server.call('leaveGroup', version, { groupId: 'group', memberId })).errorCode,
    ).toBe(25);
  });

  it.each([3, 4, 5])('LeaveGroup v%i is about several', async (version) => {
    const server = await servers.start();
    const [leader, follower] = await server.stable(2);
    const members = [
      { memberId: leader!.memberId },
      { memberId: 'x' },
      { memberId: follower!.memberId },
    ];
    const left = await server.call('leaveGroup', version, { groupId: 'group', members });
    expect(left.members.map(({ errorCode }) => errorCode)).toEqual([0, 25, 0]);
    const described = await server.call('describeGroups', 5, { groups: ['group'] });
    expect(described.groups[0]).toMatchObject({ groupState: 'Empty', members: [] });
  });
});

describe('OffsetCommit', () => {
  it.each([2, 3, 4, 5, 6, 7, 8, 9])('v%i stores offsets that come back', async (version) => {
    const server = await servers.start();
    server.addTopic('events');
    expect(await server.commit({ events: [10n, null, 30n] }, {}, version)).toEqual([0, 0]);
    expect(await server.fetch('events')).toEqual([10n, -1n, 30n]);
  });

  it('v10 names topics by id', async () => {
    const server = await servers.start();
    const { topicId } = server.addTopic('events');
    const partitions = [{ partitionIndex: 1, committedOffset: 5n, committedMetadata: null }];
    const topics = [
      { topicId, partitions },
      { topicId: noTopicId, partitions },
    ];
    const committed = await server.call('offsetCommit', 10, { groupId: 'group', topics });
    expect(committed.topics).toMatchObject([
      { topicId, partitions: [{ partitionIndex: 1, errorCode: 0 }] },
      { topicId: noTopicId, partitions: [{ partitionIndex: 1, errorCode: 100 }] },
    ]);
    const wanted = [topicId, noTopicId].map((id) => ({ topicId: id, partitionIndexes: [1] }));
    const fetched = await server.call('offsetFetch', 10, {
      groups: [{ groupId: 'group', topics: wanted }],
    });
    expect(fetched.groups[0]!.topics).toMatchObject([
      { topicId, partitions: [{ committedOffset: 5n, metadata: '', errorCode: 0 }] },
      { topicId: noTopicId, partitions: [{ committedOffset: -1n, errorCode: 100 }] },
    ]);
  });

  it('gives metadata back byte for byte, and "" for none', async () => {
    const server = await servers.start();
    server.addTopic('events');
    const texts = ['nul \u0000 fox 🦊 "\\', '', null];
    const partitions = texts.map((committedMetadata, partitionIndex) => ({
      partitionIndex,
      committedOffset: 1n,
      committedLeaderEpoch: partitionIndex,
      committedMetadata,
    }));
    const topics = [{ name: 'events', partitions }];
    await server.call('offsetCommit', 9, { groupId: 'group', topics });
    const wanted = [{ name: 'events', partitionIndexes: [0, 1, 2] }];
    const fetched = await server.call('offsetFetch', 5, { groupId: 'group', topics: wanted });
    expect(fetched.topics[0]!.partitions).toMatchObject([
      { metadata: texts[0], committedLeaderEpoch: 0 },
      { metadata: '', committedLeaderEpoch: 1 },
      { metadata: '', committedLeaderEpoch: 2 },
    ]);
  });

  it('judges every partition on its own', async () => {
    const server = await servers.start();
    server.addTopic('events', 2);
    const long = 'x'.repeat(4097);
    const at = (partitionIndex: number, committedMetadata = '') => ({
      partitionIndex,
      committedOffset: 1n,
      committedMetadata,
    });
    const topics = [
      { name: 'events', partitions: [at(0, long.slice(1)), at(1, long), at(2), at(-1)] },
      { name: 'unknown', partitions: [at(0)] },
    ];
    const committed = await server.call('offsetCommit', 8, { groupId: 'group', topics });
    const codes = committed.topics.map(({ partitions }) =>
      partitions.map(({ errorCode }) => errorCode),
    );
    expect(codes).toEqual([[0, 12, 3, 3], [3]]);
    expect(await server.fetch('events', 2)).toEqual([1n, -1n]);
  });

  it('of a consumer without a group is refused while the group has members', async () => {
    const server = await servers.start();
    server.addTopic('events');
    const [leader] = await server.stable(1);
    expect(await server.commit({ events: [1n], unknown: [1n] })).toEqual([25, 3]);
    const member = { memberId: leader!.memberId };
    expect(
      await server.commit({ events: [1n] }, { ...member, generationIdOrMemberEpoch: 0 }),
    ).toEqual([22]);
    expect(
      await server.commit({ events: [1n] }, { ...member, generationIdOrMemberEpoch: 1 }),
    ).toEqual([0]);
    expect(
      await server.commit({ events: [1n] }, { memberId: 'x', generationIdOrMemberEpoch: 1 }),
    ).toEqual([25]);
  });

  it('with a generation to an unknown group is ILLEGAL_GENERATION', async () => {
    const server = await servers.start();
    server.addTopic('events');
    expect(
      await server.commit({ events: [1n] }, { memberId: 'm', generationIdOrMemberEpoch: 1 }),
    ).toEqual([22]);
    expect((await server.call('listGroups', 4, {})).groups).toEqual([]);
  });

  it('of many groups and members at once shares transactions and keeps their order', async () => {
    const server = await servers.start();
    server.addTopic('events');
    const commits: Promise<number[]>[] = [];
    for (let offset = 1n; offset <= 50n; offset += 1n) {
      for (const groupId of ['a', 'b']) {
        commits.push(server.commit({ events: [offset, null, offset] }, { groupId }));
      }
    }
    expect((await Promise.all(commits)).flat().every((code) => code === 0)).toBe(true);
    expect(await server.fetch('events', 3, 'a')).toEqual([50n, -1n, 50n]);
    expect(await server.fetch('events', 3, 'b')).toEqual([50n, -1n, 50n]);
  });

  it('to a topic that was deleted and made again starts without offsets', async () => {
    const server = await servers.start();
    server.addTopic('events');
    await server.commit({ events: [5n] });
    server.addTopic('events');
    expect(await server.fetch('events', 1)).toEqual([-1n]);
    const all = await server.call('offsetFetch', 9, {
      groups: [{ groupId: 'group', topics: null }],
    });
    expect(all.groups[0]).toMatchObject({ errorCode: 0, topics: [] });
  });
});

describe('OffsetFetch', () => {
  it.each([1, 2, 3, 5, 6, 7])(
    'v%i of what was never committed is −1 with error 0',
    async (version) => {
      const server = await servers.start();
      server.addTopic('events');
      const topics = [
        { name: 'events', partitionIndexes: [0] },
        { name: 'unknown', partitionIndexes: [0, 1] },
      ];
      const fetched = await server.call('offsetFetch', version, { groupId: 'none', topics });
      expect(fetched.errorCode).toBe(0);
      const nothing = {
        committedOffset: -1n,
        committedLeaderEpoch: -1,
        metadata: '',
        errorCode: 0,
      };
      expect(fetched.topics).toMatchObject([
        { name: 'events', partitions: [nothing] },
        { name: 'unknown', partitions: [nothing, nothing] },
      ]);
    },
  );

  it('of null topics is everything', async () => {
    const server = await servers.start();
    server.addTopic('a');
    server.addTopic('b');
    await server.commit({ a: [1n, null, 3n], b: [4n] });
    const single = await server.call('offsetFetch', 7, {
      groupId: 'group',
      topics: null,
      requireStable: true,
    });
    const byName = new Map(single.topics.map(({ name, partitions }) => [name, partitions]));
    expect([...byName.keys()].sort()).toEqual(['a', 'b']);
    expect(byName.get('a')).toMatchObject([
      { partitionIndex: 0, committedOffset: 1n, metadata: 'at 1' },
      { partitionIndex: 2, committedOffset: 3n, metadata: 'at 3' },
    ]);
    const groups = [
      { groupId: 'group', topics: null },
      { groupId: 'none', topics: null },
    ];
    const several = await server.call('offsetFetch', 8, { groups, requireStable: true });
    expect(several.groups.map(({ groupId, topics }) => [groupId, topics.length])).toEqual([
      ['group', 2],
      ['none', 0],
    ]);
  });
});

describe('DescribeGroups and ListGroups', () => {
  it.each([0, 1, 2, 3, 4, 5])(
    'DescribeGroups v%i of an unknown group is Dead with error 0',
    async (version) => {
      const server = await servers.start();
      const described = await server.call('describeGroups', version, { groups: ['none'] });
      expect(described.groups[0]).toMatchObject({
        errorCode: 0,
        groupState: 'Dead',
        groupId: 'none',
      });
    },
  );

  it('DescribeGroups v6 says GROUP_ID_NOT_FOUND', async () => {
    const server = await servers.start();
    const described = await server.call('describeGroups', 6, { groups: ['none', ''] });
    expect(described.groups).toMatchObject([
      { errorCode: 69, groupState: 'Dead', errorMessage: 'Group none not found.' },
      { errorCode: 24 },
    ]);
  });

  it('DescribeGroups shows members with their bytes', async () => {
    const server = await servers.start();
    const [leader] = await server.stable(1);
    const described = await server.call('describeGroups', 4, { groups: ['group'] });
    expect(described.groups[0]).toMatchObject({
      groupState: 'Stable',
      protocolType: 'consumer',
      protocolData: 'range',
      authorizedOperations: -2147483648,
      members: [
        {
          memberId: leader!.memberId,
          groupInstanceId: null,
          clientId: 'client',
          clientHost: '/10.0.0.1',
          memberMetadata: Buffer.from('subscription'),
          memberAssignment: Buffer.from(`assigned to ${leader!.memberId}`),
        },
      ],
    });
  });

  it('ListGroups has groups with members, without, and with offsets only', async () => {
    const server = await servers.start();
    server.addTopic('events');
    await server.stable(1, 'stable');
    await server.commit({ events: [1n] }, { groupId: 'offsets' });
    const joining = server.join({ groupId: 'joining' }, 3);
    await server.arrive('joining');
    const listed = await server.call('listGroups', 5, {});
    expect(listed.groups).toEqual([
      { groupId: 'offsets', protocolType: '', groupState: 'Empty', groupType: 'classic' },
      { groupId: 'stable', protocolType: 'consumer', groupState: 'Stable', groupType: 'classic' },
      {
        groupId: 'joining',
        protocolType: 'consumer',
        groupState: 'PreparingRebalance',
        groupType: 'classic',
      },
    ]);
    server.time.pass(3_000);
    await joining;
  });

  it('ListGroups filters by state and type, whatever the case', async () => {
    const server = await servers.start();
    server.addTopic('events');
    await server.stable(1, 'stable');
    await server.commit({ events: [1n] }, { groupId: 'offsets' });
    const ids = async (filter: { statesFilter?: string[]; typesFilter?: string[] }) =>
      (await server.call('listGroups', 5, filter)).groups.map(({ groupId }) => groupId);
    expect(await ids({ statesFilter: ['sTABLE'] })).toEqual(['stable']);
    expect(await ids({ statesFilter: ['Empty', 'Dead'] })).toEqual(['offsets']);
    expect(await ids({ typesFilter: ['CLASSIC'] })).toEqual(['offsets', 'stable']);
    expect(await ids({ typesFilter: ['consumer'] })).toEqual([]);
    const old = await server.call('listGroups', 0, {});
    expect(old.groups).toHaveLength(2);
  });
});
