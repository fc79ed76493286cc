import { limits } from '@kafscale/core';
import { afterEach, describe, expect, it } from 'vitest';

import {
  echoService,
  fetch,
  metadata,
  produce,
  produceKey,
  encodeRequest,
  ScriptedService,
  settle,
  startTestFront,
  until,
} from './scripted.js';
import type { TestFront } from './scripted.js';
import { NodeDirectory } from '../src/node-directory.js';

const KiB = 1024;
const MiB = 1024 * KiB;

let front: TestFront;
afterEach(() => front.close());

/** The largest `value()` seen until `done()`. */
async function peak(value: () => number, done: () => boolean): Promise<number> {
  let most = 0;
  while (!done()) {
    most = Math.max(most, value());
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  return most;
}

describe('parse-ahead', () => {
  it('stops at the number of requests per connection, and goes on as they are answered', async () => {
    front = await startTestFront({ limits: { requestsInFlightPerConnectionMax: 4 } });
    const client = await front.connect();
    client.write(...Array.from({ length: 20 }, (_, number) => produce(number)));
    await front.ingest.call(3);
    await settle();
    expect(front.ingest.calls).toHaveLength(4);
    // Settled is not answered: the first still holds the others back.
    for (const index of [1, 2, 3]) front.ingest.calls[index]!.respond();
    await settle();
    expect(front.ingest.calls).toHaveLength(4);
    front.ingest.calls[0]!.respond();
    await front.ingest.call(7);
    await settle();
    expect(front.ingest.calls).toHaveLength(8);
    front.ingest.onCall = (call) => call.respond();
    for (const call of front.ingest.calls.slice(4)) call.respond();
    expect(await client.correlationIds(20)).toEqual([...Array(20).keys()]);
  });

  it('stops at the bytes per connection, though a single request may exceed them', async () => {
    front = await startTestFront({ limits: { requestBytesInFlightPerConnectionMax: 100 * KiB } });
    const client = await front.connect();
    const body = Buffer.alloc(40 * KiB);
    client.write(produce(0, body), produce(1, body), produce(2, body));
    await front.ingest.call(1);
    await settle();
    expect(front.ingest.calls).toHaveLength(2);
    for (const call of front.ingest.calls) call.respond();
    (await front.ingest.call(2)).respond();
    await client.response(2);
    client.write(produce(3, Buffer.alloc(300 * KiB)));
    (await front.ingest.call(3)).respond();
    await client.response(3);
  });

  it('goes on with connections that were waiting when the process budget has room', async () => {
    front = await startTestFront({ limits: { requestBytesInFlightMax: 128 * KiB } });
    const clients = await Promise.all(Array.from({ length: 10 }, () => front.connect()));
    for (const client of clients) {
      for (let i = 0; i < 5; i += 1) client.write(produce(i, Buffer.alloc(50 * KiB, i)));
    }
    await front.ingest.call(1);
    await settle();
    expect(front.ingest.calls).toHaveLength(2);
    expect(front.metrics.value('front_budget_waiters')).toBeGreaterThan(0);
    front.ingest.onCall = (call) => setTimeout(() => call.respond(call.body.subarray(0, 1)), 1);
    for (const call of front.ingest.calls) call.respond(call.body.subarray(0, 1));
    const done = (): boolean => clients.every(({ responses }) => responses.length === 5);
    const most = await peak(() => front.bytesInFlight(), done);
    expect(most).toBeLessThanOrEqual(128 * KiB);
    for (const client of clients) expect(await client.correlationIds(5)).toEqual([0, 1, 2, 3, 4]);
    await until(() => front.bytesInFlight() === 0);
  });

  it('keeps memory flat under a client that only writes', async () => {
    front = await startTestFront({ limits: { requestBytesInFlightMax: MiB } });
    const client = await front.connect();
    const request = produce(0, Buffer.alloc(100 * KiB));
    for (let i = 0; i < 300; i += 1) client.socket.write(request);
    await front.ingest.call(8);
    await settle();
    expect(front.bytesInFlight()).toBeLessThanOrEqual(MiB);
    expect(front.ingest.calls.length).toBeLessThanOrEqual(10);
    // 30 MB were offered; the kernel holds a few, the rest is still the client's.
    expect(client.socket.writableLength).toBeGreaterThan(10 * MiB);
  });

  it('reads a large request from many chunks byte for byte', async () => {
    front = await startTestFront();
    const body = Buffer.alloc(24 * MiB);
    for (let i = 0; i < body.length; i += 4) body.writeUInt32LE((i * 2_654_435_761) >>> 0, i);
    const client = await front.connect();
    client.write(produce(0, body), produce(1, Buffer.from('after')));
    expect((await front.ingest.call(0)).body.equals(body)).toBe(true);
    expect((await front.ingest.call(1)).body.toString()).toBe('after');
  });
});

describe('announced and never sent', () => {
  const announcement = Buffer.alloc(4);
  announcement.writeInt32BE(100 * MiB);

  it('lets 50 connections announce 100 MiB at no cost, and serves everyone else', async () => {
    front = await startTestFront();
    front.ingest.onCall = (call) => call.respond();
    const before = process.memoryUsage().arrayBuffers;
    const liars = await Promise.all(Array.from({ length: 50 }, () => front.connect()));
    for (const liar of liars) liar.write(announcement, Buffer.alloc(10));
    await until(() => front.bytesInFlight() > 0);
    await settle();
    // One slab for frames, hardly touched.
    const allocated = process.memoryUsage().arrayBuffers - before;
    expect(allocated).toBeLessThan(limits.frameSlabBytes + 20 * MiB);
    expect(front.bytesInFlight()).toBeLessThanOrEqual(256 * MiB);
    const client = await front.connect();
    client.write(produce(0, Buffer.alloc(900 * KiB)));
    await client.response(0);
    for (const liar of liars) liar.socket.destroy();
    await until(() => front.bytesInFlight() === 0);
    client.write(produce(1, Buffer.alloc(8 * MiB)));
    await client.response(1);
  });

  it('cuts them off after the time a frame may take', async () => {
    front = await startTestFront({ limits: { frameCompletionMsMax: 100 } });
    const liars = await Promise.all(Array.from({ length: 3 }, () => front.connect()));
    for (const liar of liars) liar.write(announcement, Buffer.alloc(10));
    // Only one at a time is read, so each has its own 100 ms.
    await Promise.all(liars.map((liar) => liar.untilClosed()));
    expect(front.log.loud.map(({ fields }) => fields['reason'])).toEqual(
      Array(3).fill('frame_timeout'),
    );
    expect(front.bytesInFlight()).toBe(0);
  });
});

describe('slow readers', () => {
  it('stops executing for a client that does not read, then goes on', async () => {
    front = await startTestFront({ limits: { responseBytesBufferedPerConnectionMax: 4 * MiB } });
    const chunk = Buffer.alloc(MiB, 7);
    front.fetch.onCall = (call) => call.respond(Array(3).fill(chunk));
    const client = await front.connect();
    client.socket.pause();
    client.write(...Array.from({ length: 30 }, (_, number) => fetch(number)));
    await front.fetch.call(1);
    await settle();
    // What the kernel takes (up to some MiB), then 4 MiB and one response over it.
    const executed = front.fetch.calls.length;
    expect(executed).toBeLessThan(12);
    client.socket.resume();
    expect(await client.correlationIds(30)).toEqual([...Array(30).keys()]);
    expect(client.responses.every((response) => response.length === 4 + 3 * MiB)).toBe(true);
    expect(client.responses[29]!.subarray(4).every((byte) => byte === 7)).toBe(true);
    expect(front.fetch.calls).toHaveLength(30);
  });

  it('cuts off a client that takes nothing for too long', async () => {
    front = await startTestFront({
      limits: { responseBytesBufferedPerConnectionMax: 4 * MiB, responseDrainMsMax: 100 },
    });
    front.fetch.onCall = (call) => call.respond(Buffer.alloc(20 * MiB));
    const client = await front.connect();
    client.socket.pause();
    client.write(fetch(0), fetch(1));
    await until(() => front.metrics.value('front_connections_total', 'accepted') === 1);
    await until(() => front.metrics.value('front_connections') === 0);
    expect(front.log.loud.map(({ fields }) => fields['reason'])).toEqual(['slow_reader']);
    expect(front.fetch.calls).toHaveLength(1);
  });

  it('leaves alone a client that reads slowly but steadily', async () => {
    front = await startTestFront({ limits: { responseDrainMsMax: 1_500 } });
    front.fetch.onCall = (call) => call.respond(Buffer.alloc(24 * MiB));
    const client = await front.connect();
    client.write(fetch(0));
    let open = true;
    client.socket.on('data', () => {
      if (!open) return;
      client.socket.pause();
      setTimeout(() => client.socket.resume(), 1);
    });
    const response = await client.response(0);
    open = false;
    expect(response).toHaveLength(4 + 24 * MiB);
    expect(front.log.loud).toEqual([]);
  });
});

describe('connections', () => {
  it('closes those above the limit with one line, and takes new ones when some go', async () => {
    front = await startTestFront({ limits: { connectionsMax: 3 } });
    front.coordinator.onCall = (call) => call.respond();
    const clients = await Promise.all(Array.from({ length: 3 }, () => front.connect()));
    for (const client of clients) {
      client.write(metadata(0));
      await client.response(0);
    }
    for (let i = 0; i < 5; i += 1) await (await front.connect()).untilClosed();
    expect(front.log.loud).toHaveLength(1);
    expect(front.log.loud[0]).toMatchObject({ level: 'warn', fields: { connectionsMax: 3 } });
    expect(front.metrics.value('front_connections_total', 'refused')).toBe(5);
    clients[0]!.socket.destroy();
    await until(() => front.metrics.value('front_connections') === 2);
    const client = await front.connect();
    client.write(metadata(5));
    expect(await client.correlationIds(1)).toEqual([5]);
  });

  it('closes idle ones quietly, but not one that waits for an answer', async () => {
    front = await startTestFront({ limits: { connectionIdleMsMax: 1_000 } });
    const waiting = await front.connect();
    waiting.write(fetch(0));
    const call = await front.fetch.call(0);
    const idle = await front.connect();
    await idle.untilClosed();
    await settle();
    expect(waiting.closed).toBe(false);
    call.respond();
    expect(await waiting.correlationIds(1)).toEqual([0]);
    await waiting.untilClosed();
    expect(front.log.loud).toEqual([]);
    await until(() => front.metrics.value('front_connection_closes_total', 'idle') === 2);
  });
});

describe('shutdown', () => {
  it('answers what is in flight, reads nothing more, and leaves idle clients', async () => {
    front = await startTestFront();
    const idle = await front.connect();
    const busy = await front.connect();
    busy.write(produce(0), produce(1));
    await front.ingest.call(1);
    const polling = await front.connect();
    polling.write(fetch(0));
    const poll = await front.fetch.call(0);
    const half = await front.connect();
    half.write(produce(0, Buffer.alloc(1000)).subarray(0, 500));
    await until(() => front.metrics.value('front_connections') === 4);
    const closed = front.front.close({ drainMs: 20_000 });
    expect(front.front.close({ drainMs: 1 })).toBe(closed);
    await Promise.all([idle.untilClosed(), half.untilClosed()]);
    expect(poll.signal.aborted).toBe(true);
    poll.respond();
    busy.write(produce(2));
    await settle();
    expect(busy.closed).toBe(false);
    for (const call of front.ingest.calls) {
      expect(call.signal.aborted).toBe(false);
      call.respond();
    }
    await closed;
    await Promise.all([busy.untilClosed(), polling.untilClosed()]);
    expect(busy.responses).toHaveLength(2);
    expect(polling.responses).toHaveLength(1);
    expect(front.ingest.calls).toHaveLength(2);
    expect(front.log.loud).toEqual([]);
    await expect(front.connect()).rejects.toThrow(/ECONNREFUSED/);
  });

  it('does not wait longer than it may', async () => {
    front = await startTestFront();
    const stuck = await front.connect();
    stuck.write(produce(0));
    const call = await front.ingest.call(0);
    const deaf = await front.connect();
    deaf.socket.pause();
    deaf.write(fetch(0));
    (await front.fetch.call(0)).respond(Buffer.alloc(20 * MiB));
    await front.front.close({ drainMs: 100 });
    await stuck.untilClosed();
    expect(stuck.responses).toHaveLength(0);
    expect(call.signal.aborted).toBe(true);
    expect(front.log.loud.map(({ fields }) => fields['reason'])).toContain('drain_timeout');
    call.respond();
  });

  it('names the address when the port is taken', async () => {
    front = await startTestFront();
    await expect(startTestFront({ port: front.port })).rejects.toMatchObject({
      code: 'PORT_IN_USE',
      message: expect.stringContaining(`127.0.0.1:${front.port}`),
    });
    await expect(startTestFront({ host: '192.0.2.1' })).rejects.toMatchObject({
      code: 'LISTEN_FAILED',
      message: expect.stringContaining('192.0.2.1'),
    });
  });
});

describe('throughput of the plumbing', () => {
  it('serves many connections at once without mixing anything up', async () => {
    const ingest = echoService();
    const coordinator = new ScriptedService((call) => setImmediate(() => call.respond(call.body)));
    const directory = new NodeDirectory([
      { nodeId: 1, zone: 'a', ingest, fetch: echoService(), coordinator },
    ]);
    front = await startTestFront({ directory });
    const clients = await Promise.all(Array.from({ length: 20 }, () => front.connect()));
    const count = 200;
    for (const [index, client] of clients.entries()) {
      for (let number = 0; number < count; number += 1) {
        const body = Buffer.from(`${index}/${number}`);
        const apiKey = number % 7 === 0 ? 3 : produceKey;
        client.write(
          encodeRequest({
            apiKey,
            apiVersion: 1 + (apiKey === 0 ? 6 : 0),
            correlationId: number,
            body,
          }),
        );
      }
    }
    for (const [index, client] of clients.entries()) {
      expect(await client.correlationIds(count)).toEqual([...Array(count).keys()]);
      for (const [number, response] of client.responses.entries()) {
        expect(response.subarray(4).toString()).toBe(`${index}/${number}`);
      }
    }
    expect(front.bytesInFlight()).toBe(0);
    expect(front.metrics.value('front_requests_total', 'Produce')).toBe(
      20 * (count - Math.ceil(count / 7)),
    );
    expect(front.metrics.value('front_request_seconds', 'Metadata')).toBe(
      20 * Math.ceil(count / 7),
    );
  });
});
