import { startTestPostgres } from '@kafscale/testing';
import type { TestPostgres } from '@kafscale/testing';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Cluster } from './commit-rules/cluster.js';
import { batchOf } from './commit-rules/kafka-calls.js';

/** Topics with a flush interval of their own, on a node with 250 ms. */
let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());

/** The largest that there is, and longer than a test may take. */
const longest = { 'kafscale.flush.ms': '60000' };

async function world() {
  const cluster = await Cluster.start(await postgres.createDatabase());
  await cluster.createTopic('express');
  await cluster.createTopic('standard');
  await cluster.createTopic('economy');
  await cluster.alterTopic('express', { 'kafscale.flush.ms': '0' });
  await cluster.alterTopic('economy', longest);
  const node = await cluster.addIngest({ flushIntervalMs: 250 });
  const reader = await cluster.addReader();
  return { cluster, node, reader };
}

it('an ack of an express topic does not wait for the age of an economy topic', async () => {
  const { node, reader } = await world();
  let isEconomyDone = false;
  const batch = (sequence: number) => batchOf({ producerId: -1, sequence });
  const economy = node.connect().append('economy', batch(0));
  void economy.then(() => (isEconomyDone = true));
  const client = node.connect();
  for (let sequence = 0; sequence < 20; sequence += 1) {
    expect(await client.append('express', batch(sequence))).toBe(sequence);
    expect(await reader.texts('express')).toHaveLength(sequence + 1);
  }
  expect(await client.append('standard', batch(0))).toBe(0);
  expect(isEconomyDone).toBe(false);
  expect(await reader.texts('economy')).toEqual([]);
  await node.close(); // writes what waits
  expect(await economy).toBe(0);
  expect(await reader.texts('economy')).toHaveLength(1);
});

it('a topic that leaves the economy lane is written at its new pace, and in order', async () => {
  const { cluster, node, reader } = await world();
  const producerId = await cluster.newProducerId();
  const client = node.connect();
  const send = (sequence: number) => client.append('economy', batchOf({ producerId, sequence }));
  const first = send(0);
  const second = send(1);
  await cluster.alterTopic('economy', { 'kafscale.flush.ms': '-1' });
  // The node hears of it some time; then one more batch is enough.
  const sent: Promise<number | 'lost'>[] = [];
  const done: unknown[] = [];
  void first.then((offset) => done.push(offset));
  for (let sequence = 2; done.length === 0; sequence += 1) {
    sent.push(send(sequence));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  expect(await Promise.all([first, second, ...sent])).toEqual([
    0,
    1,
    ...sent.map((_, index) => index + 2),
  ]);
  expect(await reader.texts('economy')).toHaveLength(sent.length + 2);
});
