import { OperatingError, systemClock } from '@kafscale/core';
import { rpcEndpoint, startServer } from '@kafscale/rpc';
import type { HttpAndWebSocketServer, RpcService } from '@kafscale/rpc';
import { takePort } from '@kafscale/testing';
import { describe, expect, test } from 'vitest';
import {
  connectCoordinator,
  connectFetch,
  connectIngest,
  FeedReplica,
  serveCoordinator,
  serveFetch,
  serveIngest,
  servicePaths,
} from '../src/index.js';
import type {
  FeedMessage,
  IngestService,
  KafkaReply,
  KafkaRequest,
  RemoteOptions,
} from '../src/index.js';
import { extentOf, ScriptedCoordinator, topicOf, uuidOf } from './scripted-coordinator.js';
import { cleanup, deferred, failureOf, some, turn, until } from './support.js';

const secret = 'cluster secret';
const never = new AbortController().signal;

async function serve(
  path: string,
  service: RpcService,
): Promise<{ server: HttpAndWebSocketServer; options: RemoteOptions }> {
  const log = (): void => {};
  const endpoint = rpcEndpoint({ path, secret, service, log });
  const server = await startServer(
    { host: '127.0.0.1', port: await takePort(), routes: [], endpoints: [endpoint] },
    log,
  );
  cleanup(() => server.close(0));
  const url = `ws://127.0.0.1:${server.port}`;
  return { server, options: { url, secret, caller: () => ({ nodeId: 1, role: 'front' }), log } };
}

async function remoteCoordinator(): Promise<{
  owner: ScriptedCoordinator;
  remote: ReturnType<typeof connectCoordinator>;
  server: HttpAndWebSocketServer;
}> {
  const owner = new ScriptedCoordinator();
  const { server, options } = await serve(servicePaths.coordinator, serveCoordinator(owner));
  const remote = connectCoordinator(options);
  cleanup(() => remote.close());
  return { owner, remote, server };
}

function requestOf(requestNumber: number, body = Buffer.from('body')): KafkaRequest {
  return {
    apiKey: 0,
    apiVersion: 9,
    clientId: requestNumber % 2 === 0 ? null : 'client',
    clientHost: '127.0.0.1',
    principal: 'User:ANONYMOUS',
    listener: 'PLAINTEXT',
    connectionId: 'connection-1',
    requestNumber,
    body,
  };
}

describe('Kafka requests over a link', () => {
  test('arrive whole and in order, while answers overtake one another', async () => {
    const arrived: KafkaRequest[] = [];
    const answers = Array.from({ length: 200 }, () => deferred<KafkaReply>());
    const service: IngestService = {
      handle: (request) => {
        arrived.push(request);
        return some(answers[request.requestNumber]).promise;
      },
      readRecentSegment: () => Promise.resolve(null),
    };
    const { options } = await serve(servicePaths.ingest, serveIngest(service));
    const remote = connectIngest(options, 'produce');
    cleanup(() => remote.close());
    const requests = answers.map((_, index) =>
      requestOf(index, Buffer.alloc((index % 5) * 40_000, index)),
    );
    const replies = requests.map((request) => remote.handle(request, never));
    await until(() => arrived.length === requests.length);
    for (const [index, request] of requests.entries()) {
      const { body, ...envelope } = some(arrived[index]);
      const { body: sent, ...expected } = request;
      expect(envelope).toEqual(expected);
      expect(body.equals(sent)).toBe(true); // toEqual looks at every byte in JavaScript
    }
    for (const [index, answer] of [...answers.entries()].reverse()) {
      if (index % 3 === 0) answer.resolve({ kind: 'none' });
      else if (index % 3 === 1) answer.resolve({ kind: 'close', reason: `because ${index}` });
      else {
        const chunks = [Buffer.from(`a${index}`), Buffer.alloc(30_000, index)];
        answer.resolve({ kind: 'response', chunks });
      }
    }
    for (const [index, reply] of (await Promise.all(replies)).entries()) {
      if (index % 3 === 0) expect(reply).toEqual({ kind: 'none' });
      else if (index % 3 === 1)
        expect(reply).toEqual({ kind: 'close', reason: `because ${index}` });
      else {
        const expected = Buffer.concat([Buffer.from(`a${index}`), Buffer.alloc(30_000, index)]);
        expect(reply.kind === 'response' && Buffer.concat(reply.chunks).equals(expected)).toBe(
          true,
        );
      }
    }
  });

  test('an abort reaches the service; the call ends as the service ends it', async () => {
    let begun = false;
    const { options } = await serve(
      servicePaths.fetch,
      serveFetch({
        handle: (_, signal) => {
          begun = true;
          return new Promise((resolve) => {
            signal.addEventListener('abort', () => resolve({ kind: 'none' }));
          });
        },
      }),
    );
    const remote = connectFetch(options);
    cleanup(() => remote.close());
    const controller = new AbortController();
    const reply = remote.handle(requestOf(0), controller.signal);
    await until(() => begun);
    controller.abort();
    expect(await reply).toEqual({ kind: 'none' });
  });

  test('a service that vanishes with a request leaves its outcome unknown', async () => {
    let begun = false;
    const { server, options } = await serve(
      servicePaths.fetch,
      serveFetch({
        handle: () => {
          begun = true;
          return new Promise(() => {});
        },
      }),
    );
    const remote = connectFetch(options);
    cleanup(() => remote.close());
    const failure = failureOf(remote.handle(requestOf(0), never));
    await until(() => begun);
    await server.close(0);
    expect(await failure).toMatchObject({ code: 'LINK_LOST', outcome: 'unknown' });
  });

  test('recent segments are read through, and may be gone', async () => {
    const bytes = Buffer.from('the bytes of a segment');
    const { options } = await serve(
      servicePaths.ingest,
      serveIngest({
        handle: () => Promise.resolve({ kind: 'none' }),
        readRecentSegment: (segmentId, position, length) =>
          Promise.resolve(
            segmentId === uuidOf(1) ? bytes.subarray(position, position + length) : null,
          ),
      }),
    );
    const remote = connectIngest(options, 'fetch');
    cleanup(() => remote.close());
    expect(String(await remote.readRecentSegment(uuidOf(1), 4, 5))).toBe('bytes');
    expect(await remote.readRecentSegment(uuidOf(2), 4, 5)).toBeNull();
  });
});

describe('a coordinator over a link', () => {
  test('registry calls', async () => {
    const { owner, remote } = await remoteCoordinator();
    const registration = {
      instanceId: uuidOf(5),
      roles: ['front', 'ingest'],
      zone: 'a',
      internalUrl: 'ws://127.0.0.1:1',
      advertised: { host: 'kafka.example', port: 9092 },
    } as const;
    const node = { ...registration, nodeId: 12, brokerId: 3 };
    const view = { clusterId: 'c', incarnation: 2, databaseTimeMs: 1_000.5, nodes: [node] };
    owner.onRegister = (registered) => {
      expect(registered).toEqual(registration);
      return Promise.resolve({ ...view, nodeId: 12 });
    };
    expect(await remote.register(registration)).toEqual({ ...view, nodeId: 12 });
    owner.onHeartbeat = (nodeId, instanceId) => {
      if (nodeId !== 12) return Promise.reject(new OperatingError('NODE_FENCED', 'dead'));
      expect(instanceId).toBe(uuidOf(5));
      return Promise.resolve(view);
    };
    expect(await remote.heartbeat(12, uuidOf(5))).toEqual(view);
    expect(await failureOf(remote.heartbeat(13, uuidOf(5)))).toMatchObject({
      code: 'NODE_FENCED',
      outcome: 'failed',
    });
    const gone: unknown[] = [];
    owner.onDeregister = (nodeId, instanceId) => {
      gone.push([nodeId, instanceId]);
      return Promise.resolve();
    };
    await remote.deregister(12, uuidOf(5));
    expect(gone).toEqual([[12, uuidOf(5)]]);
  });

  test('commits, lookups and the read index', async () => {
    const { owner, remote } = await remoteCoordinator();
    const commit = {
      segmentId: uuidOf(1),
      nodeId: 3,
      incarnation: 1,
      birthMs: 99,
      sizeBytes: 1_000,
      extents: [{ partitionId: 7, position: 0, length: 1_000, batches: [] }],
    };
    owner.onCommit = (segments) => {
      expect(segments).toEqual([commit, { ...commit, segmentId: uuidOf(2) }]);
      return Promise.resolve([{ kind: 'committed', extents: [[]] }, { kind: 'fenced' }]);
    };
    expect(await remote.commitSegments([commit, { ...commit, segmentId: uuidOf(2) }])).toEqual([
      { kind: 'committed', extents: [[]] },
      { kind: 'fenced' },
    ]);
    owner.onCommit = () => Promise.resolve([]);
    expect(await failureOf(remote.commitSegments([commit]))).toMatchObject({
      code: 'ANSWER_UNREADABLE',
      outcome: 'unknown',
    });
    owner.extents = [extentOf(7, 0, 10), extentOf(7, 10, 10), extentOf(8, 0, 1)];
    expect(await remote.findExtents(7, 5, 10)).toEqual(owner.extents.slice(0, 2));
    expect(await remote.findExtents(7, 10, 10)).toEqual(owner.extents.slice(1, 2));
    expect(await remote.findExtents(9, 0, 10)).toEqual([]);
    expect(await remote.findExtentByTimestamp(7, 2)).toEqual(owner.extents[0]);
    expect(await remote.findExtentByTimestamp(7, 3)).toBeNull();
    expect(await remote.findExtentOfMaxTimestamp(8)).toEqual(owner.extents[2]);
    expect(await remote.findExtentOfMaxTimestamp(9)).toBeNull();
    owner.position = { leaseEpoch: 4, sequence: 2 ** 40 };
    expect(await remote.feedPosition()).toEqual({ leaseEpoch: 4, sequence: 2 ** 40 });
  });

  test('the feed arrives as it was published, ahead of later answers', async () => {
    const { owner, remote } = await remoteCoordinator();
    owner.topics = [topicOf(1, [{ partitionId: 10 }])];
    const messages: FeedMessage[] = [];
    const closed: string[] = [];
    const subscription = remote.subscribe(
      { commits: true },
      { onMessage: (message) => messages.push(message), onClosed: (why) => closed.push(why) },
    );
    const published: FeedMessage[] = [owner.snapshot()];
    await until(() => messages.length === 1);
    for (let index = 0; index < 300; index += 1) {
      const message = owner.next([{ kind: 'committed', extents: [extentOf(10, index, 1)] }]);
      published.push(message);
      owner.deliver(message);
    }
    // The owner answers after it has published; what is on the link is in that order.
    expect(await remote.feedPosition()).toEqual(owner.position);
    expect(messages).toEqual(published);
    subscription.close();
    await until(() => owner.live().length === 0);
    expect(closed).toEqual([]);
  });

  test('a subscription that the owner ends says why', async () => {
    const { owner, remote } = await remoteCoordinator();
    const closed: string[] = [];
    remote.subscribe(
      { commits: false },
      { onMessage: () => {}, onClosed: (reason) => closed.push(reason) },
    );
    await until(() => owner.live().length === 1);
    expect(some(owner.subscriptions[0]).options).toEqual({ commits: false });
    owner.cut('the lease went to another');
    await until(() => closed.length === 1);
    expect(closed).toEqual(['the lease went to another']);
  });

  test('a replica behind a link follows through a restart of the owner', async () => {
    const { owner, remote, server } = await remoteCoordinator();
    owner.topics = [topicOf(1, [{ partitionId: 10 }])];
    const replica = new FeedReplica({
      coordinator: remote,
      commits: true,
      clock: systemClock,
      log: () => {},
    });
    cleanup(() => replica.close());
    replica.start();
    await replica.ready();
    owner.publish([{ kind: 'committed', extents: [extentOf(10, 0, 4)] }]);
    await replica.barrier();
    expect(replica.head(10)?.highWatermark).toBe(4);
    await server.close(1_000);
    await turn();
    const heir = new ScriptedCoordinator();
    heir.position = { leaseEpoch: 2, sequence: 0 };
    heir.topics = [topicOf(1, [{ partitionId: 10, highWatermark: 9 }])];
    const log = (): void => {};
    const service = serveCoordinator(heir);
    const again = await startServer(
      {
        host: '127.0.0.1',
        port: server.port,
        routes: [],
        endpoints: [rpcEndpoint({ path: servicePaths.coordinator, secret, service, log })],
      },
      log,
    );
    cleanup(() => again.close(0));
    await replica.barrier();
    expect(replica.head(10)?.highWatermark).toBe(9);
  });
});
