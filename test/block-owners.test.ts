import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { IdempotentProducer } from './support/idempotent-producer.js';
import { createTopic } from './support/kafka-calls.js';
import { KafkaConnection } from './support/kafka-connection.js';
import { checkLog } from './support/log-check.js';
import { produceThrough } from './support/produce-through.js';
import { Random } from './support/random.js';
import { RoleCluster } from './support/role-cluster.js';
import { noS3Server, startS3Store } from './support/stores.js';
import type { TestStore } from './support/stores.js';

const random = Random.fromEnvironment();
const title = `fetch nodes that share the loading, over PostgreSQL and S3 (KAFSCALE_TEST_SEED=${random.seed})`;

describe.skipIf(noS3Server !== null)(title, () => {
  let store: TestStore;
  let cluster: RoleCluster;
  const connections: KafkaConnection[] = [];

  beforeAll(async () => {
    store = await startS3Store();
    cluster = await RoleCluster.start(store);
  });

  afterAll(async () => {
    for (const connection of connections) connection.close();
    await cluster?.stop();
    await store?.stop();
  });

  afterEach(({ task }) => {
    if (task.result?.state === 'fail') process.stderr.write(cluster.tails);
  });

  /** A front gives its connections to the fetch nodes in turn. */
  async function connect(): Promise<KafkaConnection> {
    const connection = await KafkaConnection.connect(cluster.of('front')[0]!.kafkaPort);
    connections.push(connection);
    return connection;
  }

  async function sum(metric: string): Promise<number> {
    const values = await Promise.all(
      cluster.of('fetch').map(async ({ httpPort }) => {
        const text = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
        return Number(new RegExp(`^kafscale_${metric} (.*)$`, 'm').exec(text)?.[1]);
      }),
    );
    return values.reduce((total, value) => total + value, 0);
  }

  it('reads every block from the bucket once; and goes on when one of them is killed', async () => {
    const topic = 'shared';
    await createTopic(await connect(), topic, 4);
    const producer = new IdempotentProducer({ name: 'p', topic, partitions: 4, random });
    await producer.register(await connect());
    const ports = cluster.of('front').map(({ kafkaPort }) => kafkaPort);
    await produceThrough(producer, ports, () => producer.batches.length > 1_000);
    // New ones have seen nothing of it: what they serve they have to load.
    const old = cluster.of('fetch');
    await Promise.all(old.map(() => cluster.startRole('fetch')));
    await Promise.all(old.map(({ server }) => server.kill()));
    await checkLog(await connect(), topic, producer.batches);
    const [reads, bytes] = [
      await sum('fetch_store_reads_total'),
      await sum('fetch_store_read_bytes_total'),
    ];
    expect(reads).toBeGreaterThan(0);
    for (let reader = 0; reader < 4; reader += 1) {
      // oxlint-disable-next-line no-await-in-loop
      await checkLog(await connect(), topic, producer.batches);
    }
    expect(await sum('fetch_store_reads_total')).toBe(reads);
    expect(await sum('fetch_store_read_bytes_total')).toBe(bytes);
    expect(await sum('fetch_peer_extents_total')).toBeGreaterThan(0);
    expect(await sum('fetch_owner_answers_wrong_total')).toBe(0);
    expect(await sum('fetch_owner_fallbacks_total')).toBe(0);

    await cluster.of('fetch')[0]!.server.kill();
    for (let reader = 0; reader < 2; reader += 1) {
      // oxlint-disable-next-line no-await-in-loop
      await checkLog(await connect(), topic, producer.batches);
    }
  });
});
