import { setTimeout as delay } from 'node:timers/promises';
import { apis, encodePlainBatch, errorCodes } from '@kafscale/codec';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { GroupMember } from './support/group-member.js';
import { IdempotentProducer } from './support/idempotent-producer.js';
import { createTopic, fetchOnce, readPartition } from './support/kafka-calls.js';
import { KafkaConnection } from './support/kafka-connection.js';
import { checkLog } from './support/log-check.js';
import { produceThrough } from './support/produce-through.js';
import { Random } from './support/random.js';
import type { ServerProcess } from './support/server-process.js';
import { Standalone } from './support/standalone.js';

const cleanExit = { code: 0, signal: null };

describe('SIGTERM', () => {
  let standalone: Standalone;
  let server: ServerProcess | undefined;
  let client: KafkaConnection;
  beforeEach(async () => {
    standalone = await Standalone.prepare({ KAFSCALE_FLUSH_INTERVAL_MS: '250' });
    server = await standalone.start();
    client = await KafkaConnection.connect(standalone.kafkaPort);
  });
  afterEach(async () => {
    client.close();
    await standalone.remove(server);
  });

  function produce(partition: number, value: string) {
    const records = encodePlainBatch({
      records: [{ timestampMs: Date.now(), value: Buffer.from(value) }],
    });
    return client.call(apis.produce, {
      acks: -1,
      timeoutMs: 30_000,
      topicData: [{ name: 'drained', partitionData: [{ index: partition, records }] }],
    });
  }

  /** Of the topic; the largest that there is. */
  async function flushEvery(flushMs: number): Promise<void> {
    const configs = [{ name: 'kafscale.flush.ms', configOperation: 0, value: String(flushMs) }];
    const { responses } = await client.call(apis.incrementalAlterConfigs, {
      resources: [{ resourceType: 2, resourceName: 'drained', configs }],
    });
    expect(responses[0]?.errorCode).toBe(errorCodes.NONE);
  }

  async function metric(name: string): Promise<number> {
    const text = await (await fetch(`http://127.0.0.1:${standalone.httpPort}/metrics`)).text();
    return Number(new RegExp(`^kafscale_${name} (.*)$`, 'm').exec(text)?.[1]);
  }

  it('answers what is in flight, exits with 0, and the next start has it', async () => {
    await createTopic(client, 'drained', 1);
    await produce(0, 'first');
    await flushEvery(60_000);
    const values = ['a', 'b', 'c', 'd', 'e'];
    const answers = Promise.all(values.map((value) => produce(0, value)));
    // Received, and younger than the flush interval.
    await expect.poll(() => metric('ingest_batches_total')).toBe(1 + values.length);
    expect(client.inFlight).toBe(values.length);
    const exit = server!.stop();
    const offsets = (await answers).map(({ responses }) => {
      const answer = responses[0]?.partitionResponses[0];
      expect(answer?.errorCode).toBe(errorCodes.NONE);
      return Number(answer?.baseOffset);
    });
    expect(offsets).toEqual([1, 2, 3, 4, 5]);
    expect(await exit).toEqual(cleanExit);
    expect(server!.stderr).toBe('');
    expect(await standalone.dataDir.postmasterPid(), 'PostgreSQL has ended too').toBe(undefined);

    // On the same ports, at once.
    server = await standalone.start();
    client = await KafkaConnection.connect(standalone.kafkaPort);
    const read = await readPartition(client, { topic: 'drained', partition: 0 });
    expect(read.batches.flatMap((batch) => batch.values)).toEqual(['first', ...values]);
  });

  it('does not wait for idle clients, long polls, joins and half requests', async () => {
    await createTopic(client, 'drained', 1);
    const idle = await Promise.all(
      Array.from({ length: 20 }, () => KafkaConnection.connect(standalone.kafkaPort)),
    );
    const poller = await KafkaConnection.connect(standalone.kafkaPort);
    const poll = fetchOnce(poller, {
      topic: 'drained',
      partition: 0,
      offset: 0,
      maxWaitMs: 120_000,
    }).catch((error: Error) => error);
    const half = await KafkaConnection.connect(standalone.kafkaPort);
    half.socket.write(Buffer.from([0, 0, 1, 0, 0]));
    // A new group waits for more members before its first generation.
    const joiner = await KafkaConnection.connect(standalone.kafkaPort);
    const join = new GroupMember('waiting', 60_000).join(joiner).catch((error: Error) => error);
    await delay(200);
    // Well below any of these waits, and below the bound of the drain.
    const exit = await server!.stop();
    expect(exit).toEqual(cleanExit);
    // Whether it is answered or cut off: a read has no effects.
    const end = await poll;
    if (end instanceof Error) expect(end.name).toBe('ConnectionLost');
    else expect(end.errorCode).toBe(errorCodes.NONE);
    await join;
    const complaints = server!.logLines.filter(({ level }) => level !== 'info');
    expect(complaints, 'nothing of this is a fault').toEqual([]);
    for (const connection of [...idle, half, joiner, poller]) {
      // oxlint-disable-next-line no-await-in-loop
      await expect.poll(() => connection.isOpen).toBe(false);
    }
  });

  it('loses and doubles nothing of a stream that goes on, over three restarts', async () => {
    await createTopic(client, 'drained', 3);
    const random = Random.fromEnvironment();
    const producer = new IdempotentProducer({ name: 'p', topic: 'drained', partitions: 3, random });
    await producer.register(client);
    let isEnough = false;
    const stream = produceThrough(producer, [standalone.kafkaPort], () => isEnough);
    for (let restart = 0; restart < 3; restart += 1) {
      // oxlint-disable-next-line no-await-in-loop
      await delay(random.integer(300, 700));
      // oxlint-disable-next-line no-await-in-loop
      expect(await server!.stop()).toEqual(cleanExit);
      // oxlint-disable-next-line no-await-in-loop
      server = await standalone.start();
    }
    isEnough = true;
    await stream;
    client = await KafkaConnection.connect(standalone.kafkaPort);
    const found = await checkLog(client, 'drained', producer.batches);
    expect(found.size).toBe(producer.batches.length);
  });

  it('ends a process that is still starting', async () => {
    await server!.stop();
    const health = `http://127.0.0.1:${standalone.httpPort}/health/ready`;
    const status = async (): Promise<number> =>
      (await fetch(health).catch(() => ({ status: 0 }))).status;
    let wasReady = true;
    // Again, when it was faster than the signal.
    while (wasReady) {
      server = standalone.spawn();
      // It answers, and it is not ready yet.
      // oxlint-disable-next-line no-await-in-loop
      await expect.poll(status, { interval: 5 }).not.toBe(0);
      // oxlint-disable-next-line no-await-in-loop
      expect(await server.stop()).toEqual(cleanExit);
      wasReady = server.stdout.includes('is ready');
      // oxlint-disable-next-line no-await-in-loop
      expect(await standalone.dataDir.postmasterPid()).toBe(undefined);
    }
  });
});
