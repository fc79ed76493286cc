import { startServer } from '@kafscale/rpc';
import type { HttpAndWebSocketServer, HttpResponse, HttpRoute } from '@kafscale/rpc';
import type { HealthState } from './health.js';
import type { Logger } from './logger.js';
import type { Metrics } from './metrics.js';

export interface HttpServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly metrics: Metrics;
  readonly health: HealthState;
  readonly log: Logger;
  /** Beside the ones of this package. */
  readonly routes?: readonly HttpRoute[];
}

/**
 * Starts the HTTP surface of a process: GET /metrics, /health/live and /health/ready. Rejects with
 * PORT_IN_USE or LISTEN_FAILED. Other paths get 404, other methods 405.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpAndWebSocketServer> {
  const { host, port, log } = options;
  return await startServer(
    {
      host,
      port,
      routes: [...observabilityRoutes(options), ...(options.routes ?? [])],
      endpoints: [],
    },
    (level, message, fields) => log[level](fields, message),
  );
}

/** For a process whose only listener is the internal one. */
export function observabilityRoutes(
  options: Pick<HttpServerOptions, 'metrics' | 'health'>,
): readonly HttpRoute[] {
  const { metrics, health } = options;
  return [
    { method: 'GET', path: '/metrics', handler: () => renderMetrics(metrics) },
    { method: 'GET', path: '/health/live', handler: () => renderLive(health) },
    { method: 'GET', path: '/health/ready', handler: () => renderReady(health) },
  ];
}

async function renderMetrics(metrics: Metrics): Promise<HttpResponse> {
  const { contentType, body } = await metrics.render();
  return { status: 200, headers: { 'content-type': contentType }, body };
}

function renderLive(health: HealthState): HttpResponse {
  const { live, reason } = health.live();
  return json(live ? 200 : 503, live ? { live } : { live, reason });
}

function renderReady(health: HealthState): HttpResponse {
  const readiness = health.readiness();
  return json(readiness.ready ? 200 : 503, readiness);
}

function json(status: number, value: unknown): HttpResponse {
  return {
    status,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: `${JSON.stringify(value)}\n`,
  };
}
