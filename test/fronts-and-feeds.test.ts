import { startTestPostgres, takePort } from '@kafscale/testing';
import type { TestPostgres } from '@kafscale/testing';
import { apis, errorCodes } from '@kafscale/codec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanup } from './commit-rules/cleanup.js';
import { metricOf, spawnRole } from './commit-rules/role-process.js';
import type { RoleProcess } from './commit-rules/role-process.js';
import { SlowLink } from './commit-rules/slow-link.js';
import { StoreFolder } from './commit-rules/store-folder.js';
import { IdempotentProducer } from './support/idempotent-producer.js';
import { createTopic } from './support/kafka-calls.js';
import { ConnectionLost, KafkaConnection } from './support/kafka-connection.js';
import { checkLog } from './support/log-check.js';
import { produceThrough } from './support/produce-through.js';
import { Random } from './support/random.js';

/** P2 through real fronts: producers on one, readers on another, whose fetch node has a bad feed. */
const topic = 'events';
const random = Random.fromEnvironment();

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());

interface Zone {
  readonly fetch: RoleProcess;
  readonly kafkaPort: number;
}

/** A front and a fetch node, which are each other's nearest. */
async function startZone(
  name: string,
  urls: { readonly front: string; readonly fetch: string; readonly store: string },
): Promise<Zone> {
  const kafkaPort = await takePort();
  const env = { KAFSCALE_ZONE: name, KAFSCALE_STORE_URL: urls.store };
  const fetch = await spawnRole('fetch', { ...env, KAFSCALE_COORDINATOR_URL: urls.fetch });
  const front = await spawnRole('front', {
    ...env,
    KAFSCALE_COORDINATOR_URL: urls.front,
    KAFSCALE_KAFKA_PORT: String(kafkaPort),
  });
  await Promise.all([fetch.process.waitUntilReady(), front.process.waitUntilReady()]);
  return { fetch, kafkaPort };
}

async function connectTo(port: number): Promise<KafkaConnection> {
  const connection = await KafkaConnection.connect(port);
  cleanup(() => connection.close());
  return connection;
}

/** Both ways to learn of the end; null: a retriable error, or a connection that ended. */
async function endBy(
  connection: KafkaConnection,
  how: 'ListOffsets' | 'Fetch',
  offset: number,
): Promise<number | null> {
  try {
    if (how === 'ListOffsets') {
      const partitions = [{ partitionIndex: 0, timestamp: -1n }];
      const request = { replicaId: -1, topics: [{ name: topic, partitions }] };
      const response = await connection.call(apis.listOffsets, request);
      const answer = response.topics[0]!.partitions[0]!;
      return judged(answer.errorCode, Number(answer.offset));
    }
    const partitions = [{ partition: 0, fetchOffset: BigInt(offset), partitionMaxBytes: 1 }];
    const response = await connection.call(
      apis.fetch,
      {
        maxWaitMs: 0,
        minBytes: 0,
        maxBytes: 1_000_000,
        sessionEpoch: -1,
        topics: [{ topic, partitions }],
      },
      12,
    );
    const answer = response.responses[0]!.partitions[0]!;
    // What was acknowledged before the request is never out of range, and never missing.
    if (answer.errorCode === 0) expect(answer.records?.length).toBeGreaterThan(0);
    return judged(answer.errorCode, Number(answer.highWatermark));
  } catch (error) {
    if (error instanceof ConnectionLost) return null;
    throw error;
  }
}

function judged(errorCode: number, end: number): number | null {
  if (errorCode === errorCodes.NONE) return end;
  expect(errorCode).toBe(errorCodes.NOT_LEADER_OR_FOLLOWER);
  return null;
}

describe(`fronts, one of them with a bad feed (KAFSCALE_TEST_SEED=${random.seed})`, () => {
  it(
    'show every acknowledged record to whoever asks afterwards (P2)',
    { timeout: 360_000 },
    async () => {
      const folder = new StoreFolder();
      cleanup(() => folder.remove());
      const store = folder.url;
      const owner = await spawnRole('coordinator', {
        KAFSCALE_METADATA_URL: await postgres.createDatabase(),
        KAFSCALE_STORE_URL: store,
      });
      await owner.process.waitUntilReady();
      const coordinator = owner.url;
      const link = await SlowLink.start(coordinator);
      const ingest = await spawnRole('ingest', {
        KAFSCALE_COORDINATOR_URL: coordinator,
        KAFSCALE_STORE_URL: store,
      });
      const [near, far] = await Promise.all([
        startZone('near', { front: coordinator, fetch: coordinator, store }),
        startZone('far', { front: coordinator, fetch: link.url, store }),
      ]);
      await ingest.process.waitUntilReady();
      await createTopic(await connectTo(near.kafkaPort), topic, 1);

      const answers = { near: 0, far: 0 };
      const mayFail = { near: false, far: true };
      const rounds = 25;
      const isEnough = (): boolean => link.cuts > 2 && answers.far > rounds;
      const stop = new AbortController();
      const pause = (ms: number): Promise<void> => new Promise((go) => setTimeout(go, ms));
      const trouble = (async () => {
        for (let round = 1, seen = 0; !stop.signal.aborted; round += 1) {
          link.hold();
          await pause(random.integer(5, 60));
          // Once somebody got an answer by it: on a slow machine it would never be up otherwise.
          if (round % 3 === 0 && answers.far > seen) {
            link.cut();
            seen = answers.far;
          }
          link.deliver();
          await pause(random.integer(5, 60));
        }
      })();

      const producers = [0, 1].map(
        (index) => new IdempotentProducer({ name: `p${index}`, topic, partitions: 1, random }),
      );
      try {
        await Promise.all(
          producers.map(async (producer, index) => {
            const { kafkaPort: writerPort } = [near, far][index]!;
            await producer.register(await connectTo(writerPort));
            for (let round = 0; round < rounds || !isEnough(); round += 1) {
              await produceThrough(
                producer,
                [writerPort],
                () => producer.batches.length > round * 2,
              );
              const acked = producer.batches.at(-1)!;
              expect(acked.outcome).toBe('acked');
              const end = acked.baseOffset! + acked.values.length;
              await Promise.all(
                (['near', 'far'] as const).flatMap((where) =>
                  (['ListOffsets', 'Fetch'] as const).map(async (how) => {
                    const { kafkaPort } = where === 'near' ? near : far;
                    let seen: number | null;
                    do seen = await endOnNewConnection(kafkaPort, how, acked.baseOffset!);
                    while (seen === null && !mayFail[where]); // as clients do
                    if (seen === null) return;
                    answers[where] += 1;
                    expect(seen, `${how} on the ${where} front`).toBeGreaterThanOrEqual(end);
                  }),
                ),
              );
            }
          }),
        );
      } finally {
        stop.abort();
        await trouble;
      }
      expect(answers.near).toBeGreaterThanOrEqual(2 * 2 * rounds);
      expect(answers.far).toBeGreaterThan(rounds);
      // The far front did ask the node with the bad feed.
      expect(await metricOf(far.fetch, 'fetch_requests_total')).toBeGreaterThan(rounds);
      const sent = producers.flatMap(({ batches }) => batches);
      for (const { kafkaPort } of [near, far]) {
        await checkLog(await connectTo(kafkaPort), topic, sent);
      }
    },
  );
});

async function endOnNewConnection(
  port: number,
  how: 'ListOffsets' | 'Fetch',
  offset: number,
): Promise<number | null> {
  const connection = await KafkaConnection.connect(port);
  const end = await endBy(connection, how, offset);
  connection.close();
  return end;
}
