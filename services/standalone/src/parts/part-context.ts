import type { CoordinatorService, FeedReplica } from '@kafscale/cluster';
import type { Config } from '@kafscale/config';
import type { Logger, Metrics } from '@kafscale/telemetry';
import type { Neighbours } from './neighbours.js';
import type { NodeIdentity } from './node-identity.js';

/** What the parts of a process share. */
export interface PartContext {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly coordinator: CoordinatorService;
  readonly identity: NodeIdentity;
  readonly replica: FeedReplica;
  readonly neighbours: Neighbours;
}
