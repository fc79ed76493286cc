import { randomUUID } from 'node:crypto';
import { apis } from '@kafscale/codec';
import { connectCoordinator, FeedReplica } from '@kafscale/cluster';
import type { CoordinatorService, SegmentCommit } from '@kafscale/cluster';
import { systemClock } from '@kafscale/core';
import type { TestPostgres } from '@kafscale/testing';
import { startTestPostgres } from '@kafscale/testing';
import postgresDriver from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanup, until } from './commit-rules/cleanup.js';
import { Cluster } from './commit-rules/cluster.js';
import { CommitLink } from './commit-rules/commit-link.js';
import { batchOf, KafkaConnection } from './commit-rules/kafka-calls.js';
import {
  clusterSecret,
  connectToIngest,
  listenAsCoordinator,
  patient,
  spawnRole,
} from './commit-rules/role-process.js';
import { StoreFolder } from './commit-rules/store-folder.js';

/** Real processes that stand still (SIGSTOP) for longer than the others wait for them, and go on. */
let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());

const topic = 'events';
const log = (): void => {};

/** A link to a coordinator process. */
function linkTo(url: string): CoordinatorService {
  const link = connectCoordinator({
    url,
    secret: clusterSecret,
    caller: () => ({ nodeId: -1, role: 'front' }),
    log,
    bounds: patient,
  });
  cleanup(() => link.close());
  return link;
}

async function succeeds(work: () => Promise<unknown>): Promise<boolean> {
  return work().then(
    () => true,
    () => false,
  );
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    (value) => `answered ${JSON.stringify(value)}`,
    (error: { code?: string }) => String(error.code),
  );
}

async function newSegment(via: CoordinatorService, partitionId: number): Promise<SegmentCommit> {
  const registration = { roles: [], zone: '', internalUrl: '', advertised: null };
  const grant = await via.register({ ...registration, instanceId: randomUUID() });
  const batch = { recordCount: 1, firstTimestampMs: 1, maxTimestampMs: 1, excluded: false };
  const plain = { producerId: -1, producerEpoch: -1, baseSequence: -1 };
  return {
    segmentId: randomUUID(),
    nodeId: grant.nodeId,
    incarnation: grant.incarnation,
    birthMs: grant.databaseTimeMs,
    sizeBytes: 100,
    extents: [{ partitionId, position: 0, length: 90, batches: [{ ...batch, ...plain }] }],
  };
}

async function joinGroup(
  client: KafkaConnection,
): Promise<{ memberId: string; generationId: number }> {
  const request = {
    groupId: 'group',
    sessionTimeoutMs: 60_000,
    rebalanceTimeoutMs: 60_000,
    protocolType: 'consumer',
    protocols: [{ name: 'range', metadata: Buffer.from('x') }],
  };
  const first = await client.call(apis.joinGroup, request);
  const { generationId, memberId } = await client.call(apis.joinGroup, {
    ...request,
    memberId: first.memberId,
  });
  const assignments = [{ memberId, assignment: Buffer.from('y') }];
  const synced = await client.call(apis.syncGroup, {
    groupId: 'group',
    memberId,
    generationId,
    protocolType: 'consumer',
    protocolName: 'range',
    assignments,
  });
  expect(synced.errorCode).toBe(0);
  return { memberId, generationId };
}

describe('a coordinator that stands still past its lease', () => {
  it('and goes on: it answers neither reads nor heartbeats, writes nothing, and stands by', async () => {
    const databaseUrl = await postgres.createDatabase();
    const folder = new StoreFolder();
    cleanup(() => folder.remove());
    const env = {
      KAFSCALE_METADATA_URL: databaseUrl,
      KAFSCALE_GROUP_INITIAL_REBALANCE_DELAY_MS: '0',
      KAFSCALE_STORE_URL: folder.url,
    };
    const sleeper = await spawnRole('coordinator', env);
    const old = linkTo(sleeper.url);
    await expect.poll(() => succeeds(() => old.feedPosition())).toBe(true);
    const next = await spawnRole('coordinator', env);
    const successor = linkTo(next.url);

    const oldClient = new KafkaConnection(old);
    const topics = [{ name: topic, numPartitions: 1, replicationFactor: 1 }];
    const created = await oldClient.call(apis.createTopics, { topics });
    expect(created.topics[0]!.errorCode).toBe(0);
    const replica = new FeedReplica({
      coordinator: old,
      commits: true,
      clock: systemClock,
      log,
      barrierMsMax: 10_000,
    });
    cleanup(() => replica.close());
    replica.start();
    await replica.ready();
    await replica.barrier();
    const { partitionId } = replica.topicByName(topic)!.partitions[0]!;
    await old.commitSegments([await newSegment(old, partitionId)]);
    await replica.barrier();
    expect(replica.head(partitionId)!.highWatermark).toBe(1);
    const member = await joinGroup(oldClient);
    const heartbeat = { groupId: 'group', ...member };
    expect(await oldClient.call(apis.heartbeat, heartbeat)).toMatchObject({ errorCode: 0 });
    const late = await newSegment(old, partitionId);
    // Before that it may not listen yet.
    await expect.poll(() => codeOf(successor.feedPosition())).toBe('SHARD_NOT_OWNED');

    sleeper.process.signal('SIGSTOP');
    await expect.poll(() => succeeds(() => successor.feedPosition()), { interval: 100 }).toBe(true);
    const answers = await successor.commitSegments([await newSegment(successor, partitionId)]);
    expect(answers).toMatchObject([{ kind: 'committed', extents: [[{ baseOffset: 1 }]] }]);
    expect(await new KafkaConnection(successor).call(apis.heartbeat, heartbeat)).toMatchObject({
      errorCode: 0,
    });

    // All of this waits in its sockets and is the first that it sees.
    const { heartbeat: heartbeatApi, offsetCommit, offsetFetch } = apis;
    const commitOffsets = {
      groupId: 'group',
      memberId: member.memberId,
      generationIdOrMemberEpoch: member.generationId,
      topics: [{ name: topic, partitions: [{ partitionIndex: 0, committedOffset: 1n }] }],
    };
    const asked = {
      position: codeOf(old.feedPosition()),
      barrier: codeOf(replica.barrier()),
      commit: codeOf(old.commitSegments([late])),
      heartbeat: oldClient.call(heartbeatApi, heartbeat),
      offsetCommit: oldClient.call(offsetCommit, commitOffsets),
      offsetFetch: oldClient.call(offsetFetch, { groups: [{ groupId: 'group', topics: null }] }),
    };
    sleeper.process.signal('SIGCONT');
    expect(await asked.position).toMatch(/^SHARD_(LEASE_EXPIRED|NOT_OWNED)$/);
    expect(await asked.commit).toMatch(/^SHARD_(LEASE_LOST|NOT_OWNED)$/);
    expect(await asked.heartbeat).toMatchObject({ errorCode: 16 }); // NOT_COORDINATOR
    const [committed] = (await asked.offsetCommit).topics;
    expect(committed!.partitions[0]!.errorCode).toBe(16);
    expect((await asked.offsetFetch).groups[0]!.errorCode).toBe(16);
    expect(await asked.barrier).toBe('READ_INDEX_UNAVAILABLE');
    const sql = postgresDriver(databaseUrl, { max: 1, fetch_types: false });
    cleanup(() => sql.end({ timeout: 1 }));
    const [partition] = await sql`SELECT next_offset::int FROM partitions`;
    expect(partition).toEqual({ next_offset: 2 });
    expect(await sql`SELECT FROM group_offsets`).toHaveLength(0);

    // It stands by, and takes the shard again when its successor goes.
    expect(await codeOf(old.feedPosition())).toBe('SHARD_NOT_OWNED');
    expect(await next.process.stop()).toMatchObject({ code: 0 });
    await expect.poll(() => succeeds(() => old.feedPosition()), { interval: 100 }).toBe(true);
    await expect.poll(() => succeeds(() => replica.barrier())).toBe(true);
    expect(replica.head(partitionId)!.highWatermark).toBe(2);
    expect(await oldClient.call(heartbeatApi, heartbeat)).toMatchObject({ errorCode: 0 });
  });
});

describe('an ingest process that stands still until it is declared dead', () => {
  it('and goes on: what it had stored is fenced, its client hears so, and retries are taken', async () => {
    const cluster = await Cluster.start(await postgres.createDatabase(), {
      nodeDeadAfterMs: 8_000, // a process beats every 3 s
    });
    await cluster.createTopic(topic);
    await cluster.addIngest({ heartbeatMs: 100 }); // by whose heartbeats the dead are noticed
    const reader = await cluster.addReader();
    const commits = new CommitLink(cluster.slot);
    const url = await listenAsCoordinator(cluster.slot.through(commits));
    const node = await spawnRole('ingest', {
      KAFSCALE_COORDINATOR_URL: url,
      KAFSCALE_STORE_URL: cluster.folder.url,
    });
    await node.process.waitUntilReady();
    const client = connectToIngest(node);
    const producerId = await cluster.newProducerId();
    expect(await client.append(topic, batchOf({ producerId, sequence: 0 }))).toBe(0);
    commits.hold();
    const sent = client.append(topic, batchOf({ producerId, sequence: 1 }));
    await until(() => commits.heldCalls === 1);
    node.process.signal('SIGSTOP');
    const { nodeId } = commits.calls.at(-1)![0]!;
    const isDead = async (): Promise<boolean> => {
      const rows = await cluster.query(`SELECT state FROM nodes WHERE node_id = ${nodeId}`);
      return rows[0]!['state'] === 'dead';
    };
    await expect.poll(isDead, { interval: 100 }).toBe(true);
    commits.release();
    node.process.signal('SIGCONT');
    expect(await sent).toBe(-56);
    expect(await reader.texts(topic)).toEqual([`${producerId}/0/0`]);
    const retry = (): Promise<number | 'lost'> =>
      client.append(topic, batchOf({ producerId, sequence: 1 }));
    await expect.poll(retry, { interval: 100 }).toBe(1);
    expect(commits.calls.at(-1)![0]!.nodeId).not.toBe(nodeId);
    expect(await reader.texts(topic)).toEqual([`${producerId}/0/0`, `${producerId}/0/1`]);
  });
});
