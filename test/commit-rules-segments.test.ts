import { apis } from '@kafscale/codec';
import type { TestPostgres } from '@kafscale/testing';
import { limits } from '@kafscale/core';
import { startTestPostgres } from '@kafscale/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from './commit-rules/cleanup.js';
import { Cluster } from './commit-rules/cluster.js';
import { CuttingProxy } from './commit-rules/cutting-proxy.js';
import type { Cut } from './commit-rules/cutting-proxy.js';
import { batchOf } from './commit-rules/kafka-calls.js';

/** The life of a segment's commit: repeated, too old, fenced, in doubt. Design §4.4. */
let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());

const topic = 'events';
/** Beyond the age bound of commits. */
const tooOldMs = 2 * limits.commitAgeMsMax;

describe('the same segment committed again', () => {
  it('later, at once on two connections, and past its age bound has one answer and one copy', async () => {
    const url = await postgres.createDatabase();
    const cluster = await Cluster.start(url);
    await cluster.createTopic(topic);
    const producerId = await cluster.newProducerId();
    const node = await cluster.addIngest();
    const reader = await cluster.addReader();
    await node.connect().append(topic, batchOf({ producerId, sequence: 0, count: 2 }));
    const [segments] = node.commits.calls;
    const answer = await cluster.slot.commitSegments(segments!);
    expect(answer).toMatchObject([{ kind: 'committed', extents: [[{ baseOffset: 0 }]] }]);
    // A link that hangs while the call is repeated on another: neither knows of the other.
    const both = await Promise.all(
      [1, 2].map(async () => cluster.store.commitSegments(await lease(), segments!)),
    );
    for (const { answers, extents } of both) {
      expect(answers).toEqual(answer);
      expect(extents).toEqual([]);
    }
    const aged = segments!.map((segment) => ({ ...segment, birthMs: segment.birthMs - tooOldMs }));
    expect(await cluster.slot.commitSegments(aged)).toEqual(answer);
    await cluster.restartCoordinator();
    expect(await cluster.slot.commitSegments(segments!)).toEqual(answer);
    expect(await reader.texts(topic)).toEqual([`${producerId}/0/0`, `${producerId}/0/1`]);

    async function lease() {
      const [row] = await cluster.query('SELECT epoch::int FROM shards WHERE shard_id = 0');
      return { shardId: 0, epoch: Number(row!['epoch']) };
    }
  });

  it('for the first time at once on two connections is written once', async () => {
    const cluster = await Cluster.start(await postgres.createDatabase());
    await cluster.createTopic(topic);
    const producerId = await cluster.newProducerId();
    const node = await cluster.addIngest();
    const reader = await cluster.addReader();
    const client = node.connect();
    for (let sequence = 0; sequence < 20; sequence += 1) {
      node.commits.hold();
      const sent = client.append(topic, batchOf({ producerId, sequence }));
      await until(() => node.commits.heldCalls === 1);
      const segments = node.commits.calls.at(-1)!;
      node.commits.release();
      // The owner shares one transaction between what comes together; a second turn gets its own.
      const repeated = [
        cluster.slot.commitSegments(segments),
        later(() => cluster.slot.commitSegments(segments)),
      ];
      expect(await sent).toBe(sequence);
      for (const answers of await Promise.all(repeated)) {
        expect(answers).toMatchObject([{ extents: [[{ baseOffset: sequence }]] }]);
      }
    }
    expect(await reader.texts(topic)).toHaveLength(20);
  });
});

describe('a segment that comes too late', () => {
  it('is refused by its age, with the retriable error, and nothing of it is written', async () => {
    const cluster = await Cluster.start(await postgres.createDatabase());
    await cluster.createTopic(topic);
    const producerId = await cluster.newProducerId();
    const node = await cluster.addIngest();
    const reader = await cluster.addReader();
    const client = node.connect();
    node.commits.hold();
    node.bornEarlierMs = tooOldMs;
    const old = client.append(topic, batchOf({ producerId, sequence: 0 }));
    await until(() => node.commits.heldCalls === 1);
    node.bornEarlierMs = 0;
    const young = client.append(topic, batchOf({ producerId, sequence: 1 }));
    await until(() => node.uploaded === 2);
    node.commits.release();
    expect(await Promise.all([old, young])).toEqual([-56, -56]);
    expect(await cluster.slot.commitSegments(node.commits.calls[0]!)).toEqual([{ kind: 'tooOld' }]);
    expect(await reader.texts(topic)).toEqual([]);
    expect(await client.append(topic, batchOf({ producerId, sequence: 0 }))).toBe(0);
    expect(await client.append(topic, batchOf({ producerId, sequence: 1 }))).toBe(1);
  });

  it('takes with it what its node brings behind it in the same call', async () => {
    const cluster = await Cluster.start(await postgres.createDatabase());
    await cluster.createTopic(topic);
    const producerId = await cluster.newProducerId();
    // Takes any first sequence: the successor alone would shut the first batch out for ever.
    await cluster.deleteTopic(topic);
    await cluster.createTopic(topic);
    const node = await cluster.addIngest();
    const reader = await cluster.addReader();
    const client = node.connect();
    // Holds up the queue, so that the next two segments are committed in one call.
    node.commits.hold();
    const head = client.append(topic, batchOf({ producerId: -1, sequence: 0 }));
    await until(() => node.commits.heldCalls === 1);
    node.bornEarlierMs = tooOldMs;
    const old = client.append(topic, batchOf({ producerId, sequence: 0 }));
    await until(() => node.uploaded === 2);
    node.bornEarlierMs = 0;
    const young = client.append(topic, batchOf({ producerId, sequence: 1 }));
    await until(() => node.uploaded === 3);
    node.commits.release();
    expect(await Promise.all([head, old, young])).toEqual([0, -56, -56]);
    expect(node.commits.calls[1]).toHaveLength(2);
    expect(await client.append(topic, batchOf({ producerId, sequence: 0 }))).toBe(1);
    expect(await client.append(topic, batchOf({ producerId, sequence: 1 }))).toBe(2);
    const texts = await reader.texts(topic);
    expect(texts.slice(1)).toEqual([`${producerId}/0/0`, `${producerId}/0/1`]);
  });
});

describe('a topic deleted and made anew between upload and commit', () => {
  it('gives the batch UNKNOWN_TOPIC_OR_PARTITION, and the new topic gets none of it', async () => {
    const cluster = await Cluster.start(await postgres.createDatabase());
    await cluster.createTopic(topic);
    await cluster.createTopic('bystander');
    const producerId = await cluster.newProducerId();
    const node = await cluster.addIngest();
    const reader = await cluster.addReader();
    const client = node.connect();
    node.commits.hold();
    const sent = client.produce(
      { topic, records: batchOf({ producerId, sequence: 0 }) },
      { topic: 'bystander', records: batchOf({ producerId, sequence: 0 }) },
    );
    await until(() => node.commits.heldCalls === 1);
    await cluster.deleteTopic(topic);
    await cluster.createTopic(topic);
    node.commits.release();
    expect(await sent).toMatchObject([
      { errorCode: 3, baseOffset: -1 },
      { errorCode: 0, baseOffset: 0 },
    ]);
    expect(await reader.texts(topic)).toEqual([]);
    expect(await reader.texts('bystander')).toHaveLength(1);
    expect(await client.append(topic, batchOf({ producerId, sequence: 0 }))).toBe(0);
    expect(await reader.texts(topic)).toEqual([`${producerId}/0/0`]);
  });
});

describe('an ingest node that stands still until it is declared dead', () => {
  it('and then goes on: its commits are fenced, nothing is written, and it starts anew', async () => {
    const cluster = await Cluster.start(await postgres.createDatabase(), {
      nodeDeadAfterMs: 2_000,
    });
    await cluster.createTopic(topic);
    const producerId = await cluster.newProducerId();
    const node = await cluster.addIngest({ heartbeatMs: 50 });
    await cluster.addIngest({ heartbeatMs: 50 });
    const reader = await cluster.addReader();
    const client = node.connect();
    const { nodeId } = node.membership;
    expect(await client.append(topic, batchOf({ producerId, sequence: 0 }))).toBe(0);
    node.commits.hold();
    const inFlight = client.append(topic, batchOf({ producerId, sequence: 1 }));
    await until(() => node.commits.heldCalls === 1);
    node.stopHeartbeats();
    const isDead = async (): Promise<boolean> => {
      const rows = await cluster.query(`SELECT state FROM nodes WHERE node_id = ${nodeId}`);
      return rows[0]!['state'] === 'dead';
    };
    await expect.poll(isDead).toBe(true);
    const behind = client.append(topic, batchOf({ producerId, sequence: 2 }));
    await until(() => node.uploaded === 3);
    node.commits.release();
    expect(await Promise.all([inFlight, behind])).toEqual([-56, -56]);
    // It still does not know: what it takes now is fenced as well.
    expect(await client.append(topic, batchOf({ producerId, sequence: 1 }))).toBe(-56);
    expect(await reader.texts(topic)).toHaveLength(1);
    // What was written in its name before is still its answer.
    expect(await cluster.slot.commitSegments(node.commits.calls[0]!)).toMatchObject([
      { kind: 'committed', extents: [[{ baseOffset: 0 }]] },
    ]);
    node.resumeHeartbeats();
    await until(() => node.membership.nodeId !== nodeId);
    expect(node.fencedNodeIds).toEqual([nodeId]);
    const retried = [1, 2].map((sequence) =>
      client.append(topic, batchOf({ producerId, sequence })),
    );
    expect(await Promise.all(retried)).toEqual([1, 2]);
    expect(await reader.texts(topic)).toEqual([0, 1, 2].map((n) => `${producerId}/0/${n}`));
  });
});

describe('a COMMIT whose outcome nobody knows', () => {
  const cuts: Cut[] = ['dropped', 'done', 'late'];

  it.each(cuts)('%s: one copy, the right offsets, and readers see them', async (cut) => {
    const url = await postgres.createDatabase();
    const proxy = await CuttingProxy.start(url);
    const cluster = await Cluster.start(url, { url: proxy.url });
    await cluster.createTopic(topic);
    const producerId = await cluster.newProducerId();
    const node = await cluster.addIngest();
    const [reader, topicsOnly] = [await cluster.addReader(), await cluster.addIngest()];
    const client = node.connect();
    expect(await client.append(topic, batchOf({ producerId, sequence: 0 }))).toBe(0);
    const epochBefore = (await cluster.slot.feedPosition()).leaseEpoch;

    node.commits.hold();
    const sent = client.append(topic, batchOf({ producerId, sequence: 1, count: 3 }));
    await until(() => node.commits.heldCalls === 1);
    proxy.cutCommitOf(node.commits.calls.at(-1)![0]!.segmentId, cut);
    node.commits.release();
    await until(() => proxy.cuts === 1);
    // A read that begins while it is in doubt: it may see the batch or not, and never half of it.
    const early = reader.texts(topic);
    if (cut === 'late') {
      await until(() => node.commits.calls.length > 2);
      proxy.deliverLate();
    }
    expect(await sent).toBe(1);
    expect([1, 4]).toContain((await early).length);
    expect((await cluster.slot.feedPosition()).leaseEpoch).toBeGreaterThan(epochBefore);
    expect(await reader.texts(topic)).toEqual([0, 1, 2, 3].map((n) => `${producerId}/0/${n}`));
    expect(await client.append(topic, batchOf({ producerId, sequence: 4 }))).toBe(4);
    expect(await topicsOnly.connect().append(topic, batchOf({ producerId, sequence: 5 }))).toBe(5);
    expect(await reader.texts(topic)).toHaveLength(6);
    const rows = await cluster.query('SELECT base_offset::int FROM extents ORDER BY 1');
    expect(rows.map((row) => row['base_offset'])).toEqual([0, 1, 4, 5]);
  });

  it.each(cuts)('%s: of a topic that is being created', async (cut) => {
    const url = await postgres.createDatabase();
    const proxy = await CuttingProxy.start(url);
    const cluster = await Cluster.start(url, { url: proxy.url });
    const node = await cluster.addIngest();
    const reader = await cluster.addReader();
    const create = async (): Promise<number> => {
      const topics = [{ name: topic, numPartitions: 1, replicationFactor: 1 }];
      const answer = await cluster.connection().call(apis.createTopics, { topics });
      return answer.topics[0]!.errorCode;
    };
    proxy.cutCommitOf(topic, cut);
    expect(await create()).toBe(7); // REQUEST_TIMED_OUT: nobody knows
    // Until the shard is owned again: NOT_CONTROLLER, which admin clients try again.
    expect([0, 36, 41]).toContain(await create());
    proxy.deliverLate();
    // Created or not, it is the same for everybody; the next attempt decides.
    const settled = async (): Promise<boolean> => [0, 36].includes(await create());
    await expect.poll(settled).toBe(true);
    const producerId = await cluster.newProducerId();
    expect(await node.connect().append(topic, batchOf({ producerId, sequence: 0 }))).toBe(0);
    expect(await reader.texts(topic)).toEqual([`${producerId}/0/0`]);
  });

  it('again and again, by backends that are terminated under two nodes: each batch once, in order', async () => {
    const cluster = await Cluster.start(await postgres.createDatabase());
    await cluster.createTopic(topic);
    const reader = await cluster.addReader();
    const nodes = [await cluster.addIngest(), await cluster.addIngest()];
    const producers = await Promise.all(nodes.map(() => cluster.newProducerId()));
    const seen = { kills: 0, written: 0 };
    const stop = new AbortController();
    const killer = (async () => {
      while (!stop.signal.aborted) {
        const { written } = seen;
        const rows = await cluster.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = 'kafscale'
             AND (xact_start IS NOT NULL OR random() < 0.2)`,
        );
        seen.kills += rows.length;
        // Not again before something was written: on a slow machine nothing ever would be.
        await until(() => rows.length === 0 || seen.written > written || stop.signal.aborted);
        await new Promise((resolve) => setTimeout(resolve, 10 + 40 * Math.random()));
      }
    })();
    // However fast they go: until enough of them met a terminated backend.
    const written = await Promise.all(
      nodes.map(async (node, index) => {
        let client = node.connect();
        let sequence = 0;
        while (sequence < 25 || seen.kills < 6) {
          const records = batchOf({ producerId: producers[index]!, sequence });
          const outcome = await client.append(topic, records);
          if (outcome === 'lost') client = node.connect();
          else if (outcome !== -56) {
            expect(outcome).toBeGreaterThanOrEqual(0);
            sequence += 1;
            seen.written += 1;
          }
        }
        return sequence;
      }),
    ).finally(() => stop.abort());
    await killer;
    const texts = await reader.texts(topic);
    for (const [index, producerId] of producers.entries()) {
      const own = texts.filter((text) => text.startsWith(`${producerId}/`));
      const expected = Array.from({ length: written[index]! }, (_, n) => `${producerId}/0/${n}`);
      expect(own).toEqual(expected);
    }
  });
});

async function later<T>(work: () => Promise<T>): Promise<T> {
  await new Promise((resolve) => setTimeout(resolve, 1));
  return work();
}
