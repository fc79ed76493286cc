import { requireCoordinatorUrl } from '@kafscale/config';
import type { Config } from '@kafscale/config';
import { ClusterMembership, connectCoordinator, FeedReplica } from '@kafscale/cluster';
import type { CoordinatorService, NodeRole } from '@kafscale/cluster';
import { limits, systemClock } from '@kafscale/core';
import type { HttpAndWebSocketServer, RpcLog } from '@kafscale/rpc';
import { HealthState, Metrics, startHttpServer } from '@kafscale/telemetry';
import type { Logger } from '@kafscale/telemetry';
import type { ServiceName } from '../cli/index.js';
import { startCoordinator } from '../parts/coordinator.js';
import { startFetch, startIngest } from '../parts/data-path.js';
import type { PartContext } from '../parts/part-context.js';
import type { Parts } from '../parts/parts.js';
import { startFrontOf } from '../parts/front.js';
import { startInternalListener } from '../parts/internal-listener.js';
import { clusterSecret } from '../parts/kept-files.js';
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

export interface StartOptions {
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

/** Starts the roles of a command. What has started is in `closers`, also when a later step fails. */
export async function startProcess(options: StartOptions): Promise<StartedProcess> {
  const { closers, config, log } = options;
  const { httpHost: host, httpPort: port } = config;
  const metrics = new Metrics();
  const health = new HealthState();
  const http = await startHttpServer({ host, port, metrics, health, log });
  closers.add('HTTP', () => http.close(0));
  return new ProcessStarter(options, metrics, health).start(http);
}

/**
 * Starts the parts in the order of their needs: coordinator, replica, ingest and fetch, the internal
 * listener, the front, and last the registration, after which others call and clients are served.
 */
class ProcessStarter {
  readonly #options: StartOptions;
  readonly #metrics: Metrics;
  readonly #health: HealthState;
  readonly #roles: ReadonlySet<NodeRole>;
  readonly #rpcLog: RpcLog;
  readonly #parts: Parts;
  readonly #identity = new NodeIdentity();

  constructor(options: StartOptions, metrics: Metrics, health: HealthState) {
    this.#options = options;
    this.#metrics = metrics;
    this.#health = health;
    this.#roles = new Set(rolesOf[options.command]);
    this.#parts = { hasFront: this.#roles.has('front') };
    this.#rpcLog = (level, message, fields) => options.log[level](fields, message);
  }

  async start(http: HttpAndWebSocketServer): Promise<StartedProcess> {
    const { closers, command, config } = this.#options;
    const secret = await clusterSecret(config, command);
    const context = await this.#context(secret);
    await this.#startDataPath(context);
    const internalUrl = await startInternalListener({
      config,
      secret,
      parts: this.#parts,
      closers,
      rpcLog: this.#rpcLog,
    });
    const front = this.#roles.has('front') ? await startFrontOf(context) : null;
    if (front !== null) closers.add('front', () => front.close({ drainMs: limits.drainMsMax }));
    const advertised = front && advertisedAddress(config, front.address.port);
    await this.#register(context, { internalUrl, advertised });
    this.#health.start();
    return { http, advertised, internalUrl, beginDrain: () => this.#beginDrain() };
  }

  async #context(secret: string): Promise<PartContext> {
    const { closers, config, log } = this.#options;
    const rpcLog = this.#rpcLog;
    const coordinator = await this.#coordinator(secret);
    const neighbours = new Neighbours({
      parts: this.#parts,
      secret,
      rpcLog,
      zone: config.zone,
      // A file on the same disk is nearer than another process.
      sharesBlocks: !config.storeUrl.startsWith('file:'),
    });
    closers.add('links', () => neighbours.close());
    // It goes after the services: a node that has said goodbye may not commit any more.
    closers.add('membership', () => this.#identity.membership?.close());
    const commits = this.#roles.has('fetch');
    const replica = new FeedReplica({ coordinator, commits, clock: systemClock, log: rpcLog });
    const [metrics, identity] = [this.#metrics, this.#identity];
    return { config, log, metrics, coordinator, identity, replica, neighbours };
  }

  /** The one in this process, or the one that the configuration names. */
  async #coordinator(secret: string): Promise<CoordinatorService> {
    const { closers, command, config } = this.#options;
    if (this.#roles.has('coordinator')) {
      const own = await startCoordinator({ ...this.#options, metrics: this.#metrics });
      this.#parts.coordinator = own;
      this.#health.addCheck('coordinator', () =>
        own.ready() ? undefined : 'it does not own the shard',
      );
      return own;
    }
    const remote = connectCoordinator({
      url: requireCoordinatorUrl(config),
      secret,
      caller: () => ({ nodeId: this.#identity.nodeIdOrNone, role: command }),
      log: this.#rpcLog,
    });
    closers.add('coordinator link', () => remote.close());
    this.#health.addCheck('coordinator', () => (remote.isUp ? undefined : 'it can not be reached'));
    return remote;
  }

  /** Ingest and fetch, and the replica that both read; they see its first snapshot. */
  async #startDataPath(context: PartContext): Promise<void> {
    const { closers } = this.#options;
    const { replica } = context;
    if (this.#roles.has('ingest')) {
      const ingest = await startIngest(context);
      this.#parts.ingest = ingest;
      closers.add('ingest', () => ingest.close());
    }
    if (this.#roles.has('fetch')) {
      const fetch = await startFetch(context);
      this.#parts.fetch = fetch;
      closers.add('fetch', () => fetch.close());
    }
    if (!this.#roles.has('ingest') && !this.#roles.has('fetch')) return;
    replica.start();
    closers.add('replica', () => replica.close());
    await replica.ready();
    this.#health.addCheck('feed', () =>
      replica.health().disconnectedForMs === null ? undefined : 'the feed is interrupted',
    );
  }

  async #register(
    context: PartContext,
    addresses: Pick<StartedProcess, 'internalUrl' | 'advertised'>,
  ): Promise<void> {
    const { config } = this.#options;
    const membership = new ClusterMembership({
      coordinator: context.coordinator,
      registration: { roles: [...this.#roles], zone: config.zone, ...addresses },
      clock: systemClock,
      log: this.#rpcLog,
    });
    this.#identity.membership = membership;
    await membership.start();
    context.neighbours.follow(membership);
    if (this.#roles.has('front')) this.#awaitNeighbours(context.neighbours);
  }

  /**
   * A front is not ready before it has found a node of each role that it needs, or its first clients
   * would be disconnected. Only the first time counts: without ingest nodes it can still serve reads.
   */
  #awaitNeighbours(neighbours: Neighbours): void {
    const missing = new Set((['ingest', 'fetch'] as const).filter((role) => !this.#parts[role]));
    if (missing.size === 0) return;
    this.#health.addCheck('neighbours', () => {
      for (const role of missing) if (neighbours.reaches(role)) missing.delete(role);
      return missing.size === 0 ? undefined : `no ${[...missing].join(' and no ')} node found yet`;
    });
  }

  #beginDrain(): void {
    this.#health.drain();
    this.#parts.ingest?.hurry();
    this.#parts.fetch?.close();
    this.#parts.coordinator?.beginDrain();
  }
}

function advertisedAddress(config: Config, kafkaPort: number): { host: string; port: number } {
  const { advertisedHost: host, advertisedPort } = config;
  return { host, port: advertisedPort === 0 ? kafkaPort : advertisedPort };
}
