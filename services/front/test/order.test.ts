import { InvariantError } from '@kafscale/core';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  encodeRequest,
  fetch,
  fetchKey,
  metadata,
  produce,
  settle,
  startTestFront,
  until,
} from './scripted.js';
import type { Call, TestFront } from './scripted.js';

let front: TestFront;
beforeEach(async () => {
  front = await startTestFront();
});
afterEach(() => front.close());

const bodyOf = (response: Buffer): string => response.subarray(4).toString();

describe('order on a connection', () => {
  it('answers Produce requests that complete out of order in request order', async () => {
    const client = await front.connect();
    client.write(produce(10), produce(11), produce(12), produce(13));
    await front.ingest.call(3);
    for (const index of [2, 0, 3]) front.ingest.calls[index]!.respond(Buffer.from(`r${index}`));
    await client.response(0);
    await settle();
    expect(client.responses.map(bodyOf)).toEqual(['r0']);
    front.ingest.calls[1]!.respond([Buffer.from('r'), Buffer.alloc(0), Buffer.from('1')]);
    expect(await client.correlationIds(4)).toEqual([10, 11, 12, 13]);
    expect(client.responses.map(bodyOf)).toEqual(['r0', 'r1', 'r2', 'r3']);
  });

  it('runs Produce requests together, and every other request alone', async () => {
    const client = await front.connect();
    client.write(produce(0), produce(1), fetch(2), metadata(3), produce(4), produce(5));
    await front.ingest.call(1);
    await settle();
    expect(front.fetch.calls).toHaveLength(0);
    front.ingest.calls[1]!.respond();
    await settle();
    expect(front.fetch.calls).toHaveLength(0);
    front.ingest.calls[0]!.respond();
    const fetched = await front.fetch.call(0);
    await settle();
    expect(front.coordinator.calls).toHaveLength(0);
    fetched.respond();
    (await front.coordinator.call(0)).respond();
    await front.ingest.call(3);
    for (const call of front.ingest.calls.slice(2)) call.respond();
    expect(await client.correlationIds(6)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('answers in order whatever is asked and however the services take their time', async () => {
    const kinds = fc.array(fc.constantFrom('produce', 'none', 'fetch', 'metadata', 'versions'), {
      minLength: 1,
      maxLength: 60,
    });
    await fc.assert(
      fc.asyncProperty(
        kinds,
        fc.infiniteStream(fc.nat(3)),
        fc.nat(200),
        async (script, delays, cut) => {
          const answer = (call: Call): void => {
            const turns = delays.next().value ?? 0;
            const done = (): void =>
              call.body.toString() === 'none'
                ? call.reply({ kind: 'none' })
                : call.respond(call.body);
            if (turns === 0) done();
            else setTimeout(done, turns);
          };
          for (const service of [front.ingest, front.fetch, front.coordinator])
            service.onCall = answer;
          const client = await front.connect();
          const bytes = Buffer.concat(
            script.map((kind, correlationId) => {
              if (kind === 'fetch') return fetch(correlationId);
              if (kind === 'metadata') return metadata(correlationId);
              if (kind !== 'versions') return produce(correlationId, Buffer.from(kind));
              return encodeRequest({ apiKey: 18, apiVersion: 0, correlationId });
            }),
          );
          client.write(bytes.subarray(0, cut));
          client.write(bytes.subarray(cut));
          const expected = [...script.keys()].filter((index) => script[index] !== 'none');
          client.socket.end();
          await client.untilClosed();
          expect(client.responses.map((response) => response.readInt32BE(0))).toEqual(expected);
        },
      ),
      { numRuns: 40 },
    );
    expect(front.bytesInFlight()).toBe(0);
  });

  it('writes nothing for acks=0, and goes on', async () => {
    const client = await front.connect();
    front.ingest.onCall = (call) => call.reply({ kind: 'none' });
    front.coordinator.onCall = (call) => call.respond();
    client.write(produce(0), produce(1), metadata(2));
    expect(await client.correlationIds(1)).toEqual([2]);
    expect(front.ingest.calls).toHaveLength(2);
  });

  it('executes what a client sent before it ended its side, and answers', async () => {
    const client = await front.connect();
    client.write(produce(0), produce(1), metadata(2));
    client.socket.end();
    await front.ingest.call(1);
    await settle();
    for (const call of front.ingest.calls) {
      expect(call.signal.aborted).toBe(false);
      call.respond();
    }
    (await front.coordinator.call(0)).respond();
    await client.untilClosed();
    expect(client.responses).toHaveLength(3);
    expect(front.log.loud).toEqual([]);
  });

  it('ends waits, and only those, when the client ends its side', async () => {
    const client = await front.connect();
    client.write(fetch(0));
    const call = await front.fetch.call(0);
    expect(call.signal.aborted).toBe(false);
    client.socket.end();
    await until(() => call.signal.aborted);
    call.respond();
    await client.untilClosed();
    expect(client.responses).toHaveLength(1);
  });

  it('aborts everything when the socket is gone, and survives late answers', async () => {
    const client = await front.connect();
    client.write(produce(0, Buffer.alloc(1000)), produce(1), metadata(2));
    await front.ingest.call(1);
    client.socket.resetAndDestroy();
    await until(() => front.ingest.calls.every(({ signal }) => signal.aborted));
    expect(front.bytesInFlight()).toBeGreaterThan(1000);
    front.ingest.calls[0]!.respond();
    front.ingest.calls[1]!.fail(new Error('too late'));
    await until(() => front.bytesInFlight() === 0);
    expect(front.coordinator.calls).toHaveLength(0);
    expect(front.log.loud).toEqual([]);
    expect(front.metrics.value('front_connections')).toBe(0);
  });

  it('closes after the responses before a close, and drops what comes behind it', async () => {
    const client = await front.connect();
    client.write(produce(0), produce(1), produce(2), metadata(3));
    await front.ingest.call(2);
    front.ingest.calls[2]!.respond();
    front.ingest.calls[1]!.reply({ kind: 'close', reason: 'acks=0 and an error' });
    await settle();
    expect(client.closed).toBe(false);
    front.ingest.calls[0]!.respond();
    await client.untilClosed();
    expect(client.responses.map((response) => response.readInt32BE(0))).toEqual([0]);
    expect(front.coordinator.calls).toHaveLength(0);
    expect(front.log.loud).toHaveLength(1);
    expect(front.log.loud[0]).toMatchObject({
      level: 'warn',
      fields: { reason: 'service_closed', clientId: 'test' },
      message: expect.stringContaining('acks=0 and an error'),
    });
    await until(() => front.bytesInFlight() === 0);
  });

  it('closes when a service fails, with one line that names the failure', async () => {
    const client = await front.connect();
    client.write(metadata(0), metadata(1));
    (await front.coordinator.call(0)).fail(new TypeError('boom'));
    await client.untilClosed();
    expect(client.responses).toHaveLength(0);
    expect(front.log.loud.map(({ fields }) => fields['reason'])).toEqual(['service_failed']);
    expect(front.log.loud[0]!.message).toContain('boom');
  });

  it('does not survive a bug of a service in its own process', async () => {
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    const died = new Promise((resolve) => process.once('uncaughtException', resolve));
    try {
      const client = await front.connect();
      client.write(metadata(0));
      (await front.coordinator.call(0)).fail(new InvariantError('a bug'));
      expect(await died).toBeInstanceOf(InvariantError);
      await client.untilClosed();
    } finally {
      for (const listener of listeners) process.on('uncaughtException', listener);
    }
  });

  it('hands over what the client sent, with its identity', async () => {
    const client = await front.connect();
    client.write(
      encodeRequest({
        apiKey: fetchKey,
        apiVersion: 12,
        correlationId: 7,
        clientId: null,
        body: Buffer.from('the body'),
      }),
      metadata(8),
    );
    const call = await front.fetch.call(0);
    expect(call.request).toMatchObject({
      apiKey: fetchKey,
      apiVersion: 12,
      clientId: null,
      clientHost: '127.0.0.1',
      principal: 'User:ANONYMOUS',
      listener: 'PLAINTEXT',
      requestNumber: 0,
    });
    expect(call.body.toString()).toBe('the body');
    call.respond(Buffer.from('answer'));
    // Response header v1: correlation id and an empty tag section.
    expect(await client.response(0)).toEqual(
      Buffer.concat([Buffer.from([0, 0, 0, 7, 0]), Buffer.from('answer')]),
    );
    const next = await front.coordinator.call(0);
    expect(next.request.requestNumber).toBe(1);
    expect(next.request.connectionId).toBe(call.request.connectionId);
    const other = await front.connect();
    other.write(metadata(0));
    const { request } = await front.coordinator.call(1);
    expect(request.connectionId).not.toBe(call.request.connectionId);
  });
});
