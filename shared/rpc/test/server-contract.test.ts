import { request } from 'node:http';
import { connect } from 'node:net';
import { limits, OperatingError } from '@kafscale/core';
import { describe, expect, test } from 'vitest';
import type { HttpRoute } from '../src/index.js';
import { adapters, cleanup, failureOf, until } from './support.js';
import type { Start } from './support.js';

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly headers: NodeJS.Dict<string | string[]>;
}

function ask(port: number, method: string, path: string, body?: Uint8Array): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port, method, path, agent: false },
      (incoming) => {
        let text = '';
        incoming.on('data', (chunk) => (text += String(chunk)));
        incoming.on('end', () =>
          resolve({ status: incoming.statusCode ?? 0, body: text, headers: incoming.headers }),
        );
      },
    );
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

async function serveRoutes(start: Start, routes: readonly HttpRoute[]): Promise<number> {
  const server = await start({ host: '127.0.0.1', port: 0, routes, endpoints: [] });
  cleanup(() => server.close(0));
  return server.port;
}

describe.each(adapters)('HTTP on $name', ({ name, start }) => {
  test('a route gets method, path, query, headers and body, and its answer goes back', async () => {
    const port = await serveRoutes(start, [
      {
        method: 'POST',
        path: '/echo/*',
        handler: async (asked) => {
          await new Promise((resolve) => setImmediate(resolve));
          return {
            status: 201,
            headers: { 'content-type': 'application/x-test' },
            body: JSON.stringify({
              method: asked.method,
              path: asked.path,
              color: asked.query.get('color'),
              host: asked.headers.get('host'),
              body: asked.body.toString('utf8'),
              remote: asked.remoteAddress,
            }),
          };
        },
      },
    ]);
    const answer = await ask(port, 'POST', '/echo/a/b?color=deep%20red', Buffer.from('hello'));
    expect(answer.status).toBe(201);
    expect(answer.headers['content-type']).toBe('application/x-test');
    expect(JSON.parse(answer.body)).toEqual({
      method: 'POST',
      path: '/echo/a/b',
      color: 'deep red',
      host: `127.0.0.1:${port}`,
      body: 'hello',
      remote: '127.0.0.1',
    });
  });

  test('an unknown path is 404, a wrong method 405, HEAD is GET without its body', async () => {
    const handler = (): { status: number; body: string } => ({ status: 200, body: 'alive' });
    const port = await serveRoutes(start, [{ method: 'GET', path: '/health', handler }]);
    expect(await ask(port, 'GET', '/health')).toMatchObject({ status: 200, body: 'alive' });
    expect(await ask(port, 'GET', '/healthy')).toMatchObject({ status: 404 });
    expect(await ask(port, 'DELETE', '/health')).toMatchObject({ status: 405 });
    const head = await ask(port, 'HEAD', '/health');
    expect(head).toMatchObject({ status: 200, body: '' });
    expect(head.headers['content-length']).toBe('5');
  });

  test('a body above the bound is refused with 413; one at the bound is served', async () => {
    const port = await serveRoutes(start, [
      {
        method: 'PUT',
        path: '/x',
        handler: (asked) => ({ status: 200, body: String(asked.body.length) }),
      },
    ]);
    const atBound = await ask(port, 'PUT', '/x', Buffer.alloc(limits.httpBodyBytesMax));
    expect(atBound).toMatchObject({ status: 200, body: String(limits.httpBodyBytesMax) });
    const above = await ask(port, 'PUT', '/x', Buffer.alloc(limits.httpBodyBytesMax + 1)).then(
      (answer) => answer.status,
      (error: NodeJS.ErrnoException) => error.code, // the server may hang up before it is read
    );
    expect([413, 'EPIPE', 'ECONNRESET']).toContain(above);
    expect(await ask(port, 'PUT', '/x', Buffer.from('ok'))).toMatchObject({ status: 200 });
  });

  test('an operating error becomes 503 with its code', async () => {
    const port = await serveRoutes(start, [
      {
        method: 'GET',
        path: '/x',
        handler: () => Promise.reject(new OperatingError('STORE_DOWN', 'the store is down')),
      },
    ]);
    const answer = await ask(port, 'GET', '/x');
    expect(answer.status).toBe(503);
    expect(JSON.parse(answer.body)).toEqual({ code: 'STORE_DOWN', message: 'the store is down' });
  });

  test('a client that goes away before its answer harms nobody', async () => {
    let finish = (): void => {};
    const finished = new Promise<void>((resolve) => {
      finish = resolve;
    });
    let isAsked = false;
    const port = await serveRoutes(start, [
      {
        method: 'GET',
        path: '/slow',
        handler: async () => {
          isAsked = true;
          await finished;
          return { status: 200, body: 'late' };
        },
      },
      { method: 'GET', path: '/fast', handler: () => ({ status: 200, body: 'now' }) },
    ]);
    const socket = connect(port, '127.0.0.1');
    socket.write('GET /slow HTTP/1.1\r\nhost: x\r\n\r\n');
    await until(() => isAsked);
    socket.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    finish();
    expect(await ask(port, 'GET', '/fast')).toMatchObject({ status: 200, body: 'now' });
  });

  test('a port that is taken is PORT_IN_USE and names host and port', async () => {
    const port = await serveRoutes(start, []);
    for (const second of adapters) {
      const failure = await failureOf(
        second.start({ host: '127.0.0.1', port, routes: [], endpoints: [] }),
      );
      expect(failure.code).toBe('PORT_IN_USE');
      expect(failure.message).toContain(`127.0.0.1:${port}`);
    }
  });

  test('an address that this machine does not have is LISTEN_FAILED', async () => {
    const failure = await failureOf(
      start({ host: '192.0.2.1', port: 0, routes: [], endpoints: [] }),
    );
    expect(failure.code).toBe('LISTEN_FAILED');
    expect(failure.message).toContain('192.0.2.1:0');
  });

  test('close frees the port', async () => {
    const first = await start({ host: '127.0.0.1', port: 0, routes: [], endpoints: [] });
    expect(first.adapter).toBe(name);
    await first.close(1_000);
    await first.close(1_000);
    const again = await start({
      host: '127.0.0.1',
      port: first.port,
      routes: [],
      endpoints: [],
    });
    expect(again.port).toBe(first.port);
    await again.close(0);
  });
});
