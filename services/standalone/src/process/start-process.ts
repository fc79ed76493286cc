import { requireCoordinatorUrl } from '@kafscale/config';
import type { Config } from '@kafscale/config';
import {
  ClusterMembership,
  connectCoordinator,
  FeedReplica,
  serveCoordinator,
  serveFetch,
  serveIngest,
  servicePaths,
} from '@kafscale/cluster';
import type { CoordinatorService, NodeRole } from '@kafscale/cluster';
import type { Coordinator } from '@kafscale/coordinator';
import { limits, systemClock } from '@kafscale/core';
import type { ClosableFetchService } from '@kafscale/fetch';
import type { Ingest } from '@kafscale/ingest';
import { rpcEndpoint, startServer } from '@kafscale/rpc';
import type { RpcLog, RpcService, WebSocketEndpoint } from '@kafscale/rpc';
import { HealthState, Metrics, startHttpServer } from '@kafscale/telemetry';
import type { Logger } from '@kafscale/telemetry';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { ServiceName } from '../cli/index.js';
import { startCoordinator } from '../parts/coordinator.js';
import { startFetch, startIngest } from '../parts/data-path.js';
import { startFrontOf } from '../parts/front.js';
import { keptSecret } from '../parts/kept-files.js';
import { Neighbours } from '../parts/neighbours.js';
import { NodeIdentity } from '../parts/node-identity.js';
import type { Closers } from './closers.js';

export interface StartedProcess {
  readonly http: { readonly host: string; readonly port: number };
  /** Where Kafka clients reach this process, if it has a front. */
  readonly advertised: { readonly host: string; readonly port: number } | null;
  /** Empty when other processes never call this one. */
  readonly internalUrl: string;
  /** No new work, and no long wait for what is under way; `closeAll` of the closers follows. */
  beginDrain(): void;
}

interface StartOptions {
  readonly command: ServiceName;
  readonly config: Config;
  readonly log: Logger;
  readonly closers: Closers;
  /** Something that the process can't be without is gone. */
  readonly onLost: (error: Error) => void;
}

const rolesOf: { readonly [Name in ServiceName]: readonly NodeRole[] } = {
  standalone: ['front', 'ingest', 'fetch', 'coordinator'],
  front: ['front'],
  ingest: ['ingest'],
  fetch: ['fetch'],
  coordinator: ['coordinator'],
};

/** The parts that a process may have, as they come to life. */
export interface Parts {
  readonly hasFront: boolean;
  coordinator?: Coordinator;
  ingest?: Ingest;
  fetch?: ClosableFetchService;
}

/**
 * Starts the roles of a process in the order of their needs: metadata and coordinator, the replica,
 * ingest and fetch, the internal listener, registration, and the front last, when all it may call is
 * there. What has started is in `closers`, also when a later step fails.
 */
export async function startProcess(options: StartOptions): Promise<StartedProcess> {
  const { closers, command, config, log, onLost } = options;
  const roles = new Set(rolesOf[command]);
  const metrics = new Metrics();
  const health = new HealthState();
  const { httpHost, httpPort } = config;
  const http = await startHttpServer({ host: httpHost, port: httpPort, metrics, health, log });
  closers.add('HTTP', () => http.close(0));

  const secret = await clusterSecret(config, command);
  const rpcLog: RpcLog = (level, message, fields) => log[level](fields, message);
  const parts: Parts = { hasFront: roles.has('front') };
  const identity = new NodeIdentity();
  const coordinator = await coordinatorOf();

  const neighbours = new Neighbours({ parts, secret, rpcLog, zone: config.zone });
  closers.add('links', () => neighbours.close());
  const commits = roles.has('fetch');
  const replica = new FeedReplica({ coordinator, commits, clock: systemClock, log: rpcLog });
  const context = { config, log, metrics, coordinator, identity, replica, neighbours };
  if (roles.has('ingest')) {
    const ingest = await startIngest(context);
    parts.ingest = ingest;
    closers.add('ingest', () => ingest.close());
  }
  if (roles.has('fetch')) {
    const fetch = await startFetch(context);
    parts.fetch = fetch;
    closers.add('fetch', () => fetch.close());
  }
  if (roles.has('ingest') || roles.has('fetch')) {
    replica.start();
    closers.add('replica', () => replica.close());
    await replica.ready();
    health.addCheck('feed', () =>
      replica.health().disconnectedForMs === null ? undefined : 'the feed is interrupted',
    );
  }
  const internalUrl = await startInternalListener();
  const front = roles.has('front') ? await startFrontOf(context) : null;
  if (front !== null) closers.add('front', () => front.close({ drainMs: limits.drainMsMax }));
  const advertised = front && advertisedAddress(config, front.address.port);
  const membership = new ClusterMembership({
    coordinator,
    registration: { roles: [...roles], zone: config.zone, internalUrl, advertised },
    clock: systemClock,
    log: rpcLog,
  });
  closers.add('membership', () => membership.close());
  await membership.start();
  identity.membership = membership;
  neighbours.follow(membership);
  health.start();
  return { http, advertised, internalUrl, beginDrain };

  async function coordinatorOf(): Promise<CoordinatorService> {
    if (roles.has('coordinator')) {
      const own = await startCoordinator({ config, log, metrics, closers, onLost });
      parts.coordinator = own;
      health.addCheck('coordinator', () => (own.ready() ? undefined : 'it does not own the shard'));
      return own;
    }
    const remote = connectCoordinator({
      url: requireCoordinatorUrl(config),
      secret,
      caller: () => ({ nodeId: identity.nodeIdOrNone, role: command }),
      log: rpcLog,
    });
    closers.add('coordinator link', () => remote.close());
    health.addCheck('coordinator', () => (remote.isUp ? undefined : 'the coordinator is gone'));
    return remote;
  }

  async function startInternalListener(): Promise<string> {
    const endpoint = (path: string, service: RpcService): WebSocketEndpoint =>
      rpcEndpoint({ path, secret, service, log: rpcLog });
    const endpoints: WebSocketEndpoint[] = [];
    const { coordinator: ownCoordinator, fetch, ingest } = parts;
    if (ownCoordinator) {
      endpoints.push(endpoint(servicePaths.coordinator, serveCoordinator(ownCoordinator)));
    }
    if (ingest) endpoints.push(endpoint(servicePaths.ingest, serveIngest(ingest)));
    if (fetch) endpoints.push(endpoint(servicePaths.fetch, serveFetch(fetch)));
    if (endpoints.length === 0) return '';
    const { internalAdvertisedHost, internalHost: host, internalPort: port } = config;
    const server = await startServer({ host, port, routes: [], endpoints }, rpcLog);
    closers.add('internal listener', () => server.close(limits.drainMsMax));
    return `ws://${internalAdvertisedHost}:${server.port}`;
  }

  function beginDrain(): void {
    health.drain();
    parts.ingest?.hurry();
    parts.fetch?.close();
    parts.coordinator?.beginDrain();
  }
}

function advertisedAddress(config: Config, kafkaPort: number): { host: string; port: number } {
  const { advertisedHost: host, advertisedPort } = config;
  return { host, port: advertisedPort === 0 ? kafkaPort : advertisedPort };
}

/** Standalone makes a secret of its own, so that other roles can join it by configuration alone. */
async function clusterSecret(config: Config, command: ServiceName): Promise<string> {
  if (config.clusterSecret !== undefined) return config.clusterSecret;
  if (command !== 'standalone') return '';
  const file = join(config.dataDir, 'cluster-secret');
  return keptSecret(file, () => randomBytes(24).toString('base64url'));
}
