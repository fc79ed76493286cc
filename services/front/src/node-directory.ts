import type { KafkaService } from '@kafscale/cluster';

import type { ServiceDirectory, ServiceHandle } from './service-directory.js';

/** A live node and how to call each of its roles; a role that it does not have is left out. */
export interface DirectoryNode {
  readonly nodeId: number;
  readonly zone: string;
  readonly ingest?: KafkaService;
  readonly fetch?: KafkaService;
  readonly coordinator?: KafkaService;
  /** Whether it can be reached right now; left out for services of this process. */
  readonly isUp?: (role: ServingRole) => boolean;
}

export type ServingRole = 'ingest' | 'fetch' | 'coordinator';

/** The directory over a list of live nodes: {@link NodeDirectory.update} with every cluster view. */
export class NodeDirectory implements ServiceDirectory {
  #nodes: readonly DirectoryNode[] = [];
  readonly #listeners = new Set<(nodeId: number) => void>();
  #turn = 0;

  constructor(nodes: readonly DirectoryNode[] = []) {
    this.#nodes = nodes;
  }

  /** Replaces the list and tells the listeners who is missing. */
  update(nodes: readonly DirectoryNode[]): void {
    const live = new Set(nodes.map(({ nodeId }) => nodeId));
    const gone = this.#nodes.filter(({ nodeId }) => !live.has(nodeId));
    this.#nodes = nodes;
    for (const { nodeId } of gone) {
      for (const listener of this.#listeners) listener(nodeId);
    }
  }

  ingestFor(zone: string, avoid?: ReadonlySet<number>): ServiceHandle | null {
    return this.#choose('ingest', zone, avoid);
  }

  fetchFor(zone: string, avoid?: ReadonlySet<number>): ServiceHandle | null {
    return this.#choose('fetch', zone, avoid);
  }

  coordinator(avoid?: ReadonlySet<number>): ServiceHandle | null {
    return this.#choose('coordinator', null, avoid);
  }

  onNodeGone(listener: (nodeId: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * In turn over the nodes of the zone, or over all when the zone has none. A node that died a moment
   * ago is still on the list, so those that can be reached come first.
   */
  #choose(
    role: ServingRole,
    zone: string | null,
    avoid: ReadonlySet<number> | undefined,
  ): ServiceHandle | null {
    const able = this.#nodes.filter((node) => node[role] && avoid?.has(node.nodeId) !== true);
    const reached = able.filter((node) => node.isUp?.(role) !== false);
    const usable = reached.length > 0 ? reached : able;
    const near = usable.filter((node) => node.zone === zone);
    const candidates = near.length > 0 ? near : usable;
    const node = candidates[this.#turn % candidates.length];
    const service = node?.[role];
    if (node === undefined || service === undefined) return null;
    this.#turn += 1;
    return { nodeId: node.nodeId, service };
  }
}
