import type { CoordinatorService, FeedReplica } from '@kafscale/cluster';
import type { Config } from '@kafscale/config';
import type { Coordinator } from '@kafscale/coordinator';
import type { ClosableFetchService } from '@kafscale/fetch';
import type { Ingest } from '@kafscale/ingest';
import type { Logger, Metrics } from '@kafscale/telemetry';
import type { Neighbours } from './neighbours.js';
import type { NodeIdentity } from './node-identity.js';

/** The services of a process, as they come to life. */
export interface Parts {
  readonly hasFront: boolean;
  coordinator?: Coordinator;
  ingest?: Ingest;
  fetch?: ClosableFetchService;
}

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
