import { OperatingError } from '@kafscale/core';
import { afterEach } from 'vitest';
import { RpcLink, rpcEndpoint, startNodeServer, startUwsServer } from '../src/index.js';
import type {
  HttpAndWebSocketServer,
  RpcEndpointOptions,
  RpcLinkOptions,
  RpcService,
  ServerOptions,
} from '../src/index.js';

export const adapters = [
  { name: 'uWebSockets.js', start: startUwsServer },
  { name: 'node:http', start: startNodeServer },
] as const;

export type Start = (options: ServerOptions) => Promise<HttpAndWebSocketServer>;

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, string | number | boolean>>;
}

export function logTo(lines: LogLine[]): RpcEndpointOptions['log'] {
  return (level, message, fields) => {
    lines.push({ level, message, fields });
  };
}

const cleanups: (() => unknown)[] = [];

export function cleanup(work: () => unknown): void {
  cleanups.push(work);
}

afterEach(async () => {
  for (const work of cleanups.splice(0).reverse()) await work();
});

export const secret = 'the secret of the tests';

export interface Served {
  readonly server: HttpAndWebSocketServer;
  readonly url: string;
  readonly serverLog: LogLine[];
}

export async function serve(
  start: Start,
  service: RpcService,
  options: Partial<RpcEndpointOptions> & { readonly port?: number } = {},
): Promise<Served> {
  const serverLog: LogLine[] = [];
  const { port = 0, ...endpointOptions } = options;
  const endpoint = rpcEndpoint({
    path: '/rpc/test',
    secret,
    service,
    log: logTo(serverLog),
    ...endpointOptions,
  });
  const server = await start({ host: '127.0.0.1', port, routes: [], endpoints: [endpoint] });
  cleanup(() => server.close(0));
  return { server, url: `ws://127.0.0.1:${server.port}`, serverLog };
}

export function link(
  url: string,
  options: Partial<RpcLinkOptions> = {},
): { link: RpcLink; log: LogLine[] } {
  const log: LogLine[] = [];
  const made = new RpcLink({
    url,
    path: '/rpc/test',
    secret,
    caller: () => ({ nodeId: 7, role: 'front', linkClass: 'control' }),
    log: logTo(log),
    ...options,
  });
  cleanup(() => made.close());
  return { link: made, log };
}

export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** The error of a promise that must reject with an OperatingError. */
export async function failureOf(promise: Promise<unknown>): Promise<OperatingError> {
  const error: unknown = await promise.then(
    () => new Error('it did not reject'),
    (reason: unknown) => reason,
  );
  if (!(error instanceof OperatingError)) throw error;
  return error;
}

export interface Gate {
  readonly opened: Promise<void>;
  open(): void;
}

export function gate(): Gate {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** The value, which must be there. */
export function some<Value>(value: Value | null | undefined): Value {
  if (value === null || value === undefined) throw new Error('expected a value');
  return value;
}
