import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { IdempotentProducer } from './idempotent-producer.js';
import type { SentBatch } from './idempotent-producer.js';
import { createTopic } from './kafka-calls.js';
import { KafkaConnection } from './kafka-connection.js';
import { batchKey, checkLog } from './log-check.js';
import type { Random } from './random.js';
import { Standalone } from './standalone.js';
import type { TestStore } from './stores.js';

export interface KillRoundsOptions {
  /** `process`: the Node process alone. `group`: that and the embedded PostgreSQL. */
  readonly victim: 'process' | 'group';
  readonly store: TestStore;
  readonly rounds: number;
  readonly random: Random;
}

const topic = 'durable';
const partitions = 4;
const lastingProducers = 2;
/** With pauses: right after its start a server may still have to refuse. */
const retriesMax = 50;

/**
 * Starts a standalone, produces, kills it in the middle, starts it again at once, looks at what is
 * there, retries, and looks again; as often as asked on one data dir, so that later rounds find the
 * leftovers of earlier ones.
 */
export async function killRounds(options: KillRoundsOptions): Promise<void> {
  const { random, rounds, store, victim } = options;
  const standalone = await Standalone.prepare(store.env);
  const { dataDir, kafkaPort } = standalone;
  let server = await standalone.start();
  try {
    const producers: IdempotentProducer[] = [];
    await withConnection(kafkaPort, (connection) => createTopic(connection, topic, partitions));
    let unknownBatches = 0;
    for (let round = 1; round <= rounds; round += 1) {
      const newcomers = round === 1 ? lastingProducers + 1 : 1;
      for (let index = 0; index < newcomers; index += 1) {
        const name = `r${round}p${index}`;
        const producer = new IdempotentProducer({ name, topic, partitions, random });
        // oxlint-disable-next-line no-await-in-loop
        await withConnection(kafkaPort, (connection) => producer.register(connection));
        producers.push(producer);
      }
      const active = [...producers.slice(0, lastingProducers), ...producers.slice(-1)];
      const killAfterMs = random.integer(0, 500);
      const withChildren = random.integer(0, 1) === 1;
      // oxlint-disable-next-line no-await-in-loop
      await streamAndKill({ active, kafkaPort, killAfterMs, kill });
      async function kill(): Promise<void> {
        server.killGroup();
        if (victim === 'group') await dataDir.killPostgres({ withChildren });
        await server.exited;
      }
      // oxlint-disable-next-line no-await-in-loop
      server = await standalone.start();
      // oxlint-disable-next-line no-await-in-loop
      unknownBatches += await verifyAndRetry(kafkaPort, producers);
    }
    // Otherwise every kill came between requests, and nothing was tried.
    expect(unknownBatches, 'batches in flight at a kill').toBeGreaterThan(0);
    expect(await server.stop()).toEqual({ code: 0, signal: null });
  } catch (error) {
    throw new Error(`seed ${random.seed}; the end of the log:\n${server.tail}`, { cause: error });
  } finally {
    await standalone.remove(server);
  }
}

async function streamAndKill(options: {
  active: readonly IdempotentProducer[];
  kafkaPort: number;
  killAfterMs: number;
  kill: () => Promise<void>;
}): Promise<void> {
  const { active, kafkaPort, kill, killAfterMs } = options;
  const streams = active.map(async (producer) => {
    const connection = await KafkaConnection.connect(kafkaPort);
    const acked = countAcked(producer.batches);
    const isServed = (): boolean => countAcked(producer.batches) > acked;
    const stream = (async () => {
      // Right after its start a server may still have to refuse: then all of it again.
      while (connection.isOpen && !isServed()) {
        await producer.retry(connection);
        if (producer.unsettled.length === 0) await producer.stream(connection, () => false);
        else await delay(5);
      }
    })();
    // Every producer is being served when the time begins to run.
    while (connection.isOpen && !isServed()) await delay(5);
    return { connection, stream };
  });
  const running = await Promise.all(streams);
  await delay(killAfterMs);
  for (const { connection } of running) {
    expect(connection.isOpen, 'nobody was disconnected before the kill').toBe(true);
  }
  await kill();
  await Promise.all(running.map(({ stream }) => stream));
}

/** How many batches had an unknown outcome. */
async function verifyAndRetry(
  kafkaPort: number,
  producers: readonly IdempotentProducer[],
): Promise<number> {
  const sent = producers.flatMap(({ batches }) => batches);
  const unknown = sent.filter(({ outcome }) => outcome === 'unknown');
  await withConnection(kafkaPort, async (connection) => {
    const found = await checkLog(connection, topic, sent);
    await Promise.all(producers.map((producer) => retryAll(kafkaPort, producer)));
    for (const batch of unknown) {
      const offset = found.get(batchKey(batch));
      if (offset === undefined) continue;
      expect(batch.baseOffset, `the original offset of ${batchKey(batch)}`).toBe(offset);
    }
    const after = await checkLog(connection, topic, sent);
    expect(after.size, 'every batch is there').toBe(sent.length);
  });
  return unknown.length;
}

async function retryAll(kafkaPort: number, producer: IdempotentProducer): Promise<void> {
  await withConnection(kafkaPort, async (connection) => {
    for (let attempt = 0; producer.unsettled.length > 0 && attempt < retriesMax; attempt += 1) {
      // oxlint-disable-next-line no-await-in-loop
      await producer.retry(connection);
      // oxlint-disable-next-line no-await-in-loop
      if (producer.unsettled.length > 0) await delay(100);
    }
  });
  const left = producer.unsettled.map((batch) => `${batchKey(batch)}: ${batch.refusals.join()}`);
  expect(left, `${producer.name} got everything acknowledged`).toEqual([]);
}

async function withConnection<Result>(
  kafkaPort: number,
  use: (connection: KafkaConnection) => Promise<Result>,
): Promise<Result> {
  const connection = await KafkaConnection.connect(kafkaPort);
  try {
    return await use(connection);
  } finally {
    connection.close();
  }
}

function countAcked(batches: readonly SentBatch[]): number {
  return batches.filter(({ outcome }) => outcome === 'acked').length;
}
