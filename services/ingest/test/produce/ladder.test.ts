import {
  apis,
  batchCrcMatches,
  encodeBatch,
  errorCodes,
  readBatchHeader,
  setLogAppendTime,
} from '@kafscale/codec';
import { describe, expect, it } from 'vitest';
import { batch, nowMs, patched, ProduceWorld, settings } from './produce-world.js';

const versions = Array.from({ length: apis.produce.maxVersion - 2 }, (_, index) => index + 3);

function worldWith(...topics: string[]): ProduceWorld {
  const world = new ProduceWorld();
  for (const topic of topics) world.addTopic(topic, {}, 2);
  return world;
}

describe('versions', () => {
  it.each(versions)('v%i answers every partition of every topic', async (version) => {
    const world = worldWith('a', 'b');
    const three = batch({ records: [1, 2, 3].map(() => ({ timestampMs: nowMs, value: null })) });
    const answers = await world.produce({
      version,
      topics: {
        b: [
          { index: 1, records: three },
          { index: 0, records: batch() },
        ],
        a: [
          { index: 7, records: batch() },
          { index: 1, records: batch() },
        ],
      },
    });
    const logStartOffset = version >= 5 ? 0 : -1;
    const written = { errorCode: 0, baseOffset: 0, logAppendTimeMs: -1, logStartOffset };
    const unknown = { errorCode: 3, baseOffset: -1, logAppendTimeMs: -1, logStartOffset: -1 };
    expect(answers).toEqual([written, written, unknown, written]);
    const [next] = await world.produce({
      version,
      topics: { b: [{ index: 1, records: batch() }] },
    });
    expect(next).toEqual({ ...written, baseOffset: 3 });
  });

  it.each([0, 1, 2])(
    'v%i, of message formats before v2, closes the connection',
    async (version) => {
      const world = worldWith('a');
      const reply = await world.reply({ version, topics: { a: [{ records: batch() }] } });
      expect(reply).toMatchObject({ kind: 'close' });
      expect(world.stored).toEqual([]);
    },
  );

  it('of an empty request is an empty answer', async () => {
    expect(await worldWith('a').produce({ topics: {} })).toEqual([]);
  });
});

describe('acks', () => {
  it.each([-1, 1])('%i: answered after the commit, not before', async (acks) => {
    const world = worldWith('a');
    world.holdCommits();
    let answered = false;
    const answer = world.produce({ acks, topics: { a: [{ records: batch() }] } }).finally(() => {
      answered = true;
    });
    while (world.stored.length === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(answered).toBe(false);
    world.releaseCommits();
    expect(await answer).toMatchObject([{ errorCode: 0, baseOffset: 0 }]);
  });

  it('0: no response, and the batch is written all the same', async () => {
    const world = worldWith('a');
    world.holdCommits();
    const reply = await world.reply({ acks: 0, topics: { a: [{ records: batch() }] } });
    expect(reply).toEqual({ kind: 'none' });
    world.releaseCommits();
    const [next] = await world.produce({ topics: { a: [{ records: batch() }] } });
    expect(next).toMatchObject({ errorCode: 0, baseOffset: 1 });
  });

  it('0: the connection is closed when something is refused, and the rest is written', async () => {
    const world = worldWith('a');
    const topics = { a: [{ records: batch() }], unknown: [{ records: batch() }] };
    expect(await world.reply({ acks: 0, topics })).toMatchObject({ kind: 'close' });
    expect(await world.reply({ acks: 0, transactionalId: 't', topics })).toMatchObject({
      kind: 'close',
    });
    const [next] = await world.produce({ topics: { a: [{ records: batch() }] } });
    expect(next).toMatchObject({ baseOffset: 1 });
  });

  it.each([-2, 2, 32_767])('%i: INVALID_REQUIRED_ACKS for every partition', async (acks) => {
    const world = worldWith('a');
    const answers = await world.produce({
      acks,
      topics: {
        a: [{ records: batch() }, { index: 1, records: batch() }],
        b: [{ records: batch() }],
      },
    });
    expect(answers).toHaveLength(3);
    for (const answer of answers) {
      expect(answer).toMatchObject({ errorCode: errorCodes.INVALID_REQUIRED_ACKS, baseOffset: -1 });
    }
    expect(world.stored).toEqual([]);
  });
});

describe('transactions', () => {
  it('are refused for good, by their id and by their batches', async () => {
    const world = worldWith('a');
    const request = { transactionalId: 't', topics: { a: [{ records: batch() }] } };
    const { TRANSACTIONAL_ID_AUTHORIZATION_FAILED: refused } = errorCodes;
    expect(await world.produce(request)).toMatchObject([{ errorCode: refused }]);
    const transactional = {
      producerId: 1,
      producerEpoch: 0,
      baseSequence: 0,
      isTransactional: true,
    };
    expect(await world.errorOf('a', batch(transactional))).toBe(refused);
    expect(world.stored).toEqual([]);
  });
});

describe('topics', () => {
  it('that are unknown are waited for once, and then refused', async () => {
    const world = worldWith('a');
    const topics = { a: [{ records: batch() }], unknown: [{ records: batch() }] };
    const answers = await world.produce({ topics });
    expect(answers.map(({ errorCode }) => errorCode)).toEqual([0, 3]);
    expect(world.barriers).toBe(1);
  });

  it('that were created a moment ago are found', async () => {
    const world = worldWith('a');
    world.barrier = async () => world.addTopic('fresh');
    expect(await world.errorOf('fresh', batch())).toBe(0);
    expect(await world.errorOf('fresh', batch())).toBe(0);
    expect(world.barriers).toBe(1);
  });

  it('that nobody can tell of now: LEADER_NOT_AVAILABLE, and nothing is written', async () => {
    const world = worldWith('a');
    const { OperatingError } = await import('@kafscale/core');
    world.barrier = () =>
      Promise.reject(new OperatingError('READ_INDEX_UNAVAILABLE', 'no', { retriable: true }));
    const topics = { a: [{ records: batch() }], unknown: [{ records: batch() }] };
    const answers = await world.produce({ topics });
    expect(answers.map(({ errorCode }) => errorCode)).toEqual([5, 5]);
    expect(world.budget.takenBytes).toBe(0);
    expect(world.stored).toEqual([]);
  });
});

describe('records', () => {
  const { CORRUPT_MESSAGE, INVALID_RECORD, INVALID_TIMESTAMP, MESSAGE_TOO_LARGE } = errorCodes;
  const magicAt = 16;
  const bad: [what: string, records: Buffer | null, errorCode: number][] = [
    ['null', null, INVALID_RECORD],
    ['empty', Buffer.alloc(0), INVALID_RECORD],
    ['a truncated batch', batch().subarray(0, -1), INVALID_RECORD],
    ['two batches', Buffer.concat([batch(), batch()]), INVALID_RECORD],
    ['a batch of format v1', patched((bytes) => bytes.writeInt8(1, magicAt)), INVALID_RECORD],
    ['an unknown format', patched((bytes) => bytes.writeInt8(3, magicAt)), CORRUPT_MESSAGE],
    ['a length that lies', patched((bytes) => bytes.writeInt32BE(5, 8)), CORRUPT_MESSAGE],
    ['a negative length', patched((bytes) => bytes.writeInt32BE(-100, 8)), CORRUPT_MESSAGE],
    ['a base offset', batch({ baseOffset: 5 }), INVALID_RECORD],
    ['a control batch', batch({ isControl: true }), INVALID_RECORD],
    [
      'a negative sequence',
      batch({ producerId: 1, producerEpoch: 0, baseSequence: -1 }),
      INVALID_RECORD,
    ],
    [
      'a negative epoch',
      batch({ producerId: 1, producerEpoch: -1, baseSequence: 0 }),
      INVALID_RECORD,
    ],
    [
      'a wrong CRC',
      patched((bytes) => bytes.writeUInt8(bytes.at(-1)! ^ 1, bytes.length - 1)),
      CORRUPT_MESSAGE,
    ],
    [
      'a flipped bit where a rule is broken by it',
      patched((bytes) => bytes.writeInt32BE(0, 57)),
      CORRUPT_MESSAGE,
    ],
    [
      'a batch beyond max.message.bytes',
      batch({ bytes: settings.messageBytesMax + 1 }),
      MESSAGE_TOO_LARGE,
    ],
    [
      'a codec that does not exist',
      patched((bytes) => bytes.writeInt16BE(5, 21)),
      errorCodes.UNSUPPORTED_COMPRESSION_TYPE,
    ],
    [
      'records from too long ago',
      batch({ records: [{ timestampMs: nowMs - 1_000_001, value: null }] }),
      INVALID_TIMESTAMP,
    ],
    [
      'records from too far ahead',
      batch({ records: [{ timestampMs: nowMs + 1_001, value: null }] }),
      INVALID_TIMESTAMP,
    ],
    [
      'an append time that only the server sets',
      patched((bytes) => setLogAppendTime(bytes, 0, nowMs)),
      INVALID_TIMESTAMP,
    ],
  ];
  it.each(bad)(
    '%s: refused alone, whatever else is in the request',
    async (_, records, errorCode) => {
      const world = worldWith('a');
      const answers = await world.produce({
        topics: {
          a: [
            { index: 0, records },
            { index: 1, records: batch() },
          ],
        },
      });
      expect(answers).toMatchObject([
        { errorCode, baseOffset: -1, logAppendTimeMs: -1 },
        { errorCode: 0, baseOffset: 0 },
      ]);
      expect(world.budget.takenBytes).toBe(0);
    },
  );

  it('without any record in a batch whose CRC is right are refused for good', async () => {
    const { crc32c } = await import('@node-rs/crc32');
    const empty = patched(
      (bytes) => {
        bytes.writeInt32BE(bytes.length - 12, 8);
        bytes.writeInt32BE(-1, 23);
        bytes.writeInt32BE(0, 57);
        bytes.writeUInt32BE(crc32c(bytes.subarray(21)), 17);
      },
      batch().subarray(0, 61),
    );
    expect(await worldWith('a').errorOf('a', empty)).toBe(INVALID_RECORD);
  });

  it('exactly as large and as old as allowed are taken', async () => {
    const world = worldWith('a');
    expect(await world.errorOf('a', batch({ bytes: settings.messageBytesMax }))).toBe(0);
    for (const timestampMs of [nowMs - 1_000_000, nowMs + 1_000, -1]) {
      const records = [{ timestampMs, value: null }];
      expect(await world.errorOf('a', batch({ records }))).toBe(0);
    }
  });

  it('in zstd are refused before v7, as older brokers did', async () => {
    const world = worldWith('a');
    const records = [{ timestampMs: nowMs, value: Buffer.from('x') }];
    const zstd = await encodeBatch({ compression: 'zstd', records });
    const { UNSUPPORTED_COMPRESSION_TYPE } = errorCodes;
    expect(await world.errorOf('a', zstd, { version: 6 })).toBe(UNSUPPORTED_COMPRESSION_TYPE);
    expect(await world.errorOf('a', zstd, { version: 7 })).toBe(0);
  });

  it('with LogAppendTime get the time of the server, in the answer and in what is stored', async () => {
    const world = new ProduceWorld();
    world.addTopic('a', { timestampType: 'LogAppendTime' });
    const ancient = batch({ records: [{ timestampMs: 1, value: null }] });
    const [answer] = await world.produce({ topics: { a: [{ records: ancient }] } });
    expect(answer).toMatchObject({ errorCode: 0, baseOffset: 0, logAppendTimeMs: nowMs });
    const { bytes } = world.stored[0]!;
    expect(readBatchHeader(bytes, 0)).toMatchObject({
      isLogAppendTime: true,
      maxTimestampMs: nowMs,
    });
    expect(batchCrcMatches(bytes, 0)).toBe(true);
    const corrupt = patched((copy) => copy.writeUInt8(copy.at(-1)! ^ 1, copy.length - 1));
    const [refused] = await world.produce({ topics: { a: [{ records: corrupt }] } });
    expect(refused).toMatchObject({ errorCode: CORRUPT_MESSAGE, logAppendTimeMs: -1 });
  });
});
