import { describe, expect, test } from 'vitest';
import type { RpcOutgoingStream, RpcService } from '../src/index.js';
import { adapters, link, serve, until, some } from './support.js';

const noCalls = new Map();

function numbered(value: number, bytes = 4): Buffer {
  const message = Buffer.alloc(bytes);
  message.writeUInt32BE(value);
  return message;
}

interface Opened {
  readonly payload: string;
  readonly stream: RpcOutgoingStream;
  readonly signal: AbortSignal;
}

function streams(opened: Opened[]): RpcService {
  return {
    calls: new Map([[1, (payload) => Promise.resolve([payload])]]),
    streams: new Map([
      [
        5,
        (payload, stream, context) => {
          opened.push({ payload: payload.toString(), stream, signal: context.signal });
        },
      ],
    ]),
  };
}

function collect(): {
  readonly received: number[];
  readonly closed: string[];
  onMessage(payload: Buffer): void;
  onClosed(reason: string): void;
} {
  const received: number[] = [];
  const closed: string[] = [];
  return {
    received,
    closed,
    onMessage: (payload) => received.push(payload.readUInt32BE(0)),
    onClosed: (reason) => closed.push(reason),
  };
}

describe.each(adapters)('streams on $name', ({ start }) => {
  test('messages arrive in order, beside calls and other streams', async () => {
    const opened: Opened[] = [];
    const { url } = await serve(start, streams(opened));
    const { link: client } = link(url);
    const first = collect();
    const second = collect();
    client.openStream(5, [Buffer.from('fir'), Buffer.from('st')], first);
    client.openStream(5, [Buffer.from('second')], second);
    await until(() => opened.length === 2);
    expect(opened.map(({ payload }) => payload)).toEqual(['first', 'second']);
    for (let index = 0; index < 2_000; index += 1) {
      some(opened[index % 2]).stream.send([numbered(index, 4 + (index % 5) * 20_000)]);
    }
    expect((await client.call(1, [Buffer.from('x')])).toString()).toBe('x');
    some(opened[0]).stream.end('that is all');
    await until(() => first.closed.length === 1 && second.received.length === 1_000);
    expect(first.closed).toEqual(['that is all']);
    const even = Array.from({ length: 1_000 }, (_, index) => index * 2);
    expect(first.received).toEqual(even);
    expect(second.received).toEqual(even.map((value) => value + 1));
    expect(second.closed).toEqual([]);
    expect(some(opened[0]).signal.aborted).toBe(true);
    expect(some(opened[1]).signal.aborted).toBe(false);
  });

  test('the subscriber closes: the server is told, nothing more arrives', async () => {
    const opened: Opened[] = [];
    const { url } = await serve(start, streams(opened));
    const { link: client } = link(url);
    const listener = collect();
    const subscription = client.openStream(5, [], listener);
    await until(() => opened.length === 1);
    some(opened[0]).stream.send([numbered(1)]);
    await until(() => listener.received.length === 1);
    subscription.close();
    some(opened[0]).stream.send([numbered(2)]);
    await until(() => some(opened[0]).signal.aborted);
    some(opened[0]).stream.send([numbered(3)]);
    await client.call(1, []);
    expect(listener.received).toEqual([1]);
    expect(listener.closed).toEqual([]);
  });

  test('a subscriber that is too slow is ended and its backlog dropped', async () => {
    const opened: Opened[] = [];
    const { url, serverLog } = await serve(start, streams(opened), {
      bounds: { streamBacklogBytesMax: 8 * 1024 * 1024, socketBufferedBytesMax: 256 * 1024 },
    });
    const { link: client } = link(url);
    const listener = collect();
    client.openStream(5, [], listener);
    await until(() => opened.length === 1);
    // In one turn of the event loop: this process, which also reads, can not keep up by definition.
    let sent = 0;
    while (!some(opened[0]).signal.aborted) {
      some(opened[0]).stream.send([numbered(sent, 1024 * 1024)]);
      sent += 1;
      expect(sent).toBeLessThan(100);
    }
    await until(() => listener.closed.length === 1);
    expect(listener.closed).toEqual(['the subscriber is too slow']);
    expect(listener.received.length).toBeLessThan(sent);
    expect(listener.received).toEqual(listener.received.map((_, index) => index)); // a prefix
    expect(serverLog.filter((line) => line.message.includes('too slow'))).toHaveLength(1);
    expect((await client.call(1, [Buffer.from('alive')])).toString()).toBe('alive');
  });

  test('streams end with the link and with an unknown method', async () => {
    const opened: Opened[] = [];
    const { url, server } = await serve(start, streams(opened));
    const { link: client } = link(url);
    const unknown = collect();
    client.openStream(77, [], unknown);
    await until(() => unknown.closed.length === 1);
    expect(unknown.closed[0]).toContain('no method 77');
    const listener = collect();
    client.openStream(5, [], listener);
    await until(() => opened.length === 1);
    await server.close(1_000);
    await until(() => listener.closed.length === 1);
    expect(some(opened[0]).signal.aborted).toBe(true);
  });

  test('a stream opened while the link is down ends after the bounded wait', async () => {
    const { url, server } = await serve(start, { calls: noCalls, streams: new Map() });
    await server.close(0);
    const { link: client } = link(url, { bounds: { reconnectWaitMsMax: 50 } });
    const listener = collect();
    client.openStream(5, [], listener);
    await until(() => listener.closed.length === 1);
    expect(listener.received).toEqual([]);
  });
});
