import { createServer } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import {
  apiByKey,
  apis,
  encodeResponseHeader,
  errorCodes,
  parseRequestHeader,
} from '@kafscale/codec';
import type { MetadataRequest } from '@kafscale/codec';
import { afterEach, describe, expect, test } from 'vitest';
import { kafscale } from './collect.js';
import type { CliResult } from './collect.js';

/** What a broker of this test answers: by API key, the decoded request to the response's value. */
type Answers = Record<number, (request: never, version: number) => object>;

const topicId = '6b1f7a52-3f0e-4b52-9e0a-0c1d2e3f4a5b';
let server: ReturnType<typeof createServer> | undefined;
const sockets = new Set<Socket>();

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
  await new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
  server = undefined;
});

async function listen(onConnection: (socket: Socket) => void): Promise<string> {
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server?.listen(0, '127.0.0.1', resolve));
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Speaks Kafka through the codec, and answers in two pieces so that framing is exercised. */
async function broker(answers: Answers): Promise<string> {
  const ranges = [apis.apiVersions, apis.metadata, apis.createTopics, apis.deleteTopics];
  const versions = (): object => ({
    apiKeys: [...ranges, apis.describeConfigs].map((api) => ({
      apiKey: api.key,
      minVersion: api.minVersion,
      maxVersion: api.maxVersion,
    })),
  });
  return await listen((socket) => {
    let buffered = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      buffered = Buffer.concat([buffered, chunk]);
      while (buffered.length >= 4 && buffered.length >= 4 + buffered.readInt32BE(0)) {
        const end = 4 + buffered.readInt32BE(0);
        const response = answer(buffered.subarray(4, end), { ...answers, 18: versions });
        buffered = buffered.subarray(end);
        socket.write(response.subarray(0, 6));
        setImmediate(() => socket.write(response.subarray(6)));
      }
    });
  });
}

function answer(frame: Buffer, answers: Answers): Buffer {
  const header = parseRequestHeader(frame);
  const api = apiByKey(header.apiKey);
  const handler = answers[header.apiKey];
  if (!api || !handler) throw new Error(`no answer to API ${header.apiKey}`);
  const request = api.request.decode(frame.subarray(header.bodyOffset), header.apiVersion);
  const value = handler(request as never, header.apiVersion);
  const body = Buffer.concat([
    encodeResponseHeader(header.apiKey, header.apiVersion, header.correlationId),
    ...api.response.encode(value, header.apiVersion),
  ]);
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length);
  return Buffer.concat([length, body]);
}

async function topic(address: string, ...argv: string[]): Promise<CliResult> {
  return await kafscale(['topic', ...argv, '--bootstrap-server', address]);
}

function metadata(request: MetadataRequest): object {
  const partition = (partitionIndex: number): object => ({
    partitionIndex,
    leaderId: partitionIndex === 1 ? 9 : 1,
    leaderEpoch: 0,
    replicaNodes: [1],
    isrNodes: [1],
    offlineReplicas: [],
  });
  const known = { name: 'orders', topicId, partitions: [partition(1), partition(0)] };
  const other = { name: 'audit', topicId, partitions: [partition(0)] };
  const named = request.topics?.map(({ name }) =>
    name === 'orders' ? known : { name, errorCode: errorCodes.UNKNOWN_TOPIC_OR_PARTITION },
  );
  return {
    brokers: [{ nodeId: 1, host: 'front-1', port: 9092 }],
    topics: named ?? [known, other],
  };
}

describe('topic create', () => {
  test('sends what was asked for, and the defaults where nothing was', async () => {
    const requests: object[] = [];
    const address = await broker({
      19: (request) => {
        requests.push(request);
        return { topics: [{ name: 'orders', topicId }] };
      },
    });
    expect(await topic(address, 'create', 'orders')).toMatchObject({
      exitCode: 0,
      stdout: 'created orders\n',
    });
    await topic(address, 'create', 'orders', 'a.b=c=d', '--partitions', '6');
    expect(requests).toMatchObject([
      { topics: [{ name: 'orders', numPartitions: -1, replicationFactor: -1, configs: [] }] },
      { topics: [{ numPartitions: 6, configs: [{ name: 'a.b', value: 'c=d' }] }] },
    ]);
  });

  test("fails with Kafka's name for the error, unless that is fine", async () => {
    const address = await broker({
      19: () => ({
        topics: [{ name: 'orders', errorCode: 36, errorMessage: "Topic 'orders' exists." }],
      }),
    });
    const refused = await topic(address, 'create', 'orders');
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr).toMatch(/orders.*exists.*\[TOPIC_ALREADY_EXISTS\]\n$/);
    expect(await topic(address, 'create', 'orders', '--if-not-exists')).toMatchObject({
      exitCode: 0,
    });
  });
});

test('topic list: by name, never creating anything', async () => {
  const requests: MetadataRequest[] = [];
  const address = await broker({
    3: (request: MetadataRequest) => {
      requests.push(request);
      return metadata(request);
    },
  });
  const { stdout } = await topic(address, 'list');
  expect(stdout).toMatch(/^NAME +PARTITIONS +ID\naudit +1 .*\norders +2 .*\n$/);
  expect(JSON.parse((await topic(address, 'list', '--json')).stdout)).toEqual([
    { name: 'audit', topicId, partitionCount: 1 },
    { name: 'orders', topicId, partitionCount: 2 },
  ]);
  expect(requests[0]).toMatchObject({ topics: null, allowAutoTopicCreation: false });
});

describe('topic describe', () => {
  const describeConfigs = (): object => ({
    results: [
      {
        resourceType: 2,
        resourceName: 'orders',
        configs: [
          { name: 'retention.ms', value: '1000', configSource: 1 },
          { name: 'cleanup.policy', value: 'delete', configSource: 5 },
        ],
      },
    ],
  });

  test('prints id, partitions in order, leaders that are known, and configs', async () => {
    const address = await broker({ 3: metadata, 32: describeConfigs });
    const { stdout } = await topic(address, 'describe', 'orders');
    expect(stdout).toContain(`topic orders  id ${topicId}  partitions 2`);
    expect(stdout).toMatch(/^0 +1 \(front-1:9092\) +0\n1 +- +0$/m);
    expect(stdout).toMatch(/^retention\.ms +1000 +set\ncleanup\.policy +delete +default$/m);
  });

  test('of a topic that does not exist is an error', async () => {
    const address = await broker({ 3: metadata });
    const { exitCode, stderr } = await topic(address, 'describe', 'nothing');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('[UNKNOWN_TOPIC_OR_PARTITION]');
  });
});

test('topic delete: names in one request, the failed one is named', async () => {
  const address = await broker({
    20: (request: { topics: readonly { name: string }[] }) => ({
      responses: request.topics.map(({ name }) => ({ name, errorCode: name === 'b' ? 3 : 0 })),
    }),
  });
  expect((await topic(address, 'delete', 'a', 'c')).stdout).toBe('deleted a\ndeleted c\n');
  const failed = await topic(address, 'delete', 'a', 'b');
  expect(failed.exitCode).toBe(1);
  expect(failed.stderr).toMatch(/can't delete b.*\[UNKNOWN_TOPIC_OR_PARTITION\]/);
});

describe('a server that is not there, or not a Kafka', () => {
  test('nobody listens', async () => {
    const address = await listen(() => undefined);
    await new Promise((resolve) => server?.close(resolve));
    server = undefined;
    const { exitCode, stderr } = await topic(address, 'list');
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/can't connect to 127.*\[KAFKA_UNREACHABLE\]\n$/);
  });

  test('it never answers', async () => {
    const address = await listen(() => undefined);
    const { exitCode, stderr } = await topic(address, 'list', '--timeout-ms', '100');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('[KAFKA_TIMEOUT]');
  });

  test('it closes', async () => {
    const address = await listen((socket) => socket.once('data', () => socket.end()));
    expect((await topic(address, 'list')).stderr).toContain('[KAFKA_CONNECTION_LOST]');
  });

  test('it speaks HTTP', async () => {
    const address = await listen((socket) => {
      socket.once('data', () => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    });
    expect((await topic(address, 'list')).stderr).toContain('[KAFKA_PROTOCOL_ERROR]');
  });

  test('it answers another request', async () => {
    const address = await listen((socket) => {
      socket.once('data', () => socket.write(Buffer.from('0000000a00000063000000000000', 'hex')));
    });
    expect((await topic(address, 'list')).stderr).toContain('[KAFKA_PROTOCOL_ERROR]');
  });

  test('it cuts its answer short', async () => {
    const address = await listen((socket) => {
      socket.once('data', () => socket.write(Buffer.from('000000050000000100', 'hex')));
    });
    const { exitCode, stderr } = await topic(address, 'list');
    expect(exitCode).toBe(1);
    expect(stderr).toContain('[MALFORMED_MESSAGE]');
  });

  test('it offers no version that we speak', async () => {
    const address = await listen((socket) => {
      // ApiVersions v0: Metadata (3) in versions 90 to 99 only.
      const frame = '00000010000000010000000000010003005a0063';
      socket.once('data', () => socket.write(Buffer.from(frame, 'hex')));
    });
    expect((await topic(address, 'list')).stderr).toContain('[KAFKA_VERSION_UNSUPPORTED]');
  });
});
