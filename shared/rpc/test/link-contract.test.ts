import { OperatingError } from '@kafscale/core';
import { describe, expect, test } from 'vitest';
import type { RpcCallHandler, RpcService } from '../src/index.js';
import { adapters, failureOf, gate, link, serve, until, some } from './support.js';

const noStreams = new Map();

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function echo(): RpcService {
  return { calls: new Map([[1, (payload) => Promise.resolve([payload])]]), streams: noStreams };
}

describe.each(adapters)('a link to $name', ({ start }) => {
  test('handlers run in the order of the calls; answers come when they are ready', async () => {
    const arrived: number[] = [];
    const gates = Array.from({ length: 500 }, gate);
    const { url } = await serve(start, {
      calls: new Map([
        [
          1,
          async (payload) => {
            const which = payload.readUInt32BE(0);
            arrived.push(which); // before the first await: this is the order contract
            await some(gates[which]).opened;
            return [payload.subarray(0, 4)];
          },
        ],
      ]),
      streams: noStreams,
    });
    const { link: client } = link(url);
    const answered: number[] = [];
    const calls = gates.map(async (_, index) => {
      // Sizes differ so that some messages need many packets and others share one.
      const filler = Buffer.alloc((index % 7) * 9_000);
      const answer = await client.call(1, [number(index), filler]);
      expect(answer.readUInt32BE(0)).toBe(index);
      answered.push(index);
    });
    await until(() => arrived.length === gates.length);
    expect(arrived).toEqual(gates.map((_, index) => index));
    expect(answered).toEqual([]);
    for (let index = gates.length - 1; index >= 0; index -= 1) some(gates[index]).open();
    await Promise.all(calls);
    expect(answered).toHaveLength(gates.length);
    expect(answered[0]).not.toBe(0);
  });

  test('the memory of an answer is given back once, when it is used no more', async () => {
    const released: number[] = [];
    const { url } = await serve(start, {
      calls: new Map<number, RpcCallHandler>([
        [
          1,
          (payload) => {
            const bytes = payload.readUInt32BE(0);
            const chunks = [Buffer.alloc(bytes, 7), Buffer.alloc(bytes, 7)];
            const release = (): void => {
              released.push(bytes);
              for (const chunk of chunks) chunk.fill(0); // used for something else
            };
            return Promise.resolve({ chunks, release });
          },
        ],
      ]),
      streams: noStreams,
    });
    const { link: client } = link(url);
    const sizes = [1, 100, 20_000, 3_000_000, 5, 70_000];
    const answers = await Promise.all(sizes.map((size) => client.call(1, [number(size)])));
    for (const [index, answer] of answers.entries()) {
      const size = some(sizes[index]);
      expect(answer.equals(Buffer.alloc(2 * size, 7)), `${size} bytes`).toBe(true);
    }
    await until(() => released.length >= sizes.length);
    expect(released.toSorted((a, b) => a - b)).toEqual(sizes.toSorted((a, b) => a - b));
  });

  test('the caller and the failures of the callee arrive as they are', async () => {
    const { url } = await serve(start, {
      calls: new Map<number, RpcCallHandler>([
        [1, (_, context) => Promise.resolve([Buffer.from(JSON.stringify(context.caller))])],
        [
          2,
          () =>
            Promise.reject(
              new OperatingError('COMMIT_UNKNOWN', 'größer', {
                retriable: true,
                outcome: 'unknown',
              }),
            ),
        ],
        [3, () => Promise.reject(new OperatingError('NO_SUCH_TOPIC', 'gone'))],
      ]),
      streams: noStreams,
    });
    const { link: client } = link(url);
    const caller = JSON.parse((await client.call(1, [])).toString());
    expect(caller).toEqual({ nodeId: 7, role: 'front', linkClass: 'control' });
    expect(await failureOf(client.call(2, []))).toMatchObject({
      code: 'COMMIT_UNKNOWN',
      message: 'größer',
      retriable: true,
      outcome: 'unknown',
    });
    expect(await failureOf(client.call(3, []))).toMatchObject({
      code: 'NO_SUCH_TOPIC',
      retriable: false,
      outcome: 'failed',
    });
    expect(await failureOf(client.call(99, []))).toMatchObject({
      code: 'METHOD_UNKNOWN',
      outcome: 'failed',
    });
  });

  test('50 MiB go there and back unharmed, small calls meanwhile', async () => {
    const { url } = await serve(start, echo());
    const { link: client } = link(url);
    const big = Buffer.alloc(50 * 1024 * 1024);
    for (let index = 0; index < big.length; index += 4096) big.writeUInt32BE(index, index);
    const parts = [big.subarray(0, 10), big.subarray(10, 30_000_000), big.subarray(30_000_000)];
    const [answer, ...small] = await Promise.all([
      client.call(1, parts),
      ...[1, 2, 3].map((value) => client.call(1, [number(value)])),
    ]);
    expect(answer.equals(big)).toBe(true);
    expect(small.map((value) => value.readUInt32BE(0))).toEqual([1, 2, 3]);
  });

  test('empty messages and many chunks are kept', async () => {
    const { url } = await serve(start, echo());
    const { link: client } = link(url);
    expect((await client.call(1, [])).length).toBe(0);
    const chunks = Array.from({ length: 3_000 }, (_, index) => Buffer.alloc(index % 100, index));
    const answer = await client.call(1, chunks);
    expect(answer.equals(Buffer.concat(chunks))).toBe(true);
  });

  test('a message above the bound fails without being sent, and the link lives', async () => {
    const { url } = await serve(start, echo());
    const { link: client } = link(url, { bounds: { messageBytesMax: 1_000 } });
    const failure = await failureOf(client.call(1, [Buffer.alloc(1_000)]));
    expect(failure).toMatchObject({ code: 'MESSAGE_TOO_LARGE', outcome: 'failed' });
    expect((await client.call(1, [Buffer.alloc(992)])).length).toBe(992);
  });

  test('an answer above the bound is an error with an unknown outcome', async () => {
    const { url } = await serve(
      start,
      { calls: new Map([[1, () => Promise.resolve([Buffer.alloc(2_000)])]]), streams: noStreams },
      { bounds: { messageBytesMax: 1_000 } },
    );
    const { link: client } = link(url);
    expect(await failureOf(client.call(1, []))).toMatchObject({
      code: 'REPLY_TOO_LARGE',
      outcome: 'unknown',
    });
  });

  test('an abort reaches the handler, and the call settles with its answer', async () => {
    let aborted = 0;
    let running = 0;
    const { url } = await serve(start, {
      calls: new Map([
        [
          1,
          (_, context) => {
            running += 1;
            return new Promise((resolve) => {
              context.signal.addEventListener('abort', () => {
                aborted += 1;
                resolve([Buffer.from('stopped waiting')]);
              });
            });
          },
        ],
      ]),
      streams: noStreams,
    });
    const { link: client } = link(url);
    const first = new AbortController();
    const second = new AbortController();
    const firstCall = client.call(1, [], { signal: first.signal });
    const secondCall = client.call(1, [], { signal: second.signal });
    await until(() => running === 2);
    first.abort();
    expect((await firstCall).toString()).toBe('stopped waiting');
    expect(aborted).toBe(1);
    second.abort();
    await secondCall;
    const late = await failureOf(client.call(1, [], { signal: first.signal }));
    expect(late).toMatchObject({ code: 'CANCELLED', outcome: 'failed' });
    expect(running).toBe(2);
  });

  test('a deadline fails the call as unknown and cancels it at the callee', async () => {
    let aborted = false;
    const { url } = await serve(start, {
      calls: new Map([
        [
          1,
          (_, context) =>
            new Promise(() => {
              context.signal.addEventListener('abort', () => {
                aborted = true;
              });
            }),
        ],
      ]),
      streams: noStreams,
    });
    const { link: client } = link(url);
    await until(() => client.isUp); // or it would not leave in time
    const failure = await failureOf(client.call(1, [], { deadlineMs: 50 }));
    expect(failure).toMatchObject({ code: 'DEADLINE_EXCEEDED', outcome: 'unknown' });
    await until(() => aborted);
  });

  test('above its bytes in flight a link makes calls wait, in order', async () => {
    const arrived: number[] = [];
    const release = gate();
    const { url } = await serve(start, {
      calls: new Map([
        [
          1,
          async (payload) => {
            arrived.push(payload.readUInt32BE(0));
            await release.opened;
            return [];
          },
        ],
      ]),
      streams: noStreams,
    });
    const { link: client } = link(url, {
      bounds: { unansweredBytesMax: 10_000, callsWaitingMax: 40 },
    });
    const calls = Array.from({ length: 20 }, (_, index) =>
      client.call(1, [number(index), Buffer.alloc(3_000)]),
    );
    await until(() => arrived.length === 3);
    const small = await failureOf(client.call(1, [number(20)], { deadlineMs: 100 }));
    // It would fit, but nothing overtakes the head of the queue; it never left this process.
    expect(small).toMatchObject({ code: 'DEADLINE_EXCEEDED', outcome: 'failed' });
    expect(arrived).toEqual([0, 1, 2]);
    release.open();
    await Promise.all(calls);
    expect(arrived).toEqual(Array.from({ length: 20 }, (_, index) => index));
    expect(client.callsInFlight).toBe(0);
  });

  test('more waiting calls than the bound fail at once with LINK_SATURATED', async () => {
    const { url } = await serve(start, echo());
    const { link: client } = link(url, { bounds: { callsWaitingMax: 3 } });
    const calls = [1, 2, 3].map((value) => client.call(1, [number(value)])); // not up yet: they wait
    expect(await failureOf(client.call(1, []))).toMatchObject({
      code: 'LINK_SATURATED',
      retriable: true,
      outcome: 'failed',
    });
    expect((await Promise.all(calls)).length).toBe(3);
  });

  test('answers that nobody reads stop further calls from being dispatched', async () => {
    let dispatched = 0;
    const { url } = await serve(
      start,
      {
        calls: new Map([
          [
            1,
            () => {
              dispatched += 1;
              return Promise.resolve([Buffer.alloc(64 * 1024)]);
            },
          ],
        ]),
        streams: noStreams,
      },
      { bounds: { queuedBytesMax: 1024 * 1024, socketBufferedBytesMax: 64 * 1024 } },
    );
    const { link: client } = link(url);
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => client.call(1, [])));
    expect(answers.every((answer) => answer.length === 64 * 1024)).toBe(true);
    expect(dispatched).toBe(1_000); // held calls are dispatched later, none is lost
  });
});
