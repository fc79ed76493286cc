import { afterEach, expect, test, vi } from 'vitest';
import { logTo } from './support.js';
import type { LogLine } from './support.js';

afterEach(() => {
  vi.doUnmock('uWebSockets.js');
  vi.resetModules();
});

test('where the native module loads it serves, without a word', async () => {
  const { startServer } = await import('../src/index.js');
  const log: LogLine[] = [];
  const options = { host: '127.0.0.1', port: 0, routes: [], endpoints: [] };
  const server = await startServer(options, logTo(log));
  expect(server.adapter).toBe('uWebSockets.js');
  expect(log).toEqual([]);
  await server.close(0);
});

test('where it does not load node:http takes over, with one warning per process', async () => {
  vi.doMock('uWebSockets.js', () => {
    throw new Error('no binary for this machine');
  });
  const { startServer } = await import('../src/index.js');
  const log: LogLine[] = [];
  const handler = (): { status: number } => ({ status: 204 });
  const routes = [{ method: 'GET', path: '/health', handler }];
  const options = { host: '127.0.0.1', port: 0, routes, endpoints: [] };
  const first = await startServer(options, logTo(log));
  const second = await startServer(options, logTo(log));
  expect([first.adapter, second.adapter]).toEqual(['node:http', 'node:http']);
  expect(log).toHaveLength(1);
  expect(log[0]?.level).toBe('warn');
  expect((await fetch(`http://127.0.0.1:${second.port}/health`)).status).toBe(204);
  // A taken port is no reason to try another adapter.
  const taken = { ...options, port: first.port };
  const failure: unknown = await startServer(taken, logTo(log)).catch((error: unknown) => error);
  expect(failure).toMatchObject({ code: 'PORT_IN_USE' });
  await first.close(0);
  await second.close(0);
});
