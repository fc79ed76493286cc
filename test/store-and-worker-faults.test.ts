import type { Worker } from 'node:worker_threads';
import { describe, expect, it } from 'vitest';
import { Bucket, collectOrphans, sweepsOnDemand } from './commit-rules/bucket.js';
import { cleanup, until } from './commit-rules/cleanup.js';
import { Cluster } from './commit-rules/cluster.js';
import type { IngestNode, Reader } from './commit-rules/cluster.js';
import { batchOf } from './commit-rules/kafka-calls.js';
import { StoreProxy } from './commit-rules/store-proxy.js';
import { serversOfThisFile } from './support/postgres-and-s3.js';
import { noS3Server } from './support/stores.js';

/** An upload whose outcome nobody knows, and threads that die over uploads. */
const topic = 'events';

const servers = serversOfThisFile();

interface World {
  readonly bucket: Bucket;
  readonly cluster: Cluster;
  readonly node: IngestNode;
  readonly reader: Reader;
  readonly store: StoreProxy;
  readonly producerId: number;
  /** Threads that seal and upload, those that died included. */
  readonly threads: readonly Worker[];
}

async function world(): Promise<World> {
  const bucket = new Bucket(servers.s3);
  const store = await StoreProxy.start(servers.s3.endpoint);
  const objects = bucket.place();
  const url = await servers.postgres.createDatabase();
  const cluster = await Cluster.start(url, {}, sweepsOnDemand, { objects });
  await cluster.createTopic(topic);
  const producerId = await cluster.newProducerId();
  const threads: Worker[] = [];
  const onWorker = (worker: Worker): void => void threads.push(worker);
  process.on('worker', onWorker);
  cleanup(() => process.off('worker', onWorker));
  const node = await cluster.addIngest({ objects: bucket.place(store.url) });
  const reader = await cluster.addReader();
  cleanup(() => store.release());
  return { bucket, cluster, node, reader, store, producerId, threads };
}

async function rowsOf({ cluster }: World): Promise<string[]> {
  const rows = await cluster.query('SELECT segment_id::text AS id FROM segments ORDER BY 1');
  return rows.map((row) => String(row['id']));
}

const title = (text: string): string => (noS3Server === null ? text : `${text} (${noS3Server})`);

describe.skipIf(noS3Server !== null)(title('a PUT that is stored and whose answer is lost'), () => {
  it('once: its own object is found, and the batch is acknowledged, once', async () => {
    const w = await world();
    const client = w.node.connect();
    w.store.next('loseAnswer', 1);
    expect(
      await client.append(topic, batchOf({ producerId: w.producerId, sequence: 0, count: 3 })),
    ).toBe(0);
    expect(w.store.answersLost).toBe(1);
    expect(w.store.puts).toBe(2);
    expect(await w.reader.texts(topic)).toEqual([0, 1, 2].map((n) => `${w.producerId}/0/${n}`));
    expect(await w.bucket.segmentIds()).toEqual(await rowsOf(w));
  });

  it('every time: "not written" and true, the retry is taken, and the orphan goes later', async () => {
    const w = await world();
    const { bucket, cluster, node, producerId, reader, store } = w;
    const client = node.connect();
    const append = (sequence: number) => client.append(topic, batchOf({ producerId, sequence }));
    expect(await append(0)).toBe(0);
    store.next('loseAnswer');
    const lost = append(1);
    await until(() => store.answersLost === 1);
    const behind = append(2);
    expect(await Promise.all([lost, behind])).toEqual([-56, -56]);
    expect(await reader.texts(topic)).toHaveLength(1);
    const orphans = await bucket.orphans(cluster);
    expect(orphans.length).toBeGreaterThan(0);
    store.release();
    expect([await append(1), await append(2)]).toEqual([1, 2]);
    expect(await reader.texts(topic)).toEqual([0, 1, 2].map((n) => `${producerId}/0/${n}`));
    // The retry is another object: the orphans are still no part of the log.
    expect(await bucket.orphans(cluster)).toEqual(orphans);
    await collectOrphans(cluster, bucket);
    expect(await bucket.segmentIds()).toEqual(await rowsOf(w));
    expect(await (await cluster.addReader()).texts(topic)).toHaveLength(3);
  });
});

describe.skipIf(noS3Server !== null)(title('a worker thread that dies'), () => {
  it.each([
    ['before the store hears of its segment', 'hold', 0],
    ['in the middle of a PUT', 'holdHalf', 0],
    ['after a PUT, before its answer', 'holdAnswer', 1],
  ] as const)('%s: "not written" and true, and the next one goes on', async (_, fault, orphans) => {
    const w = await world();
    const { bucket, cluster, node, producerId, reader, store, threads } = w;
    const client = node.connect();
    const other = await cluster.newProducerId();
    const append = (sequence: number) => client.append(topic, batchOf({ producerId, sequence }));
    expect(await append(0)).toBe(0);
    expect(threads).toHaveLength(1);
    store.next(fault, 1);
    const lost = append(1);
    await until(() => store.held === 1);
    // Stored, and not committed as long as the one before it is not.
    const behind = append(2);
    const unrelated = node.connect().append(topic, batchOf({ producerId: other, sequence: 0 }));
    await until(() => node.uploaded >= 2);
    await threads[0]!.terminate();
    expect(await Promise.all([lost, behind])).toEqual([-56, -56]);
    const outcome = await unrelated;
    expect([1, -56]).toContain(outcome);
    const known = outcome === 1 ? [`${other}/0/0`] : [];
    expect(await reader.texts(topic)).toEqual([`${producerId}/0/0`, ...known]);
    expect((await bucket.orphans(cluster)).length).toBe(orphans);

    const next = 1 + known.length;
    expect(await Promise.all([1, 2, 3].map(append))).toEqual([next, next + 1, next + 2]);
    expect(threads.length).toBeGreaterThan(1);
    const own = (await reader.texts(topic)).filter((text) => text.startsWith(`${producerId}/`));
    expect(own).toEqual([0, 1, 2, 3].map((n) => `${producerId}/0/${n}`));
    await collectOrphans(cluster, bucket);
    expect(await bucket.segmentIds()).toEqual(await rowsOf(w));
  });

  it('again and again under many segments: each is answered, and what is acknowledged is there', async () => {
    const w = await world();
    const { node, producerId, reader, store, threads } = w;
    const acknowledged = new Map<number, number>();
    const batches = 60;
    for (let round = 0; acknowledged.size < batches && round < 100; round += 1) {
      const client = node.connect();
      const sent: Promise<void>[] = [];
      const todo = Array.from({ length: batches }, (_, n) => n).filter((n) => !acknowledged.has(n));
      const heldBefore = store.held;
      if (round < 3) store.next('hold', 4);
      for (const sequence of todo) {
        const records = batchOf({ producerId, sequence });
        sent.push(
          client.append(topic, records).then((offset) => {
            if (Number(offset) >= 0) acknowledged.set(sequence, Number(offset));
          }),
        );
        if (sequence % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 3));
      }
      if (round < 3) {
        await until(() => store.held > heldBefore);
        await threads.at(-1)!.terminate();
        store.release();
      }
      await Promise.all(sent);
    }
    expect(threads.length).toBeGreaterThan(3);
    const texts = await reader.texts(topic);
    expect(texts).toEqual(Array.from({ length: batches }, (_, n) => `${producerId}/0/${n}`));
    for (const [sequence, offset] of acknowledged) expect(offset).toBe(sequence);
  });
});
