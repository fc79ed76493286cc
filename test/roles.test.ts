import { setTimeout as delay } from 'node:timers/promises';
import { errorCodes, errorName } from '@kafscale/codec';
import { Kafka, logLevel, Partitioners } from 'kafkajs';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { GroupMember } from './support/group-member.js';
import { IdempotentProducer } from './support/idempotent-producer.js';
import { createTopic, fetchOnce, listOffset, metadataOf } from './support/kafka-calls.js';
import { ConnectionLost, KafkaConnection } from './support/kafka-connection.js';
import { checkLog } from './support/log-check.js';
import { produceThrough } from './support/produce-through.js';
import { findProgram, runProgram } from './support/programs.js';
import { Random } from './support/random.js';
import { RoleCluster } from './support/role-cluster.js';
import { defaultFiles, noS3Server, startS3Store } from './support/stores.js';
import type { TestStore } from './support/stores.js';

const storeName = noS3Server === null ? 'S3' : `a shared folder (S3 ${noS3Server})`;
const random = Random.fromEnvironment();
const title = `roles as processes over PostgreSQL and ${storeName} (KAFSCALE_TEST_SEED=${random.seed})`;

describe(title, () => {
  let store: TestStore;
  let cluster: RoleCluster;
  let ports: readonly number[];
  const connections: KafkaConnection[] = [];

  beforeAll(async () => {
    store = noS3Server === null ? await startS3Store() : defaultFiles;
    cluster = await RoleCluster.start(store);
    ports = cluster.of('front').map(({ kafkaPort }) => kafkaPort);
  });

  afterAll(async () => {
    for (const connection of connections) connection.close();
    await cluster?.stop();
    await store?.stop();
  });

  afterEach(({ task }) => {
    if (task.result?.state === 'fail') process.stderr.write(cluster.tails);
  });

  async function connect(port: number): Promise<KafkaConnection> {
    const connection = await KafkaConnection.connect(port);
    connections.push(connection);
    return connection;
  }

  function kafkaJs(brokers: readonly number[]): Kafka {
    return new Kafka({
      clientId: 'system-test',
      brokers: brokers.map((port) => `127.0.0.1:${port}`),
      logLevel: logLevel.NOTHING,
      retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 8 },
    });
  }

  it('names both fronts, and every partition has one of them as its leader', async () => {
    const [a, b] = await Promise.all(ports.map(connect));
    await createTopic(a!, 'spread', 32);
    const seen = await Promise.all([a!, b!].map((front) => metadataOf(front, ['spread'])));
    for (const { brokers, topics } of seen) {
      expect(new Set(brokers.map(({ port }) => port))).toEqual(new Set(ports));
      const leaders = new Set(topics[0]?.partitions.map(({ leaderId }) => leaderId));
      expect(leaders).toEqual(new Set(brokers.map(({ nodeId }) => nodeId)));
    }
    expect(seen[0]?.topics).toEqual(seen[1]?.topics);
  });

  it('shows a record at once through the other front (P2)', async () => {
    await createTopic(await connect(ports[0]!), 'at-once', 1);
    const at = { topic: 'at-once', partition: 0 };
    const producers = ports.map((_, index) => {
      return new IdempotentProducer({ name: `p${index}`, topic: at.topic, partitions: 1, random });
    });
    for (let round = 0; round < 12; round += 1) {
      const producer = producers[round % 2]!;
      // New connections: each of them may be served by other ingest and fetch nodes.
      // oxlint-disable-next-line no-await-in-loop
      const [writer, reader] = [
        await connect(ports[round % 2]!),
        await connect(ports[(round + 1) % 2]!),
      ];
      // oxlint-disable-next-line no-await-in-loop
      if (round < 2) await producer.register(writer);
      const before = producer.batches.length;
      // oxlint-disable-next-line no-await-in-loop
      await producer.stream(writer, () => producer.batches.length > before);
      const acked = producer.batches.at(-1)!;
      expect(acked.outcome).toBe('acked');
      const end = acked.baseOffset! + acked.values.length;
      // oxlint-disable-next-line no-await-in-loop
      const [latest, fetched] = await Promise.all([
        listOffset(reader, { ...at, timestamp: -1 }),
        fetchOnce(reader, { ...at, offset: acked.baseOffset! }),
      ]);
      expect(latest, 'ListOffsets').toBeGreaterThanOrEqual(end);
      expect(fetched.highWatermark, 'Fetch').toBeGreaterThanOrEqual(end);
      expect(fetched.records.length).toBeGreaterThan(0);
    }
    const sent = producers.flatMap(({ batches }) => batches);
    for (const port of ports) {
      // oxlint-disable-next-line no-await-in-loop
      await checkLog(await connect(port), at.topic, sent);
    }
  });

  it('serves kafkajs: through one front in, through the other one out, in a group', async () => {
    const producer = kafkaJs([ports[0]!]).producer({
      createPartitioner: Partitioners.DefaultPartitioner,
    });
    await createTopic(await connect(ports[0]!), 'kafkajs', 3);
    await producer.connect();
    const values = Array.from({ length: 300 }, (_, index) => `value ${index}`);
    const messages = values.map((value, index) => ({ key: `key ${index % 10}`, value }));
    for (let at = 0; at < messages.length; at += 100) {
      // oxlint-disable-next-line no-await-in-loop
      await producer.send({ topic: 'kafkajs', messages: messages.slice(at, at + 100) });
    }
    await producer.disconnect();
    const consumer = kafkaJs([ports[1]!]).consumer({ groupId: 'kafkajs-group' });
    const received: string[] = [];
    await consumer.connect();
    await consumer.subscribe({ topic: 'kafkajs', fromBeginning: true });
    await consumer.run({
      eachMessage: ({ message }) => {
        received.push(message.value?.toString() ?? '');
        return Promise.resolve();
      },
    });
    await expect.poll(() => received.length).toBe(values.length);
    await consumer.disconnect();
    expect(received.toSorted()).toEqual(values.toSorted());
  });

  const kcat = findProgram('kcat');
  it.skipIf(kcat === undefined)(
    `serves kcat${kcat === undefined ? ' (left out: no kcat on PATH)' : ''}`,
    async () => {
      const [a, b] = ports.map((port) => `127.0.0.1:${port}`);
      const lines = Array.from({ length: 500 }, (_, index) => `line ${index}\n`).join('');
      await runProgram(kcat!, ['-b', a!, '-t', 'kcat-lines', '-P', '-p', '0'], lines);
      const consume = ['-b', b!, '-t', 'kcat-lines', '-C', '-o', 'beginning', '-e', '-q'];
      expect(await runProgram(kcat!, consume)).toBe(lines);
    },
  );

  it('keeps groups, offsets and sequences over kill -9 of the coordinator', async () => {
    const at = { topic: 'survives', partition: 0 };
    const client = await connect(ports[0]!);
    await createTopic(client, at.topic, 1);
    const producer = new IdempotentProducer({ name: 'p', topic: at.topic, partitions: 1, random });
    await producer.register(client);
    await producer.stream(client, () => producer.batches.length >= 10);
    const member = new GroupMember('survivors', 60_000);
    await member.join(client);
    expect(await member.commit(client, { ...at, offset: 3 })).toBe(errorCodes.NONE);

    await cluster.of('coordinator')[0]!.server.kill();
    const restart = cluster.startCoordinator();
    const errors = await heartbeatUntilServed(member, ports[0]!, restart);

    const passing = [
      'NOT_COORDINATOR',
      'COORDINATOR_NOT_AVAILABLE',
      'COORDINATOR_LOAD_IN_PROGRESS',
    ];
    expect(passing).toEqual(expect.arrayContaining(errors));
    const again = await connect(ports[1]!);
    expect(await member.heartbeat(again), 'the same generation').toBe(errorCodes.NONE);
    expect(await member.committed(again, at)).toBe(3);
    expect(await member.commit(again, { ...at, offset: 5 })).toBe(errorCodes.NONE);
    expect(await member.committed(again, at)).toBe(5);

    // A repeated batch gets its original offset, and the next sequence is accepted.
    const last = producer.batches.at(-1)!;
    const original = last.baseOffset;
    last.outcome = 'unknown';
    last.mayBeWritten = true;
    last.baseOffset = null;
    const enough = producer.batches.length + 5;
    await produceThrough(producer, ports, () => producer.batches.length >= enough);
    expect(last.baseOffset).toBe(original);
    await checkLog(await connect(ports[1]!), at.topic, producer.batches);
  });

  it('goes on when an ingest node and a front are killed', { timeout: 360_000 }, async () => {
    const topic = 'goes-on';
    const [deadFront, liveFront] = [cluster.of('front')[0]!, cluster.of('front')[1]!];
    await createTopic(await connect(liveFront.kafkaPort), topic, 4);
    const consumers = await Promise.all([0, 1].map(() => startConsumer('goes-on-group')));
    const received = (): Set<string> => new Set(consumers.flatMap(({ values }) => values));
    const producers = await Promise.all(
      ['a', 'b', 'c', 'd'].map(async (name) => {
        const producer = new IdempotentProducer({ name, topic, partitions: 4, random });
        await producer.register(await connect(liveFront.kafkaPort));
        return producer;
      }),
    );
    let isEnough = false;
    const streams = producers.map((producer, index) => {
      const [first, second] = index % 2 === 0 ? [0, 1] : [1, 0];
      return produceThrough(producer, [ports[first]!, ports[second]!], () => isEnough);
    });
    const acked = (): number => {
      const sent = producers.flatMap(({ batches }) => batches);
      return sent.filter(({ outcome }) => outcome === 'acked').length;
    };
    await expect.poll(acked).toBeGreaterThan(50);
    await delay(random.integer(0, 500));
    await cluster.of('ingest')[0]!.server.kill();
    await delay(random.integer(0, 500));
    await deadFront.server.kill();
    const ackedAtKill = acked();
    await expect.poll(acked).toBeGreaterThan(ackedAtKill + 100);

    const reader = await connect(liveFront.kafkaPort);
    const brokers = async (): Promise<number[]> =>
      (await metadataOf(reader, [])).brokers.map(({ port }) => port);
    // Declared dead 10 s after its last heartbeat, looked for every few seconds.
    await expect.poll(brokers, { interval: 200 }).toEqual([liveFront.kafkaPort]);
    isEnough = true;
    await Promise.all(streams);

    const sent = producers.flatMap(({ batches }) => batches);
    const found = await checkLog(reader, topic, sent);
    expect(found.size).toBe(sent.length);
    const all = new Set(sent.flatMap(({ values }) => values));
    await expect.poll(() => received().size, { timeout: 180_000 }).toBe(all.size);
    expect(received()).toEqual(all);
    await Promise.all(consumers.map(({ stop }) => stop()));

    async function startConsumer(groupId: string) {
      const consumer = kafkaJs(ports).consumer({
        groupId,
        sessionTimeout: 8_000,
        heartbeatInterval: 1_000,
        rebalanceTimeout: 10_000,
      });
      const values: string[] = [];
      await consumer.connect();
      await consumer.subscribe({ topic, fromBeginning: true });
      await consumer.run({
        eachMessage: ({ message }) => {
          values.push(message.value?.toString() ?? '');
          return Promise.resolve();
        },
      });
      return { values, stop: () => consumer.disconnect() };
    }
  });
});

/**
 * Heartbeats, on new connections where one is lost, until one is answered well by the coordinator that
 * was started; the errors before.
 */
async function heartbeatUntilServed(
  member: GroupMember,
  port: number,
  restart: Promise<unknown>,
): Promise<string[]> {
  let hasRestarted = false;
  const restarted = restart.then(() => (hasRestarted = true));
  const errors = new Set<string>();
  let connection = await KafkaConnection.connect(port);
  for (;;) {
    try {
      const isOfRestarted = hasRestarted;
      // oxlint-disable-next-line no-await-in-loop
      const errorCode = await member.heartbeat(connection);
      if (errorCode === errorCodes.NONE && isOfRestarted) break;
      if (errorCode !== errorCodes.NONE) errors.add(errorName(errorCode));
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      // oxlint-disable-next-line no-await-in-loop
      connection = await KafkaConnection.connect(port);
    }
    // oxlint-disable-next-line no-await-in-loop
    await delay(100);
  }
  connection.close();
  await restarted;
  return [...errors];
}
