/** What a process is in the cluster. Standalone is one node with all of the roles. */
export type NodeRole = 'front' | 'ingest' | 'fetch' | 'coordinator';

export interface NodeRegistration {
  /** A fresh UUID per process start: two starts of one machine are two instances. */
  readonly instanceId: string;
  readonly roles: readonly NodeRole[];
  readonly zone: string;
  /** `ws://host:port` of the internal listener; empty for a node that others never call. */
  readonly internalUrl: string;
  /** Where Kafka clients reach this front; null for a node that is not a front. */
  readonly advertised: { readonly host: string; readonly port: number } | null;
}

export interface NodeInfo extends NodeRegistration {
  /** Fresh for every instance: a fenced id never returns. */
  readonly nodeId: number;
  /**
   * What Kafka clients call the node id: null unless it is a front. Stable over restarts of a front
   * with the same advertised address, because clients cache it.
   */
  readonly brokerId: number | null;
}

/** What every heartbeat brings back. */
export interface ClusterView {
  readonly clusterId: string;
  /** Raised by a recovery from the bucket; commits of another incarnation are fenced. */
  readonly incarnation: number;
  /** Database time in ms since the epoch, sampled while the call ran. Births count from it. */
  readonly databaseTimeMs: number;
  /** Every live node, this one included. */
  readonly nodes: readonly NodeInfo[];
}

/** The answer to a registration. */
export interface NodeGrant extends ClusterView {
  readonly nodeId: number;
}
