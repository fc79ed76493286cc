import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { apis, encodePlainBatch, errorCodes } from '@kafscale/codec';
import { describe, expect, it } from 'vitest';
import { IdempotentProducer } from './support/idempotent-producer.js';
import type { SentBatch } from './support/idempotent-producer.js';
import { createTopic, fetchOnce, readPartition } from './support/kafka-calls.js';
import { KafkaConnection } from './support/kafka-connection.js';
import { Random } from './support/random.js';
import { runCommand } from './support/run-command.js';
import { ServerProcess } from './support/server-process.js';
import { Standalone } from './support/standalone.js';
import { defaultFiles, noS3Server, startS3Store } from './support/stores.js';
import type { TestStore } from './support/stores.js';

const topic = 'precious';
const partitions = 3;
const random = Random.fromEnvironment();

/** The variables that name the stores: commands know no others. */
function storeEnv(server: Standalone): Record<string, string> {
  return Object.fromEntries(
    Object.entries(server.env).filter(([name]) => /DATA_DIR|STORE_URL|S3_|AWS_/.test(name)),
  );
}

async function withConnection<T>(
  port: number,
  work: (connection: KafkaConnection) => Promise<T>,
): Promise<T> {
  const connection = await KafkaConnection.connect(port);
  try {
    return await work(connection);
  } finally {
    connection.close();
  }
}

/** For that time, and until there are a few batches of every partition, however slow it is. */
async function stream(port: number, producer: IdempotentProducer, durationMs: number) {
  const before = producer.batches.length;
  const end = performance.now() + durationMs;
  const sentOf = (partition: number): number =>
    producer.batches.slice(before).filter((batch) => batch.partition === partition).length;
  const isEnough = (): boolean =>
    performance.now() > end &&
    Array.from({ length: partitions }, (_, partition) => sentOf(partition)).every((n) => n >= 3);
  await withConnection(port, (connection) => producer.stream(connection, isEnough));
  const sent = producer.batches.slice(before);
  expect(sent.length).toBeGreaterThan(5);
  expect(sent.filter(({ outcome }) => outcome !== 'acked')).toEqual([]);
  return sent;
}

/** Offset and value of every record of a partition. */
async function recordsOf(
  connection: KafkaConnection,
  partition: number,
): Promise<readonly string[]> {
  const { batches } = await readPartition(connection, { topic, partition });
  return batches.flatMap(({ header, values }) =>
    values.map((value, index) => `${header.baseOffset + index} ${value}`),
  );
}

function sentTo(partition: number, batches: readonly SentBatch[]): readonly string[] {
  return batches
    .filter((batch) => batch.partition === partition)
    .flatMap(({ baseOffset, values }) =>
      values.map((value, index) => `${baseOffset! + index} ${value}`),
    )
    .sort((left, right) => Number.parseInt(left, 10) - Number.parseInt(right, 10));
}

async function endOfEpoch(connection: KafkaConnection, leaderEpoch: number, partition: number) {
  const response = await connection.call(apis.offsetForLeaderEpoch, {
    replicaId: -1,
    topics: [{ topic, partitions: [{ partition, currentLeaderEpoch: 1, leaderEpoch }] }],
  });
  const answer = response.topics[0]!.partitions[0]!;
  return { errorCode: answer.errorCode, epoch: answer.leaderEpoch, end: Number(answer.endOffset) };
}

async function commitOffset(connection: KafkaConnection, offset: number): Promise<void> {
  const response = await connection.call(
    apis.offsetCommit,
    {
      groupId: 'readers',
      generationIdOrMemberEpoch: -1,
      topics: [
        {
          name: topic,
          partitions: [
            { partitionIndex: 0, committedOffset: BigInt(offset), committedMetadata: 'here' },
          ],
        },
      ],
    },
    8,
  );
  expect(response.topics[0]!.partitions[0]!.errorCode).toBe(0);
}

async function loseEverythingButTheBucket(store: TestStore): Promise<void> {
  const standalone = await Standalone.prepare({ ...store.env, KAFSCALE_INDEX_INTERVAL_MS: '200' });
  const { dataDir, kafkaPort } = standalone;
  let server: ServerProcess | undefined = await standalone.start();
  try {
    const producer = new IdempotentProducer({ name: 'p', topic, partitions, random });
    await withConnection(kafkaPort, async (connection) => {
      await createTopic(connection, topic, partitions);
      await producer.register(connection);
    });
    const kept = await stream(kafkaPort, producer, 1_000);
    await withConnection(kafkaPort, (connection) => commitOffset(connection, 3));
    // A clean end writes the last manifest.
    expect(await server.stop()).toEqual({ code: 0, signal: null });

    // From now on no manifest is written, and the end is not clean.
    const env = { ...standalone.env, KAFSCALE_INDEX_INTERVAL_MS: '3600000' };
    server = await ServerProcess.start({
      args: ['standalone'],
      env,
      httpPort: standalone.httpPort,
    });
    const after = await stream(kafkaPort, producer, 500);
    server.killGroup();
    await server.exited;
    await dataDir.killPostgres({ withChildren: true });
    await rm(join(dataDir.path, 'postgres'), { recursive: true, force: true });
    await rm(join(dataDir.path, 'coordinator-instance-id'), { force: true });

    const recovery = await runCommand(['recover', '--json'], storeEnv(standalone));
    expect(recovery).toMatchObject({ code: 0, stderr: '' });
    const report = JSON.parse(recovery.stdout) as {
      heads: { partitionIndex: number; nextOffset: number }[];
      cameAfter: { content: { extents: { recordCount: number }[] } }[];
    };
    const recordsAfter = report.cameAfter
      .flatMap(({ content }) => content.extents)
      .reduce((sum, { recordCount }) => sum + recordCount, 0);
    expect(recordsAfter).toBe(after.flatMap(({ values }) => values).length);

    server = await standalone.start();
    await withConnection(kafkaPort, async (connection) => {
      for (let partition = 0; partition < partitions; partition += 1) {
        const expected = sentTo(partition, kept);
        expect(await recordsOf(connection, partition)).toEqual(expected);
        // Clients of before learn where what they know ends, and nobody reads on beyond it.
        const cut = { errorCode: 0, epoch: 0, end: expected.length };
        expect(await endOfEpoch(connection, 0, partition)).toEqual(cut);
        const beyond = { topic, partition, offset: expected.length + 1 };
        expect((await fetchOnce(connection, beyond)).errorCode).toBe(
          errorCodes.OFFSET_OUT_OF_RANGE,
        );
      }
      const known = kept.findLast(({ partition }) => partition === 0)!;
      expect(await repeated(connection, known)).toBe(known.baseOffset);
      const offsets = await connection.call(
        apis.offsetFetch,
        { groupId: 'readers', topics: [{ name: topic, partitionIndexes: [0] }] },
        7,
      );
      expect(offsets.topics[0]!.partitions[0]).toMatchObject({
        committedOffset: 3n,
        metadata: 'here',
      });
    });
    const lost = after.findLast(({ partition }) => partition === 0)!;
    const again = await withConnection(kafkaPort, (connection) => sendLostAgain(connection, lost));
    expect(again).toBe(sentTo(0, kept).length);
    const more = [...(await stream(kafkaPort, producer, 500)), { ...lost, baseOffset: again }];
    await withConnection(kafkaPort, async (connection) => {
      await expectFenced(connection, lost);
      for (let partition = 0; partition < partitions; partition += 1) {
        const expected = [...sentTo(partition, kept), ...sentTo(partition, more)];
        expect(await recordsOf(connection, partition)).toEqual(expected);
      }
    });

    const check = await runCommand(['fsck', '--deep', '--quiet'], storeEnv(standalone));
    expect(check).toMatchObject({ code: 0, stderr: '' });
    expect(check.stdout).toContain('unrecovered');
    const explained = await runCommand(['explain', topic, '0', '0'], storeEnv(standalone));
    expect(explained).toMatchObject({ code: 0, stderr: '' });
    expect(await server.stop()).toEqual({ code: 0, signal: null });
  } catch (error) {
    const tail = server?.tail ?? '';
    throw new Error(`seed ${random.seed}; the end of the log:\n${tail}`, { cause: error });
  } finally {
    await standalone.remove(server);
  }
}

/** The same bytes again; the offset of the answer. */
async function repeated(connection: KafkaConnection, batch: SentBatch): Promise<number> {
  const response = await connection.call(apis.produce, {
    acks: -1,
    timeoutMs: 30_000,
    topicData: [
      {
        name: topic,
        partitionData: [
          {
            index: batch.partition,
            records: encodePlainBatch({
              records: batch.values.map((value) => ({
                timestampMs: Date.now(),
                value: Buffer.from(value),
              })),
              producerId: batch.producerId,
              producerEpoch: 0,
              baseSequence: batch.baseSequence,
            }),
          },
        ],
      },
    ],
  });
  const answer = response.responses[0]!.partitionResponses[0]!;
  expect(answer.errorCode).toBe(0);
  return Number(answer.baseOffset);
}

/** Acknowledged, lost, and sent again: it is new, whatever was known of it, and there once. */
async function sendLostAgain(connection: KafkaConnection, lost: SentBatch): Promise<number> {
  const baseOffset = await repeated(connection, lost);
  expect(await repeated(connection, lost)).toBe(baseOffset);
  return baseOffset;
}

/**
 * A consumer that has read what is lost now, and goes on by the epoch of before: there are other
 * records at its position by now, and it is told so.
 */
async function expectFenced(connection: KafkaConnection, lost: SentBatch): Promise<void> {
  const { baseOffset, partition } = lost;
  const fetchAt = async (offset: number, currentLeaderEpoch: number): Promise<number> => {
    const response = await connection.call(
      apis.fetch,
      {
        maxWaitMs: 0,
        minBytes: 0,
        sessionEpoch: -1,
        topics: [
          {
            topic,
            partitions: [
              { partition, currentLeaderEpoch, fetchOffset: BigInt(offset), partitionMaxBytes: 1 },
            ],
          },
        ],
      },
      12,
    );
    return response.responses[0]!.partitions[0]!.errorCode;
  };
  for (const offset of [0, baseOffset!, baseOffset! + 1]) {
    expect(await fetchAt(offset, 0)).toBe(errorCodes.FENCED_LEADER_EPOCH);
  }
  expect(await fetchAt(0, 1)).toBe(errorCodes.NONE);
}

describe(`the bucket is enough (KAFSCALE_TEST_SEED=${random.seed})`, () => {
  it('with local files', { timeout: 360_000 }, () => loseEverythingButTheBucket(defaultFiles));

  it.skipIf(noS3Server !== null)(
    `with S3${noS3Server === null ? '' : ` (${noS3Server})`}`,
    { timeout: 360_000 },
    async () => {
      const store = await startS3Store();
      try {
        await loseEverythingButTheBucket(store);
      } finally {
        await store.stop();
      }
    },
  );
});
