import { apis } from '@kafscale/codec';
import { connectCoordinator, serveCoordinator, servicePaths } from '@kafscale/cluster';
import { rpcEndpoint, startServer } from '@kafscale/rpc';
import type { TestPostgres } from '@kafscale/testing';
import { startTestPostgres } from '@kafscale/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanup, until } from './commit-rules/cleanup.js';
import { Cluster } from './commit-rules/cluster.js';
import type { Reader } from './commit-rules/cluster.js';
import { CuttingProxy } from './commit-rules/cutting-proxy.js';
import { batchOf } from './commit-rules/kafka-calls.js';

/** P2: what has been acknowledged is seen by every later read on any front. Design §5.2. */
let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());

const topic = 'events';
const latest = -1n;

interface Latest {
  readonly errorCode: number;
  readonly offset: number;
}

/** ListOffsets of the log's end, as a client of that reader's front sees it. */
async function endOf(reader: Reader): Promise<Latest> {
  const response = await reader.connection.call(apis.listOffsets, {
    replicaId: -1,
    topics: [{ name: topic, partitions: [{ partitionIndex: 0, timestamp: latest }] }],
  });
  const { errorCode, offset } = response.topics[0]!.partitions[0]!;
  return { errorCode, offset: Number(offset) };
}

function isLive({ replica }: Reader): boolean {
  return replica.health().disconnectedForMs === null;
}

/** A reader whose coordinator is at the other end of a link. */
async function addRemoteReader(cluster: Cluster): Promise<Reader> {
  const log = (): void => {};
  const secret = 'secret';
  const service = serveCoordinator(cluster.slot);
  const endpoints = [rpcEndpoint({ path: servicePaths.coordinator, secret, service, log })];
  const server = await startServer({ host: '127.0.0.1', port: 0, routes: [], endpoints }, log);
  cleanup(() => server.close(0));
  const coordinator = connectCoordinator({
    url: `ws://127.0.0.1:${server.port}`,
    secret,
    caller: () => ({ nodeId: -1, role: 'fetch' }),
    log,
  });
  cleanup(() => coordinator.close());
  return cluster.addReader({ coordinator });
}

describe('a read that begins after an acknowledgement', () => {
  it('sees it on every front, whatever happens to their feeds', async () => {
    const cluster = await Cluster.start(await postgres.createDatabase());
    await cluster.createTopic(topic);
    const writers = [await cluster.addIngest(), await cluster.addIngest()];
    const readers = await Promise.all([
      cluster.addReader(),
      cluster.addReader(),
      cluster.addReader(),
      cluster.addReader(),
      addRemoteReader(cluster),
      addRemoteReader(cluster),
    ]);
    const [, delayed, cut, replayed, , remoteCut] = readers;
    const stop = new AbortController();
    const pause = (): Promise<void> => new Promise((go) => setTimeout(go, 3 + 12 * Math.random()));
    const trouble = (async () => {
      while (!stop.signal.aborted) {
        delayed.feed.hold();
        await pause();
        // One that is down comes back first, or a slow machine would never see a feed.
        if (isLive(cut)) cut.feed.cut();
        replayed.feed.replay();
        delayed.feed.deliver();
        await pause();
        if (isLive(remoteCut)) remoteCut.feed.cut();
      }
    })();
    const reads: Promise<void>[] = [];
    await Promise.all(
      writers.map(async (writer) => {
        const producerId = await cluster.newProducerId();
        const client = writer.connect();
        for (let sequence = 0; sequence < 40; sequence += 1) {
          const offset = await client.append(topic, batchOf({ producerId, sequence }));
          expect(offset).toBeGreaterThanOrEqual(0);
          for (const reader of readers) {
            reads.push(
              endOf(reader).then((end) => {
                expect(end.errorCode).toBe(0);
                expect(end.offset).toBeGreaterThan(Number(offset));
              }),
            );
          }
        }
      }),
    );
    await Promise.all(reads);
    stop.abort();
    await trouble;
    expect(reads).toHaveLength(2 * 40 * 6);
    for (const reader of readers) expect(await reader.texts(topic)).toHaveLength(80);
  });

  it('waits for a feed that is behind, and does not answer from what it has', async () => {
    const cluster = await Cluster.start(await postgres.createDatabase());
    await cluster.createTopic(topic);
    const client = (await cluster.addIngest()).connect();
    const reader = await cluster.addReader();
    await client.append(topic, batchOf({ producerId: -1, sequence: 0 }));
    reader.feed.hold();
    await client.append(topic, batchOf({ producerId: -1, sequence: 0 }));
    await until(() => reader.feed.heldMessages > 0);
    let answered = false;
    const end = endOf(reader).finally(() => {
      answered = true;
    });
    const log = reader.texts(topic);
    await until(() => reader.replica.health().barriersWaiting === 2);
    // Another reader, asked later, has its answer, while this one still waits.
    expect(await endOf(await cluster.addReader())).toEqual({ errorCode: 0, offset: 2 });
    expect(answered).toBe(false);
    reader.feed.deliver();
    expect(await end).toEqual({ errorCode: 0, offset: 2 });
    expect(await log).toHaveLength(2);
  });

  it('gets a retriable error when the feed stays behind, and never an old high watermark', async () => {
    const cluster = await Cluster.start(await postgres.createDatabase());
    await cluster.createTopic(topic);
    const client = (await cluster.addIngest()).connect();
    const reader = await cluster.addReader({ barrierMsMax: 300 });
    expect(await endOf(reader)).toEqual({ errorCode: 0, offset: 0 });
    reader.feed.hold();
    await client.append(topic, batchOf({ producerId: -1, sequence: 0 }));
    expect(await endOf(reader)).toEqual({ errorCode: 6, offset: -1 }); // NOT_LEADER_OR_FOLLOWER
    await expect(reader.texts(topic)).rejects.toThrow('error 6');
    reader.feed.deliver();
    expect(await endOf(reader)).toEqual({ errorCode: 0, offset: 1 });
  });

  it('sees what was committed by a COMMIT in doubt, once it is acknowledged', async () => {
    const url = await postgres.createDatabase();
    const proxy = await CuttingProxy.start(url);
    const cluster = await Cluster.start(url, { url: proxy.url });
    await cluster.createTopic(topic);
    const node = await cluster.addIngest();
    const readers = [await cluster.addReader(), await addRemoteReader(cluster)];
    const client = node.connect();
    const producerId = await cluster.newProducerId();
    for (let sequence = 0; sequence < 6; sequence += 1) {
      node.commits.hold();
      const sent = client.append(topic, batchOf({ producerId, sequence }));
      await until(() => node.commits.heldCalls === 1);
      const [segment] = node.commits.calls.at(-1)!;
      proxy.cutCommitOf(segment!.segmentId, (['dropped', 'done'] as const)[sequence % 2]!);
      node.commits.release();
      expect(await sent).toBe(sequence);
      expect(proxy.cuts).toBe(sequence + 1);
      for (const reader of readers) {
        expect(await endOf(reader)).toEqual({ errorCode: 0, offset: sequence + 1 });
      }
    }
    for (const reader of readers) expect(await reader.texts(topic)).toHaveLength(6);
  });

  it('sees what was acknowledged by the owner before', async () => {
    const cluster = await Cluster.start(await postgres.createDatabase());
    await cluster.createTopic(topic);
    const client = (await cluster.addIngest()).connect();
    const reader = await cluster.addReader();
    for (let offset = 0; offset < 5; offset += 1) {
      expect(await client.append(topic, batchOf({ producerId: -1, sequence: 0 }))).toBe(offset);
      await cluster.restartCoordinator();
      expect(await endOf(reader)).toEqual({ errorCode: 0, offset: offset + 1 });
    }
    expect(await reader.texts(topic)).toHaveLength(5);
  });
});
