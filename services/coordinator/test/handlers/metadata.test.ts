import { apis, errorCodes, zeroUuid } from '@kafscale/codec';
import { describe, expect, it } from 'vitest';
import type { AdminServer } from './admin-server.js';
import { useAdminServers, versionsOf } from './admin-server.js';

const startServer = useAdminServers();
const { describeCluster, metadata } = apis;

describe('Metadata', () => {
  it.each(versionsOf(metadata))('v%i describes brokers, cluster and topics', async (version) => {
    const server = await startServer();
    const brokerId = await server.addFront(9092, 'a');
    const topicId = await server.createTopic('events', 2);
    const answer = await server.call(metadata, { topics: [{ name: 'events' }] }, version);
    const rack = version >= 1 ? 'a' : null;
    expect(answer.brokers).toEqual([{ nodeId: brokerId, host: 'front.example', port: 9092, rack }]);
    expect(answer.controllerId).toBe(version >= 1 ? brokerId : -1);
    if (version >= 2) expect(answer.clusterId).toMatch(/^[\w-]{22}$/);
    expect(answer.topics).toHaveLength(1);
    const [topic] = answer.topics;
    expect(topic).toMatchObject({ errorCode: 0, name: 'events', isInternal: false });
    expect(topic!.topicId).toBe(version >= 10 ? topicId : zeroUuid);
    expect(topic!.partitions).toEqual(
      [0, 1].map((partitionIndex) => ({
        errorCode: 0,
        partitionIndex,
        leaderId: brokerId,
        leaderEpoch: version >= 7 ? 0 : -1,
        replicaNodes: [brokerId],
        isrNodes: [brokerId],
        offlineReplicas: [],
      })),
    );
  });

  it.each(versionsOf(metadata))('v%i: all topics, and none', async (version) => {
    const server = await startServer({ autoCreateTopics: false });
    await server.addFront(9092);
    await server.createTopic('a');
    await server.createTopic('b');
    const names = async (topics: null | []): Promise<(string | null)[]> =>
      (await server.call(metadata, { topics }, version)).topics.map(({ name }) => name);
    expect(await names([])).toEqual(version === 0 ? ['a', 'b'] : []);
    if (version >= 1) expect(await names(null)).toEqual(['a', 'b']);
  });

  it.each(versionsOf(metadata))(
    'v%i creates an unknown topic and returns it at once',
    async (version) => {
      const server = await startServer();
      const brokerId = await server.addFront(9092);
      const ask = { topics: [{ name: 'fresh' }], allowAutoTopicCreation: true };
      const [topic] = (await server.call(metadata, ask, version)).topics;
      expect(topic).toMatchObject({ errorCode: 0, name: 'fresh' });
      expect(topic!.partitions.map(({ leaderId }) => leaderId)).toEqual([
        brokerId,
        brokerId,
        brokerId,
      ]);
      const again = (await server.call(metadata, { topics: null })).topics;
      expect(again).toHaveLength(1);
      if (version >= 10) expect(again[0]!.topicId).toBe(topic!.topicId);
    },
  );

  it('creates only when the cluster and the request allow it, and only good names', async () => {
    const closed = await startServer({ autoCreateTopics: false });
    const open = await startServer();
    await Promise.all([closed.addFront(1), open.addFront(1)]);
    const codeOf = async (server: AdminServer, name: string, allow: boolean): Promise<number> => {
      const request = { topics: [{ name }], allowAutoTopicCreation: allow };
      const [topic] = (await server.call(metadata, request)).topics;
      expect(topic).toMatchObject({ name, topicId: zeroUuid, partitions: [] });
      return topic!.errorCode;
    };
    expect(await codeOf(closed, 'a', true)).toBe(errorCodes.UNKNOWN_TOPIC_OR_PARTITION);
    expect(await codeOf(open, 'a', false)).toBe(errorCodes.UNKNOWN_TOPIC_OR_PARTITION);
    expect(await codeOf(open, 'a b', true)).toBe(errorCodes.INVALID_TOPIC_EXCEPTION);
    expect(await codeOf(open, '', true)).toBe(errorCodes.INVALID_TOPIC_EXCEPTION);
    await open.createTopic('c.d');
    expect(await codeOf(open, 'c_d', true)).toBe(errorCodes.INVALID_TOPIC_EXCEPTION);
    expect((await open.call(metadata, { topics: null })).topics).toHaveLength(1);
  });

  it('asked for the same new topic by many at once creates it once', async () => {
    const server = await startServer();
    await server.addFront(9092);
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => server.call(metadata, { topics: [{ name: 'fresh' }] })),
    );
    const ids = answers.map(({ topics: [topic] }) => {
      expect(topic).toMatchObject({ errorCode: 0 });
      return topic!.topicId;
    });
    expect(new Set(ids).size).toBe(1);
  });

  it('v12 finds topics by id', async () => {
    const server = await startServer();
    await server.addFront(9092);
    const topicId = await server.createTopic('a');
    const unknown = '11111111-1111-4111-8111-111111111111';
    const topics = [topicId, unknown].map((id) => ({ name: null, topicId: id }));
    const answer = await server.call(metadata, { topics }, 12);
    expect(answer.topics).toMatchObject([
      { errorCode: 0, name: 'a', topicId },
      { errorCode: errorCodes.UNKNOWN_TOPIC_ID, name: null, topicId: unknown, partitions: [] },
    ]);
  });

  it('without a front: no brokers, and LEADER_NOT_AVAILABLE', async () => {
    const server = await startServer();
    await server.coordinator.register({
      instanceId: '22222222-2222-4222-8222-222222222222',
      roles: ['coordinator'],
      zone: '',
      internalUrl: '',
      advertised: null,
    });
    await server.createTopic('a');
    const answer = await server.call(metadata, { topics: [{ name: 'a' }] });
    expect(answer).toMatchObject({ brokers: [], controllerId: -1 });
    expect(answer.topics[0]!.partitions).toMatchObject([
      { errorCode: errorCodes.LEADER_NOT_AVAILABLE, leaderId: -1, replicaNodes: [], isrNodes: [] },
    ]);
  });

  it('leads clients to the fronts of their zone, and spreads partitions over them', async () => {
    const server = await startServer();
    const inA = [await server.addFront(1, 'a'), await server.addFront(2, 'a')];
    const inB = [await server.addFront(3, 'b')];
    await server.createTopic('wide', 64);
    const leadersFor = async (clientId: string | null): Promise<Set<number>> => {
      const request = { topics: [{ name: 'wide' }] };
      const answer = await server.call(metadata, request, 12, clientId);
      expect(answer.brokers).toHaveLength(3);
      return new Set(answer.topics[0]!.partitions.map(({ leaderId }) => leaderId));
    };
    expect(await leadersFor('app,rack=a')).toEqual(new Set(inA));
    expect(await leadersFor('rack=b')).toEqual(new Set(inB));
    expect(await leadersFor('rack=nowhere')).toEqual(new Set([...inA, ...inB]));
    expect(await leadersFor(null)).toEqual(new Set([...inA, ...inB]));
  });

  it('of a coordinator that has lost the shard: what it may not say is retriable', async () => {
    const server = await startServer();
    await server.addFront(9092);
    await server.createTopic('a');
    await server.depose();
    // Its next write finds out.
    await server.call(apis.createTopics, {
      topics: [{ name: 'b', numPartitions: 1, replicationFactor: 1 }],
    });
    const answer = await server.call(metadata, { topics: [{ name: 'a' }] });
    expect(answer.topics).toMatchObject([
      { name: 'a', errorCode: errorCodes.LEADER_NOT_AVAILABLE, partitions: [] },
    ]);
    // An empty list would say that every topic is gone.
    expect(await server.reply(metadata, { topics: null })).toMatchObject({ kind: 'close' });
  });
});

describe('DescribeCluster', () => {
  it.each(versionsOf(describeCluster))('v%i names the cluster and its fronts', async (version) => {
    const server = await startServer();
    const ids = [await server.addFront(9092, 'a'), await server.addFront(9093)];
    const answer = await server.call(describeCluster, {}, version);
    const { clusterId } = await server.call(metadata, { topics: [] });
    expect(answer).toMatchObject({
      errorCode: 0,
      endpointType: 1,
      clusterId,
      controllerId: ids[0],
    });
    expect(answer.brokers).toEqual([
      { brokerId: ids[0], host: 'front.example', port: 9092, rack: 'a', isFenced: false },
      { brokerId: ids[1], host: 'front.example', port: 9093, rack: null, isFenced: false },
    ]);
  });

  it('has no controllers to describe, and knows no other endpoints (KIP-919)', async () => {
    const server = await startServer();
    await server.addFront(9092);
    const codeOf = async (endpointType: number): Promise<number> =>
      (await server.call(describeCluster, { endpointType }, 1)).errorCode;
    expect(await codeOf(2)).toBe(errorCodes.MISMATCHED_ENDPOINT_TYPE);
    expect(await codeOf(3)).toBe(errorCodes.UNSUPPORTED_ENDPOINT_TYPE);
    expect(await codeOf(0)).toBe(errorCodes.UNSUPPORTED_ENDPOINT_TYPE);
  });
});
