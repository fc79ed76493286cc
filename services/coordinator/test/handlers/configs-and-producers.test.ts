import { apis, errorCodes } from '@kafscale/codec';
import { describe, expect, it } from 'vitest';
import { useAdminServers, versionsOf } from './admin-server.js';

const startServer = useAdminServers();
const { describeConfigs, initProducerId } = apis;
const topicType = 2;
const brokerType = 4;

describe('DescribeConfigs', () => {
  it.each(versionsOf(describeConfigs))(
    'v%i of a topic: its own values and defaults',
    async (version) => {
      const server = await startServer();
      await server.createTopic('a', 1, { 'message.timestamp.type': 'LogAppendTime' });
      const request = {
        resources: [{ resourceType: topicType, resourceName: 'a', configurationKeys: null }],
        includeSynonyms: true,
        includeDocumentation: true,
      };
      const [result] = (await server.call(describeConfigs, request, version)).results;
      expect(result).toMatchObject({ errorCode: 0, errorMessage: null, resourceName: 'a' });
      const config = (name: string) => result!.configs.find((each) => each.name === name)!;
      expect(config('message.timestamp.type')).toMatchObject({
        value: 'LogAppendTime',
        configSource: 1,
        isSensitive: false,
        readOnly: false,
        synonyms: [{ name: 'message.timestamp.type', value: 'LogAppendTime', source: 1 }],
      });
      expect(config('cleanup.policy')).toMatchObject({ value: 'delete', configSource: 5 });
      expect(config('max.message.bytes').configType).toBe(version >= 3 ? 3 : 0);
      const documented = config('max.message.bytes').documentation;
      if (version >= 3) expect(documented).toMatch(/./);
    },
  );

  it('of brokers by id and of the cluster', async () => {
    const server = await startServer({ autoCreateTopics: false, partitionsDefault: 7 });
    const brokerId = await server.addFront(9092);
    const request = {
      resources: [String(brokerId), ''].map((resourceName) => ({
        resourceType: brokerType,
        resourceName,
        configurationKeys: null,
      })),
    };
    const { results } = await server.call(describeConfigs, request);
    for (const result of results) {
      expect(result.errorCode).toBe(0);
      const values = new Map(result.configs.map(({ name, value }) => [name, value]));
      expect(values.get('num.partitions')).toBe('7');
      expect(values.get('auto.create.topics.enable')).toBe('false');
      expect(values.get('default.replication.factor')).toBe('1');
      expect(result.configs.every(({ readOnly }) => readOnly)).toBe(true);
      expect(result.configs.every(({ synonyms }) => synonyms.length === 0)).toBe(true);
    }
  });

  it('gives the configs that were asked for; an empty list means all', async () => {
    const server = await startServer();
    await server.createTopic('a');
    const names = async (configurationKeys: string[]): Promise<string[]> => {
      const resource = { resourceType: topicType, resourceName: 'a', configurationKeys };
      const { results } = await server.call(describeConfigs, { resources: [resource] });
      return results[0]!.configs.map(({ name }) => name);
    };
    expect(await names(['retention.ms', 'no.such.config'])).toEqual(['retention.ms']);
    expect((await names([])).length).toBeGreaterThan(5);
  });

  it.each([
    [topicType, 'unknown', 'UNKNOWN_TOPIC_OR_PARTITION'],
    [topicType, 'no good name', 'INVALID_TOPIC_EXCEPTION'],
    [topicType, '', 'INVALID_TOPIC_EXCEPTION'],
    [brokerType, '4711', 'INVALID_REQUEST'],
    [brokerType, 'x', 'INVALID_REQUEST'],
    [8, '1', 'INVALID_REQUEST'], // loggers
    [0, 'a', 'INVALID_REQUEST'],
  ] as const)('of resource type %i, "%s": %s', async (resourceType, resourceName, errorName) => {
    const server = await startServer();
    await server.addFront(9092);
    const resources = [{ resourceType, resourceName, configurationKeys: null }];
    const { results } = await server.call(describeConfigs, { resources });
    expect(results[0]).toMatchObject({
      errorCode: errorCodes[errorName],
      resourceType,
      resourceName,
      configs: [],
    });
    expect(results[0]!.errorMessage).toMatch(/./);
  });
});

describe('InitProducerId', () => {
  it.each(versionsOf(initProducerId))('v%i gives a fresh id every time', async (version) => {
    const server = await startServer();
    const request = { transactionalId: null, transactionTimeoutMs: 60_000 };
    const ids = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const answer = await server.call(initProducerId, request, version);
        expect(answer).toMatchObject({ errorCode: 0, producerEpoch: 0 });
        return answer.producerId;
      }),
    );
    expect(new Set(ids).size).toBe(50);
    expect(ids.every((id) => id >= 0n)).toBe(true);
  });

  it('never gives an id twice, also when the shard has another owner', async () => {
    const server = await startServer();
    const next = async (): Promise<bigint> =>
      (await server.call(initProducerId, { transactionalId: null })).producerId;
    const before = await next();
    await server.depose();
    expect(await next()).toBeGreaterThan(before);
  });

  it('gives a fresh id whatever id and epoch the request names: no transactional id, no memory', async () => {
    const server = await startServer();
    const first = await server.call(initProducerId, { transactionalId: null });
    const { producerId } = first;
    const again = await server.call(initProducerId, {
      transactionalId: null,
      producerId,
      producerEpoch: 0,
    });
    expect(again).toMatchObject({ errorCode: 0, producerEpoch: 0 });
    expect(again.producerId).not.toBe(producerId);
  });

  it.each([
    ['orders', 'TRANSACTIONAL_ID_AUTHORIZATION_FAILED'],
    ['', 'INVALID_REQUEST'],
  ] as const)('refuses the transactional id "%s": %s', async (transactionalId, errorName) => {
    const server = await startServer();
    const answer = await server.call(initProducerId, { transactionalId });
    const errorCode = errorCodes[errorName];
    expect(answer).toMatchObject({ errorCode, producerId: -1n, producerEpoch: -1 });
  });

  it('without a database: COORDINATOR_NOT_AVAILABLE', async () => {
    const server = await startServer();
    await server.coordinator.close();
    await server.store.close();
    expect(await server.call(initProducerId, { transactionalId: null })).toMatchObject({
      errorCode: errorCodes.COORDINATOR_NOT_AVAILABLE,
      producerId: -1n,
    });
  });
});
