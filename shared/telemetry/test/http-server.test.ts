import { InvariantError } from '@kafscale/core';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createLogger, HealthState, Metrics, startHttpServer } from '../src/index.js';

const log = createLogger({ level: 'silent', format: 'json' });
let health: HealthState;
let metrics: Metrics;
let server: Awaited<ReturnType<typeof startHttpServer>>;

beforeEach(async () => {
  health = new HealthState();
  metrics = new Metrics();
  server = await startHttpServer({ host: '127.0.0.1', port: 0, metrics, health, log });
});

afterEach(async () => {
  await server.close(0);
});

async function request(path: string, method = 'GET'): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method });
  return { status: response.status, body: await response.text() };
}

test('/metrics has ours, prefixed, and those of the process', async () => {
  const requests = metrics.counter({ name: 'requests_total', help: 'Requests.', labels: ['api'] });
  requests.inc({ api: 'produce' }, 2);
  metrics.gauge({ name: 'connections', help: 'Open connections.', read: () => 7 });
  const latency = { name: 'latency_seconds', help: 'Latency.', buckets: [0.1, 1] };
  metrics.histogram(latency).observe(0.5);
  const { status, body } = await request('/metrics');
  expect(status).toBe(200);
  expect(body).toContain('kafscale_requests_total{api="produce"} 2');
  expect(body).toContain('kafscale_connections 7');
  expect(body).toContain('kafscale_latency_seconds_bucket{le="1"} 1');
  expect(body).toContain('process_cpu_seconds_total');
});

describe('health', () => {
  test('live from the start, until it fails', async () => {
    expect(await request('/health/live')).toEqual({ status: 200, body: '{"live":true}\n' });
    health.fail('the database is gone');
    const { status, body } = await request('/health/live');
    expect(status).toBe(503);
    expect(body).toContain('the database is gone');
  });

  test('ready when it runs and every check agrees, and says which does not', async () => {
    let reason: string | undefined = 'unreachable';
    health.addCheck('coordinator', () => reason);
    expect((await request('/health/ready')).status).toBe(503);
    health.start();
    const refused = await request('/health/ready');
    expect(refused.status).toBe(503);
    expect(JSON.parse(refused.body)).toEqual({
      ready: false,
      checks: { process: 'ok', coordinator: 'unreachable' },
    });
    reason = undefined;
    expect((await request('/health/ready')).status).toBe(200);
    health.drain();
    expect((await request('/health/ready')).status).toBe(503);
    expect((await request('/health/live')).status).toBe(200);
  });
});

test('what is not there is 404, another method is 405, HEAD has no body', async () => {
  expect((await request('/')).status).toBe(404);
  expect((await request('/metrics/x')).status).toBe(404);
  expect((await request('/metrics', 'POST')).status).toBe(405);
  expect(await request('/health/live', 'HEAD')).toEqual({ status: 200, body: '' });
});

test('a port that is taken is one coded error that names it', async () => {
  const attempt = startHttpServer({ host: '127.0.0.1', port: server.port, metrics, health, log });
  await expect(attempt).rejects.toMatchObject({
    code: 'PORT_IN_USE',
    message: expect.stringContaining(String(server.port)) as string,
  });
});

test('a metric that exists, or whose name breaks the rules, is a bug', () => {
  metrics.counter({ name: 'a_total', help: 'A.' });
  expect(() => metrics.counter({ name: 'a_total', help: 'A.' })).toThrow();
  expect(() => metrics.counter({ name: 'b', help: 'B.' })).toThrow(InvariantError);
  expect(() => metrics.gauge({ name: 'Camel', help: 'C.' })).toThrow(InvariantError);
});
