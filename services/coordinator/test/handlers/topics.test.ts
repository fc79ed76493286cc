import { apis, errorCodes, zeroUuid } from '@kafscale/codec';
import { limits } from '@kafscale/core';
import { describe, expect, it } from 'vitest';
import type { AdminServer } from './admin-server.js';
import { useAdminServers, versionsOf } from './admin-server.js';

const startEmpty = useAdminServers();
const startServer = async (): Promise<AdminServer> => {
  const server = await startEmpty();
  await server.addFront(9092);
  return server;
};
const { createTopics, deleteTopics, metadata } = apis;

describe('CreateTopics', () => {
  it.each(versionsOf(createTopics))('v%i creates what it then describes', async (version) => {
    const server = await startServer();
    const topic = {
      name: 'events',
      numPartitions: 2,
      replicationFactor: 1,
      configs: [{ name: 'max.message.bytes', value: '5000' }],
    };
    const answer = await server.call(createTopics, { topics: [topic] }, version);
    const [created] = answer.topics;
    expect(answer.topics).toHaveLength(1);
    expect(created).toMatchObject({ name: 'events', errorCode: 0, errorMessage: null });
    const described = await server.call(metadata, { topics: [{ name: 'events' }] });
    expect(described.topics[0]!.partitions).toHaveLength(2);
    if (version >= 7) expect(created!.topicId).toBe(described.topics[0]!.topicId);
    if (version >= 5) {
      expect(created).toMatchObject({ numPartitions: 2, replicationFactor: 1 });
      const ours = created!.configs!.find(({ name }) => name === 'max.message.bytes');
      expect(ours).toMatchObject({ value: '5000', configSource: 1, readOnly: false });
      const other = created!.configs!.find(({ name }) => name === 'cleanup.policy');
      expect(other).toMatchObject({ value: 'delete', configSource: 5 });
    }
  });

  const assignments = [{ partitionIndex: 0, brokerIds: [1] }];
  it.each([
    ['', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['.', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['..', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['a/b', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['ä', {}, 'INVALID_TOPIC_EXCEPTION'],
    ['x'.repeat(250), {}, 'INVALID_TOPIC_EXCEPTION'],
    ['taken', {}, 'TOPIC_ALREADY_EXISTS'],
    ['do.ts', {}, 'INVALID_TOPIC_EXCEPTION'], // collides with do_ts
    ['new', { assignments, numPartitions: -1 }, 'INVALID_REPLICA_ASSIGNMENT'],
    ['new', { numPartitions: 0 }, 'INVALID_PARTITIONS'],
    ['new', { numPartitions: -2 }, 'INVALID_PARTITIONS'],
    ['new', { numPartitions: limits.topicPartitionsMax + 1 }, 'INVALID_PARTITIONS'],
    ['new', { replicationFactor: 3 }, 'INVALID_REPLICATION_FACTOR'],
    ['new', { replicationFactor: 0 }, 'INVALID_REPLICATION_FACTOR'],
    ['new', { configs: [{ name: 'no.such.config', value: '1' }] }, 'INVALID_CONFIG'],
    ['new', { configs: [{ name: 'cleanup.policy', value: 'compact' }] }, 'INVALID_CONFIG'],
    ['new', { configs: [{ name: 'max.message.bytes', value: 'many' }] }, 'INVALID_CONFIG'],
    ['new', { configs: [{ name: 'max.message.bytes', value: '-1' }] }, 'INVALID_CONFIG'],
  ] as const)('refuses %s with %o: %s', async (name, fields, errorName) => {
    const server = await startServer();
    await server.createTopic('taken');
    await server.createTopic('do_ts');
    const topic = { name, numPartitions: 1, replicationFactor: 1, ...fields };
    for (const validateOnly of [true, false]) {
      const { topics } = await server.call(createTopics, { topics: [topic], validateOnly });
      expect(topics[0]).toMatchObject({
        name,
        topicId: zeroUuid,
        errorCode: errorCodes[errorName],
      });
      expect(topics[0]!.errorMessage).toMatch(/./);
    }
    const all = await server.call(metadata, { topics: null });
    expect(new Set(all.topics.map((each) => each.name))).toEqual(new Set(['do_ts', 'taken']));
  });

  it('takes a name of 249 characters, defaults, and configs without a value', async () => {
    const server = await startServer();
    const name = 'x'.repeat(249);
    const configs = [{ name: 'max.message.bytes', value: null }];
    const { topics } = await server.call(createTopics, {
      topics: [{ name, numPartitions: -1, replicationFactor: -1, configs }],
    });
    expect(topics[0]).toMatchObject({ errorCode: 0, numPartitions: 3, replicationFactor: 1 });
  });

  it('judges each topic of a request by itself; a name that is twice in it is refused once', async () => {
    const server = await startServer();
    const topic = (name: string) => ({ name, numPartitions: 1, replicationFactor: 1 });
    const { topics } = await server.call(createTopics, {
      topics: ['a', 'twice', 'b', 'twice', '?'].map(topic),
    });
    expect(topics.map(({ errorCode, name }) => [name, errorCode])).toEqual([
      ['a', 0],
      ['twice', errorCodes.INVALID_REQUEST],
      ['b', 0],
      ['?', errorCodes.INVALID_TOPIC_EXCEPTION],
    ]);
  });

  it('with validateOnly says what would be and does nothing', async () => {
    const server = await startServer();
    const { topics } = await server.call(createTopics, {
      topics: [{ name: 'a', numPartitions: 4, replicationFactor: 1 }],
      validateOnly: true,
    });
    expect(topics[0]).toMatchObject({ errorCode: 0, numPartitions: 4, topicId: zeroUuid });
    expect((await server.call(metadata, { topics: null })).topics).toEqual([]);
  });

  it('of the same name at once is done for one of them', async () => {
    const server = await startServer();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () =>
        server.call(createTopics, {
          topics: [{ name: 'a', numPartitions: 1, replicationFactor: 1 }],
        }),
      ),
    );
    const codes = answers.map(({ topics }) => topics[0]!.errorCode).sort((a, b) => a - b);
    expect(codes).toEqual([0, ...Array.from({ length: 7 }, () => errorCodes.TOPIC_ALREADY_EXISTS)]);
  });

  it('by a coordinator that has lost the shard: NOT_CONTROLLER, and nothing is done', async () => {
    const server = await startServer();
    const topic = { name: 'a', numPartitions: 1, replicationFactor: 1 };
    await server.depose();
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const { topics } = await server.call(createTopics, { topics: [topic] });
      expect(topics[0]).toMatchObject({ errorCode: errorCodes.NOT_CONTROLLER });
    }
    // It takes the free shard again, and then it can.
    const create = async (): Promise<number> =>
      (await server.call(createTopics, { topics: [topic] })).topics[0]!.errorCode;
    await expect.poll(create).toBe(0);
  });
});

describe('DeleteTopics', () => {
  it.each(versionsOf(deleteTopics))('v%i by name', async (version) => {
    const server = await startServer();
    await server.createTopic('a');
    await server.createTopic('b');
    const names = ['a', 'unknown'];
    const request =
      version >= 6 ? { topics: names.map((name) => ({ name })) } : { topicNames: names };
    const { responses } = await server.call(deleteTopics, request, version);
    expect(responses).toMatchObject([
      { name: 'a', errorCode: 0, errorMessage: null },
      { name: 'unknown', errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION },
    ]);
    const all = await server.call(metadata, { topics: null });
    expect(all.topics.map(({ name }) => name)).toEqual(['b']);
  });

  it('by id; unknown ids, and a name with an id, are refused', async () => {
    const server = await startServer();
    const topicId = await server.createTopic('a');
    const unknown = '11111111-1111-4111-8111-111111111111';
    const { responses } = await server.call(deleteTopics, {
      topics: [
        { name: null, topicId: unknown },
        { name: 'a', topicId },
        { name: null, topicId },
        { name: null, topicId },
      ],
    });
    expect(responses.map(({ errorCode }) => errorCode)).toEqual([
      errorCodes.UNKNOWN_TOPIC_ID,
      errorCodes.INVALID_REQUEST,
      0,
      errorCodes.UNKNOWN_TOPIC_ID,
    ]);
    expect(responses[2]).toMatchObject({ name: 'a', topicId });
    expect(await server.createTopic('a')).not.toBe(topicId);
  });

  it('by a coordinator that has lost the shard: NOT_CONTROLLER, and nothing is done', async () => {
    const server = await startServer();
    const topicId = await server.createTopic('a');
    await server.depose();
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const { responses } = await server.call(deleteTopics, { topics: [{ name: 'a' }] });
      expect(responses[0]).toMatchObject({ errorCode: errorCodes.NOT_CONTROLLER });
    }
    expect(await server.store.loadTopic(topicId)).not.toBeNull();
  });

  it('that an owner left half done is gone on with by the next', async () => {
    const server = await startServer();
    await server.createTopic('events', 2);
    const { database } = server.store;
    await database.write((sql) =>
      sql.unsafe(`UPDATE topics SET deleted_at = now(); UPDATE partitions SET deleted_at = now()`),
    );
    await server.depose();
    const isGone = async () =>
      (await database.read((sql) => sql`SELECT FROM partitions`)).length === 0;
    await expect.poll(isGone).toBe(true);
  });
});

it('APIs and versions that are not served close the connection', async () => {
  const server = await startServer();
  const reply = await server.reply(apis.offsetDelete, { groupId: 'g' });
  expect(reply).toMatchObject({ kind: 'close' });
  const { produce } = apis;
  expect(await server.reply(produce, { acks: -1 }, 9)).toMatchObject({ kind: 'close' });
});
