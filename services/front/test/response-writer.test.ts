import { createServer, connect, type Socket } from 'node:net';
import { once } from 'node:events';
import { systemClock } from '@kafscale/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ResponseWriter } from '../src/response-writer.js';

let client: Socket;
let socket: Socket;
let writer: ResponseWriter;
let close: () => void;

beforeEach(async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  const accepted = once(server, 'connection');
  client = connect(address.port, '127.0.0.1');
  [socket] = (await accepted) as [Socket];
  client.on('error', () => undefined);
  socket.on('error', () => undefined);
  socket.on('close', () => writer.discard());
  writer = new ResponseWriter({ socket, clock: systemClock, onProgress: () => undefined });
  close = () => {
    client.destroy();
    socket.destroy();
    server.close();
  };
});

afterEach(() => close());

const head = Buffer.from('head');

/** More than any kernel keeps for a client that does not read. */
function large(): Buffer {
  return Buffer.alloc(32 * 1024 * 1024, 7);
}

it('lets go of a response when its bytes have left, and of one behind it later', async () => {
  const released: string[] = [];
  const received = { bytes: 0 };
  const first = Buffer.alloc(10);
  const second = large();
  await new Promise<void>((resolve) => {
    writer.write(head, [first], () => released.push('first'));
    writer.write(head, [second], () => {
      released.push('second');
      resolve();
    });
    expect(released).toEqual([]);
    client.on('data', (bytes) => {
      received.bytes += bytes.length;
      // Until most of it was read the rest can not have been taken from us.
      if (received.bytes < 1024 * 1024) expect(released).not.toContain('second');
    });
  });
  expect(released).toEqual(['first', 'second']);
  expect(writer.bufferedBytes).toBe(0);
});

it('lets go of what a broken connection has not taken, once its socket has closed', async () => {
  let released = 0;
  writer.write(head, [large()], () => (released += 1));
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(released).toBe(0);
  client.destroy();
  await new Promise<void>((resolve) => socket.on('close', () => resolve()));
  expect(released).toBe(1);
});

it('lets others have a turn between the slices of a large response', async () => {
  const turns: number[] = [];
  let turn = 0;
  let isOver = false;
  const count = (): void => {
    turn += 1;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  // Takes whatever comes at once, as the kernel may.
  const taking = {
    writableLength: 0,
    destroyed: false,
    cork: () => undefined,
    uncork: () => undefined,
    end: () => undefined,
    write: (_: Uint8Array, done?: () => void) => {
      if (done) turns.push(turn);
      if (done) process.nextTick(done);
      return true;
    },
  };
  const options = { socket: taking, clock: systemClock, onProgress: () => undefined };
  const eager = new ResponseWriter(options);
  const part = Buffer.alloc(1024 * 1024);
  await new Promise<void>((resolve) => eager.write(head, [part, part, part], resolve));
  isOver = true;
  expect(turns.length).toBeGreaterThan(3);
  expect(new Set(turns).size).toBe(turns.length);
});
