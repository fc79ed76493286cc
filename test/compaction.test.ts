import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { IdempotentProducer } from './support/idempotent-producer.js';
import { createTopic, readPartition } from './support/kafka-calls.js';
import { KafkaConnection } from './support/kafka-connection.js';
import { checkLog } from './support/log-check.js';
import { produceThrough } from './support/produce-through.js';
import { Random } from './support/random.js';
import type { ServerProcess } from './support/server-process.js';
import { Standalone } from './support/standalone.js';

const random = Random.fromEnvironment();
const topic = 'merged';
const partitions = 3;
/** Each takes hundreds of segments. */
const mergesPerRound = 3;

/** The sum of a metric over its labels. */
async function metric(httpPort: number, name: string): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${httpPort}/metrics`);
  const lines = (await response.text()).split('\n').filter((line) => {
    return line.startsWith(`kafscale_${name}{`) || line.startsWith(`kafscale_${name} `);
  });
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

const mergesTotal = 'coordinator_compaction_merges_total';

/** Produces until so many merges are in the index; `meanwhile` runs after the first. */
async function produceUntilMerged(
  { httpPort, kafkaPort }: Standalone,
  producer: IdempotentProducer,
  meanwhile: () => Promise<void>,
): Promise<void> {
  let isEnough = false;
  const producing = produceThrough(producer, [kafkaPort], () => isEnough);
  try {
    await untilMerges(httpPort, 1);
    await meanwhile();
    await untilMerges(httpPort, mergesPerRound);
  } finally {
    isEnough = true;
    await producing;
  }
}

async function untilMerges(httpPort: number, merges: number): Promise<void> {
  while ((await metric(httpPort, mergesTotal)) < merges) await delay(100);
}

describe(`segments that are merged as soon as they are written (KAFSCALE_TEST_SEED=${random.seed})`, () => {
  it(
    'hold the same log for producers and readers, over a kill -9',
    { timeout: 400_000 },
    async () => {
      const standalone = await Standalone.prepare({ KAFSCALE_COMPACTION_GRACE_MS: '0' });
      const { httpPort, kafkaPort } = standalone;
      let server: ServerProcess | undefined = await standalone.start();
      try {
        const connection = await KafkaConnection.connect(kafkaPort);
        await createTopic(connection, topic, partitions);
        const producer = new IdempotentProducer({ name: 'p', topic, partitions, random });
        await producer.register(connection);
        connection.close();
        await produceUntilMerged(standalone, producer, async () => {
          server?.killGroup();
          await server?.exited;
          server = await standalone.start();
        });
        await expectWhole(kafkaPort, producer);
        await produceUntilMerged(standalone, producer, () => expectReadable(kafkaPort));
        await expectWhole(kafkaPort, producer);
        expect(await metric(httpPort, 'coordinator_compaction_bad_segments')).toBe(0);
        expect(await metric(httpPort, 'fetch_extents_damaged_total')).toBe(0);
        expect(await server.stop()).toEqual({ code: 0, signal: null });
        server = await standalone.start();
        await expectWhole(kafkaPort, producer);
        expect(await server.stop()).toEqual({ code: 0, signal: null });
      } catch (error) {
        throw new Error(`the end of the log:\n${server?.tail}`, { cause: error });
      } finally {
        await standalone.remove(server);
      }
    },
  );
});

/** While it is being written to: whatever is there can be read. */
async function expectReadable(kafkaPort: number): Promise<void> {
  const connection = await KafkaConnection.connect(kafkaPort);
  for (let partition = 0; partition < partitions; partition += 1) {
    await readPartition(connection, { topic, partition });
  }
  connection.close();
}

async function expectWhole(kafkaPort: number, producer: IdempotentProducer): Promise<void> {
  const connection = await KafkaConnection.connect(kafkaPort);
  const found = await checkLog(connection, topic, producer.batches);
  expect(found.size).toBe(producer.batches.length);
  connection.close();
}
