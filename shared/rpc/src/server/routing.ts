import { isOperatingError, limits, OperatingError } from '@kafscale/core';
import type {
  HttpRequest,
  HttpResponse,
  HttpRoute,
  ServerOptions,
  WebSocketEndpoint,
} from './http-and-websocket-server.js';

/** What both adapters do alike with a request: find the route, run it, turn failures into answers. */
export class Router {
  readonly #routes: readonly HttpRoute[];
  readonly #endpoints: ReadonlyMap<string, WebSocketEndpoint>;

  constructor(options: ServerOptions) {
    this.#routes = options.routes;
    this.#endpoints = new Map(options.endpoints.map((endpoint) => [endpoint.path, endpoint]));
  }

  endpoint(path: string): WebSocketEndpoint | undefined {
    return this.#endpoints.get(path);
  }

  /** The route, or the answer that says that there is none. Decided before the body is read. */
  find(method: string, path: string): HttpRoute | HttpResponse {
    let pathExists = false;
    for (const route of this.#routes) {
      if (!matches(route.path, path)) continue;
      if (route.method === method || (route.method === 'GET' && method === 'HEAD')) return route;
      pathExists = true;
    }
    return pathExists ? text(405, 'method not allowed') : text(404, 'not found');
  }

  async answer(route: HttpRoute, request: HttpRequest): Promise<HttpResponse> {
    try {
      return await route.handler(request);
    } catch (error) {
      if (isOperatingError(error)) return json(503, { code: error.code, message: error.message });
      // A bug. The client learns nothing of it; whoever supervises the process learns it all.
      queueMicrotask(() => {
        throw error;
      });
      return text(500, 'internal error');
    }
  }
}

export function isRoute(found: HttpRoute | HttpResponse): found is HttpRoute {
  return 'handler' in found;
}

export const bodyTooLarge: HttpResponse = text(
  413,
  `the body is longer than ${limits.httpBodyBytesMax} bytes`,
);

export function portError(code: string | undefined, host: string, port: number): OperatingError {
  if (code === 'EADDRINUSE') {
    return new OperatingError('PORT_IN_USE', `${host}:${port} is already in use`);
  }
  const reason = code ?? 'unknown reason';
  return new OperatingError('LISTEN_FAILED', `can not listen on ${host}:${port}: ${reason}`);
}

function matches(pattern: string, path: string): boolean {
  return pattern.endsWith('/*') ? path.startsWith(pattern.slice(0, -1)) : pattern === path;
}

function text(status: number, body: string): HttpResponse {
  return { status, headers: { 'content-type': 'text/plain; charset=utf-8' }, body: `${body}\n` };
}

function json(status: number, body: unknown): HttpResponse {
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}
