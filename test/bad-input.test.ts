import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import {
  apis,
  encodePlainBatch,
  encodeRequestHeader,
  errorCodes,
  errorName,
} from '@kafscale/codec';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IdempotentProducer } from './support/idempotent-producer.js';
import { createTopic } from './support/kafka-calls.js';
import { KafkaConnection } from './support/kafka-connection.js';
import { checkLog } from './support/log-check.js';
import { Random } from './support/random.js';
import type { ServerProcess } from './support/server-process.js';
import { Standalone } from './support/standalone.js';

const topic = 'unharmed';
const random = Random.fromEnvironment();

/** What stands before a body: length, API, version, correlation id 7, no client id. */
function frame(apiKey: number, version: number, body: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(14);
  head.writeInt32BE(10 + body.length, 0);
  head.writeInt16BE(apiKey, 4);
  head.writeInt16BE(version, 6);
  head.writeInt32BE(7, 8);
  head.writeInt16BE(-1, 12);
  return Buffer.concat([head, body]);
}

/** A whole request of ours, for tests that spoil it. */
function requestFrame(apiKey: number, body: Uint8Array[], version: number): Buffer {
  const clientId = 'bad-input';
  const header = { apiKey, apiVersion: version, correlationId: 7, clientId };
  const bytes = Buffer.concat([...encodeRequestHeader(header), ...body]);
  const length = Buffer.alloc(4);
  length.writeInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function metadataThatLies(): Buffer {
  // Version 1: an array of 2^31 − 1 topic names in a request of a few bytes.
  return frame(3, 1, Buffer.from([0x7f, 0xff, 0xff, 0xff, 0, 1, 0x61]));
}

function fetchThatLies(): Buffer {
  const body = Buffer.concat(apis.fetch.request.encode({ maxWaitMs: 0, minBytes: 0 }, 11));
  // The count of topics: behind replica id, waits, sizes, isolation and session.
  body.writeInt32BE(0x10_00_00, 4 + 4 + 4 + 4 + 1 + 4 + 4);
  return requestFrame(apis.fetch.key, [body], 11);
}

function produceThatLies(): Buffer {
  const records = goodBatch();
  const body = Buffer.concat(produceBody(records, 8));
  // The length of the records says more than there is.
  body.writeInt32BE(records.length + 1_000, body.length - records.length - 4);
  return requestFrame(apis.produce.key, [body], 8);
}

function produceBody(records: Buffer, version: number): Uint8Array[] {
  const request = {
    acks: -1,
    timeoutMs: 10_000,
    topicData: [{ name: topic, partitionData: [{ index: 0, records }] }],
  };
  return apis.produce.request.encode(request, version);
}

function goodBatch(): Buffer {
  return encodePlainBatch({ records: [{ timestampMs: Date.now(), value: Buffer.from('good') }] });
}

/** What comes back until the server ends the connection. */
function exchange(port: number, bytes: Buffer, andEnd = false): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port });
    const chunks: Buffer[] = [];
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error('the server does not close the connection'));
    }, 100_000);
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    // A reset is an end too.
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(Buffer.concat(chunks));
    });
    if (andEnd) socket.end(bytes);
    else socket.write(bytes);
  });
}

describe('bad input on the Kafka port', () => {
  let standalone: Standalone;
  let server: ServerProcess;
  let good: KafkaConnection;
  const producer = new IdempotentProducer({ name: 'good', topic, partitions: 2, random });

  beforeAll(async () => {
    standalone = await Standalone.prepare();
    server = await standalone.start();
    good = await KafkaConnection.connect(standalone.kafkaPort);
    await createTopic(good, topic, 2);
    await createTopic(good, 'spoiled', 1);
    await producer.register(good);
  });
  afterAll(async () => {
    good?.close();
    await standalone?.remove(server);
  });

  /** Lines about clients since the last call. */
  let linesSeen = 0;
  async function newComplaints(
    atLeast: number,
  ): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const lines = () =>
      server.logLines.filter(({ msg, reason }) => {
        return typeof reason === 'string' && String(msg).startsWith('closing a client connection');
      });
    // What the server wrote has a way of its own to us.
    await expect.poll(() => lines().length - linesSeen).toBeGreaterThanOrEqual(atLeast);
    const fresh = lines().slice(linesSeen);
    linesSeen += fresh.length;
    return fresh;
  }

  /** The same connection all the time, before, between and after all others. */
  async function expectOthersUnharmed(): Promise<void> {
    const before = producer.batches.length;
    await producer.stream(good, () => producer.batches.length >= before + 5);
    expect(good.isOpen).toBe(true);
    expect(producer.unsettled).toEqual([]);
  }

  it.each<[string, Buffer, string]>([
    ['garbage', Buffer.from('fffefdfc00112233', 'hex'), 'negative'],
    ['a frame above the limit', Buffer.from('7fffffff000300010000', 'hex'), 'oversize'],
    ['a frame without room for a header', Buffer.from('00000004000300', 'hex'), 'short'],
    ['a TLS ClientHello', Buffer.from('16030100f1010000ed0303', 'hex'), 'tls'],
    ['an HTTP GET', Buffer.from('GET / HTTP/1.1\r\nHost: kafka\r\n\r\n'), 'http'],
    ['an unknown API', frame(4242, 0), 'unknown_api'],
    ['a version that is too new', frame(3, 99), 'unsupported_version'],
    ['a version that is too old', frame(1, 0), 'unsupported_version'],
    ['a Produce of version 2', frame(0, 2, Buffer.alloc(10)), 'service_closed'],
    ['a count of topics that lies', metadataThatLies(), 'service_closed'],
    ['a count of topics to fetch that lies', fetchThatLies(), 'service_closed'],
    ['a length of records that lies', produceThatLies(), 'service_closed'],
    ['bytes behind the end', frame(3, 1, Buffer.from('ffffffff00', 'hex')), 'service_closed'],
  ])('%s closes that connection with one line', async (_name, bytes, reason) => {
    await newComplaints(0);
    const answer = await exchange(standalone.kafkaPort, bytes);
    expect(answer.length, 'no answer').toBe(0);
    await expectOthersUnharmed();
    expect((await newComplaints(1)).map((line) => [line['level'], line['reason']])).toEqual([
      ['warn', reason],
    ]);
  });

  it('a request that is cut off closes that connection with one line', async () => {
    await newComplaints(0);
    const whole = requestFrame(apis.produce.key, produceBody(goodBatch(), 8), 8);
    expect((await exchange(standalone.kafkaPort, whole.subarray(0, 40), true)).length).toBe(0);
    await expectOthersUnharmed();
    expect((await newComplaints(1)).map(({ reason }) => reason)).toEqual(['truncated']);
  });

  it('an ApiVersions of a future version is answered with 35 and the range (KIP-511)', async () => {
    const { key, maxVersion, minVersion } = apis.apiVersions;
    const connection = await KafkaConnection.connect(standalone.kafkaPort);
    connection.socket.write(frame(key, 99));
    const [bytes] = (await new Promise((resolve) => {
      connection.socket.once('data', (chunk: Buffer) => resolve([chunk]));
    })) as [Buffer];
    connection.close();
    expect(bytes.readInt32BE(4)).toBe(7);
    const answer = apis.apiVersions.response.decode(bytes.subarray(8), 0);
    expect(answer.errorCode).toBe(errorCodes.UNSUPPORTED_VERSION);
    expect(answer.apiKeys).toEqual([{ apiKey: key, minVersion, maxVersion }]);
  });

  it.each<[string, (batch: Buffer) => Buffer, keyof typeof errorCodes]>([
    ['a wrong CRC', (batch) => flip(batch, batch.length - 2), 'CORRUPT_MESSAGE'],
    [
      'a record count that lies',
      (batch) => withCrc(patchInt32(batch, 57, 1_000)),
      'INVALID_RECORD',
    ],
    ['no record', (batch) => withCrc(patchInt32(batch, 57, 0)), 'INVALID_RECORD'],
    ['a batch that is cut off', (batch) => batch.subarray(0, batch.length - 3), 'INVALID_RECORD'],
    ['a batch length of nonsense', (batch) => patchInt32(batch, 8, 3), 'CORRUPT_MESSAGE'],
    ['an unknown format', (batch) => patchByte(batch, 16, 9), 'CORRUPT_MESSAGE'],
    ['an old format', (batch) => patchByte(batch, 16, 1), 'INVALID_RECORD'],
  ])(
    '%s in a batch is answered exactly, and the connection lives on',
    async (_name, spoil, name) => {
      const connection = await KafkaConnection.connect(standalone.kafkaPort);
      const outcomes: string[] = [];
      for (const records of [spoil(goodBatch()), goodBatch()]) {
        // oxlint-disable-next-line no-await-in-loop
        const response = await connection.call(apis.produce, {
          acks: -1,
          timeoutMs: 10_000,
          // A topic of its own: the good producer's log is checked at the end.
          topicData: [{ name: 'spoiled', partitionData: [{ index: 0, records }] }],
        });
        outcomes.push(errorName(response.responses[0]?.partitionResponses[0]?.errorCode ?? -1));
      }
      connection.close();
      expect(outcomes).toEqual([name, 'NONE']);
      await expectOthersUnharmed();
    },
  );

  it('keeps its memory over 2,000 bad connections', async () => {
    const kinds = [
      Buffer.from('fffefdfc00112233', 'hex'),
      Buffer.from('16030100f1010000ed0303', 'hex'),
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      frame(4242, 0),
      metadataThatLies(),
      produceThatLies(),
      // Announces 100 MB, sends a little, and goes.
      Buffer.concat([Buffer.from('06300000', 'hex'), Buffer.alloc(2_000)]),
    ];
    const round = async (connections: number): Promise<void> => {
      const lanes = Array.from({ length: 20 }, async (_, lane) => {
        for (let index = lane; index < connections; index += 20) {
          const bytes = kinds[index % kinds.length]!;
          // oxlint-disable-next-line no-await-in-loop
          await exchange(standalone.kafkaPort, bytes, true);
        }
      });
      await Promise.all(lanes);
    };
    await round(200);
    const before = residentBytes(server.pid);
    await round(2_000);
    await delay(200);
    const growth = residentBytes(server.pid) - before;

    expect(growth, 'bytes that the process grew by').toBeLessThan(100 * 1024 * 1024);
    await expectOthersUnharmed();
  });

  it('has not touched what the good client wrote', async () => {
    const found = await checkLog(good, topic, producer.batches);
    expect(found.size).toBe(producer.batches.length);
    expect(server.hasExited).toBe(false);
  });
});

function flip(bytes: Buffer, at: number): Buffer {
  return patchByte(bytes, at, bytes[at]! ^ 1);
}

function patchByte(bytes: Buffer, at: number, value: number): Buffer {
  bytes[at] = value;
  return bytes;
}

function patchInt32(bytes: Buffer, at: number, value: number): Buffer {
  bytes.writeInt32BE(value, at);
  return bytes;
}

/** The batch with a CRC-32C that fits what it says now. */
function withCrc(batch: Buffer): Buffer {
  let crc = 0xffffffff;
  for (const byte of batch.subarray(21)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  batch.writeUInt32BE((crc ^ 0xffffffff) >>> 0, 17);
  return batch;
}

function residentBytes(pid: number): number {
  const pages = readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1];
  return Number(pages) * 4096;
}
