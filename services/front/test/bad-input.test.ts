import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import {
  encodeRequest,
  framed,
  metadata,
  produce,
  settle,
  startTestFront,
  until,
} from './scripted.js';
import type { TestFront } from './scripted.js';

let front: TestFront;
beforeEach(async () => {
  front = await startTestFront();
});
afterEach(() => front.close());

function header(apiKey: number, apiVersion: number): Buffer {
  const frame = Buffer.alloc(10);
  frame.writeInt16BE(apiKey, 0);
  frame.writeInt16BE(apiVersion, 2);
  frame.writeInt32BE(5, 4);
  frame.writeInt16BE(-1, 8);
  return frame;
}

const clientIdBeyondTheEnd = header(3, 1);
clientIdBeyondTheEnd.writeInt16BE(100, 8);

describe('bad input', () => {
  it.each<[string, Buffer, string, RegExp]>([
    ['garbage', Buffer.from('\xff\xfe\xfd\xfcgarbage', 'latin1'), 'negative', /bytes/],
    ['a frame above the limit', Buffer.from('0640000100000000', 'hex'), 'oversize', /104857600/],
    ['a frame without room for a header', framed(Buffer.alloc(4)), 'short', /4 bytes/],
    ['TLS', Buffer.from('16030102000100', 'hex'), 'tls', /SSL/],
    ['HTTP', Buffer.from('GET /metrics HTTP/1.1\r\n\r\n'), 'http', /HTTP/],
    ['an unknown API', framed(header(999, 0)), 'unknown_api', /999/],
    ['a negative API', framed(header(-1, 0)), 'unknown_api', /-1/],
    ['an API that is not served', framed(header(24, 0)), 'unknown_api', /24/],
    ['a version above the range', framed(header(3, 99)), 'unsupported_version', /Metadata.*99/],
    ['a version below the range', framed(header(1, 3)), 'unsupported_version', /Fetch.*3.*4 to/],
    ['a negative version', framed(header(3, -1)), 'unsupported_version', /-1/],
    ['a header that lies', framed(clientIdBeyondTheEnd), 'malformed', /Metadata/],
    ['too many tagged fields', framed(tagged(40_000)), 'malformed', /tagged/],
  ])(
    'answers what came before %s, then closes with one line',
    async (_name, bytes, reason, text) => {
      const good = await front.connect();
      good.write(metadata(1));
      const client = await front.connect();
      client.write(produce(0), bytes, metadata(1));
      const call = await front.ingest.call(0);
      await settle();
      expect(client.closed).toBe(false);
      call.respond();
      await client.untilClosed();
      expect(client.responses).toHaveLength(1);
      expect(front.log.loud).toHaveLength(1);
      expect(front.log.loud[0]).toMatchObject({ level: 'warn', fields: { reason } });
      expect(front.log.loud[0]!.message).toMatch(text);
      await until(() => front.metrics.value('front_connection_closes_total', reason) === 1);
      // Everybody else is unharmed.
      (await front.coordinator.call(0)).respond();
      await good.response(0);
      expect(front.coordinator.calls).toHaveLength(1);
      expect(front.bytesInFlight()).toBe(0);
    },
  );

  it('closes a connection that ends in the middle of a request', async () => {
    const client = await front.connect();
    client.write(metadata(0).subarray(0, 11));
    client.socket.end();
    await client.untilClosed();
    expect(front.log.loud.map(({ fields }) => fields['reason'])).toEqual(['truncated']);
    expect(front.bytesInFlight()).toBe(0);
  });

  it.each([
    ['a length prefix', 2],
    ['a request', 20],
  ])('closes a connection that leaves half of %s and nothing more', async (_name, bytes) => {
    await front.close();
    front = await startTestFront({ limits: { frameCompletionMsMax: 200 } });
    const client = await front.connect();
    client.write(produce(0, Buffer.alloc(100)).subarray(0, bytes));
    await client.untilClosed();
    expect(front.log.loud.map(({ fields }) => fields['reason'])).toEqual(['frame_timeout']);
    expect(front.bytesInFlight()).toBe(0);
  });

  it('does not blame the client for what it may not send yet', async () => {
    await front.close();
    front = await startTestFront({
      limits: { frameCompletionMsMax: 100, requestsInFlightPerConnectionMax: 1 },
    });
    const client = await front.connect();
    client.write(metadata(0), metadata(1));
    const call = await front.coordinator.call(0);
    await new Promise((resolve) => setTimeout(resolve, 400));
    call.respond();
    (await front.coordinator.call(1)).respond();
    expect(await client.correlationIds(2)).toEqual([0, 1]);
  });

  it('ignores a client that connects and resets', async () => {
    front.ingest.onCall = (call) => setTimeout(() => call.respond(), 20);
    for (let i = 0; i < 20; i += 1) {
      const client = await front.connect();
      if (i % 2 === 0) client.write(produce(i, Buffer.alloc(2000)));
      client.socket.resetAndDestroy();
    }
    await until(
      () =>
        front.metrics.value('front_connections_total', 'accepted') === 20 &&
        front.metrics.value('front_connections') === 0,
    );
    await until(() => front.bytesInFlight() === 0);
    expect(front.log.loud).toEqual([]);
  });
});

/** A Metadata v9 request whose header announces that many tagged fields. */
function tagged(count: number): Buffer {
  const head = encodeRequest({ apiKey: 3, apiVersion: 9, correlationId: 1 }).subarray(4, -1);
  const varint = Buffer.from([(count & 0x7f) | 0x80, ((count >> 7) & 0x7f) | 0x80, count >> 14]);
  return Buffer.concat([head, varint, Buffer.alloc(2 * count)]);
}
