import { serveCoordinator, serveFetch, serveIngest, servicePaths } from '@kafscale/cluster';
import type { Config } from '@kafscale/config';
import { limits } from '@kafscale/core';
import { rpcEndpoint, startServer } from '@kafscale/rpc';
import type { RpcLog, RpcService, WebSocketEndpoint } from '@kafscale/rpc';
import type { Closers } from '../process/closers.js';
import type { Parts } from './parts.js';

/** Opens the process to the others of its cluster; its URL, or '' when it has nothing to offer. */
export async function startInternalListener(options: {
  config: Config;
  secret: string;
  parts: Parts;
  closers: Closers;
  rpcLog: RpcLog;
}): Promise<string> {
  const { closers, config, parts, rpcLog: log, secret } = options;
  const { coordinator, fetch, ingest } = parts;
  const endpoints: WebSocketEndpoint[] = [];
  const serve = (path: string, service: RpcService): void => {
    endpoints.push(rpcEndpoint({ path, secret, service, log }));
  };
  if (coordinator) serve(servicePaths.coordinator, serveCoordinator(coordinator));
  if (ingest) serve(servicePaths.ingest, serveIngest(ingest));
  if (fetch) serve(servicePaths.fetch, serveFetch(fetch, fetch.blocks));
  if (endpoints.length === 0) return '';
  const { internalAdvertisedHost, internalHost: host, internalPort: port } = config;
  const server = await startServer({ host, port, routes: [], endpoints }, log);
  closers.add('internal listener', () => server.close(limits.drainMsMax));
  return `ws://${internalAdvertisedHost}:${server.port}`;
}
