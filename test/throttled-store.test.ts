import { describe, expect, it } from 'vitest';
import { Bucket } from './commit-rules/bucket.js';
import { cleanup, until } from './commit-rules/cleanup.js';
import { Cluster } from './commit-rules/cluster.js';
import type { IngestNodeOptions } from './commit-rules/cluster.js';
import { IdempotentClient } from './commit-rules/idempotent-client.js';
import { batchOf } from './commit-rules/kafka-calls.js';
import { StoreProxy } from './commit-rules/store-proxy.js';
import { serversOfThisFile } from './support/postgres-and-s3.js';
import { noS3Server } from './support/stores.js';

/** A real S3 server behind a proxy that has its limits. */
const topic = 'events';

const servers = serversOfThisFile();

async function world(options: IngestNodeOptions = {}, partitions = 1) {
  const bucket = new Bucket(servers.s3);
  const store = await StoreProxy.start(servers.s3.endpoint);
  const objects = bucket.place();
  const cluster = await Cluster.start(await servers.postgres.createDatabase(), {}, null, {
    objects,
  });
  await cluster.createTopic(topic, partitions);
  const node = await cluster.addIngest({ objects: bucket.place(store.url), ...options });
  const reader = await cluster.addReader();
  cleanup(() => store.release());
  return { bucket, cluster, node, reader, store };
}

const title = (text: string): string => (noS3Server === null ? text : `${text} (${noS3Server})`);

describe.skipIf(noS3Server !== null)(title('a store that throttles'), () => {
  it('takes fewer PUTs at a time, and every batch of every producer, once and in order', async () => {
    const partitions = 8;
    const { cluster, node, reader, store } = await world({}, partitions);
    store.putsAtOnceMax = 2;
    store.putMsMin = 20;
    store.next('hold', 2); // for as long as it takes until others were refused meanwhile
    const clients: IdempotentClient[] = [];
    for (let partition = 0; partition < partitions; partition += 1) {
      const producerId = await cluster.newProducerId();
      const connection = node.connect();
      clients.push(new IdempotentClient({ topic, partition, producerId, connection }));
    }
    for (let round = 0; round < 40; round += 1) for (const client of clients) client.send(1);
    await until(() => Math.min(...node.throttledTo) <= 2);
    store.release();
    for (const client of clients) await client.drained();
    for (const client of clients) {
      expect(await reader.texts(topic, client.partition)).toEqual(client.expected);
    }
    expect(node.throttledTo.length).toBeGreaterThan(0);
    expect(Math.min(...node.throttledTo)).toBeLessThanOrEqual(2);
    expect(node.uploadsFailed).toBe(0);
    // Batches that waited rode together.
    expect(node.uploaded).toBeLessThan(partitions * 40);
  });

  it('fails no request while its client waits, and takes no memory beyond the budget', async () => {
    const bytesInFlightMax = 20_000;
    const { node, reader, store } = await world({ bytesInFlightMax });
    store.next('slowDown');
    const appended = Array.from({ length: 200 }, (_, sequence) => {
      const records = batchOf({ producerId: -1, sequence, count: 10 });
      return node.connect().append(topic, records);
    });
    await until(() => node.throttledTo.length > 10 && node.throttledTo.at(-1) === 1);
    expect(node.ingest.bytesInFlight()).toBeGreaterThan(bytesInFlightMax / 2);
    expect(node.ingest.bytesInFlight()).toBeLessThanOrEqual(bytesInFlightMax);
    store.release();
    const offsets = (await Promise.all(appended)).map(Number);
    expect(offsets.toSorted((a, b) => a - b)).toEqual(offsets.map((_, index) => index * 10));
    expect(await reader.texts(topic)).toHaveLength(2_000);
    expect(node.uploadsFailed).toBe(0);
  });

  it('finds its own object when it was told to slow down although it was stored', async () => {
    const { bucket, cluster, node, reader, store } = await world();
    const producerId = await cluster.newProducerId();
    store.next('slowDownAfter', 1);
    const records = batchOf({ producerId, sequence: 0, count: 3 });
    expect(await node.connect().append(topic, records)).toBe(0);
    expect(store.puts).toBe(2);
    expect(await reader.texts(topic)).toHaveLength(3);
    expect(await bucket.orphans(cluster)).toEqual([]);
    expect(await bucket.segmentIds()).toHaveLength(1);
  });
});
