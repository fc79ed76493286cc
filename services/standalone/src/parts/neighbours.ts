import { connectBlocks, connectCoordinator, connectFetch, connectIngest } from '@kafscale/cluster';
import type {
  BlockService,
  ClusterMembership,
  IngestService,
  KafkaService,
  NodeInfo,
  RemoteOptions,
  RemoteService,
} from '@kafscale/cluster';
import type { BlockPeers } from '@kafscale/fetch';
import { NodeDirectory } from '@kafscale/front';
import type { DirectoryNode, ServingRole } from '@kafscale/front';
import type { RpcLog } from '@kafscale/rpc';
import type { Parts } from './parts.js';

interface NeighboursOptions {
  /** The services of this process: called directly, and preferred to all others. */
  readonly parts: Parts;
  readonly secret: string;
  readonly rpcLog: RpcLog;
  readonly zone: string;
  /** Whether fetch nodes load blocks for one another. */
  readonly sharesBlocks: boolean;
}

/** A live node of another process, with the links that have been opened to it. */
interface Neighbour {
  readonly info: NodeInfo;
  readonly directoryNode: DirectoryNode;
  /** Reads of recent segments go by a link of their own, so that they never wait behind produces. */
  recentSegments: (IngestService & RemoteService) | undefined;
  /** To a fetch node, if this process is one too. */
  readonly blocks: (BlockService & RemoteService) | undefined;
  readonly links: RemoteService[];
}

/**
 * The live nodes of the cluster as this process calls them: its own services directly, those of
 * others by links that are opened when a node appears and closed when it has gone.
 */
export class Neighbours implements BlockPeers {
  readonly directory = new NodeDirectory();
  readonly #options: NeighboursOptions;
  readonly #neighbours = new Map<number, Neighbour>();
  #fetchNodeIds: readonly number[] = [];
  #membership: ClusterMembership | null = null;

  constructor(options: NeighboursOptions) {
    this.#options = options;
  }

  /** Keeps up with the membership's view from now on. */
  follow(membership: ClusterMembership): void {
    this.#membership = membership;
    membership.onView(() => this.#update());
    this.#update();
  }

  /** Undefined as well while the node can't be reached: the object store has the same bytes. */
  recentSegmentsOf(nodeId: number): Pick<IngestService, 'readRecentSegment'> | undefined {
    const { ingest } = this.#options.parts;
    if (nodeId === this.#membership?.nodeId) return ingest;
    const neighbour = this.#neighbours.get(nodeId);
    if (neighbour === undefined || !neighbour.info.roles.includes('ingest')) return undefined;
    if (neighbour.recentSegments === undefined) {
      neighbour.recentSegments = connectIngest(this.#remote(neighbour.info), 'fetch');
      neighbour.links.push(neighbour.recentSegments);
    }
    return neighbour.recentSegments.isUp ? neighbour.recentSegments : undefined;
  }

  get sharesBlocks(): boolean {
    return this.#options.sharesBlocks;
  }

  get ownNodeId(): number {
    return this.#membership?.nodeId ?? -1;
  }

  /**
   * Of this zone only: a GET is cheaper than bytes between zones, so each zone reads a block once.
   */
  fetchNodeIds(): readonly number[] {
    return this.#fetchNodeIds;
  }

  blocksOf(nodeId: number): BlockService | undefined {
    const blocks = this.#neighbours.get(nodeId)?.blocks;
    return blocks?.isUp === true ? blocks : undefined;
  }

  /** Whether a node of another process with this role can be called right now. */
  reaches(role: ServingRole): boolean {
    return [...this.#neighbours.values()].some(
      ({ directoryNode: node }) => node[role] !== undefined && node.isUp?.(role) === true,
    );
  }

  close(): void {
    for (const neighbour of this.#neighbours.values()) closeLinks(neighbour);
    this.#neighbours.clear();
  }

  #update(): void {
    const membership = this.#membership;
    if (membership === null) return;
    const others = membership.view.nodes.filter(({ nodeId }) => nodeId !== membership.nodeId);
    const live = new Set(others.map(({ nodeId }) => nodeId));
    for (const info of others) {
      if (!this.#neighbours.has(info.nodeId)) this.#neighbours.set(info.nodeId, this.#meet(info));
    }
    const gone = [...this.#neighbours.values()].filter(({ info }) => !live.has(info.nodeId));
    for (const { info } of gone) this.#neighbours.delete(info.nodeId);
    this.#fetchNodeIds = membership.view.nodes
      .filter(({ internalUrl, roles, zone }) => {
        return roles.includes('fetch') && internalUrl !== '' && zone === this.#options.zone;
      })
      .map(({ nodeId }) => nodeId);
    const nodes = [...this.#neighbours.values()].map(({ directoryNode }) => directoryNode);
    const { coordinator, fetch, ingest } = this.#options.parts;
    const own: DirectoryNode = {
      nodeId: membership.nodeId,
      zone: this.#options.zone,
      ...(ingest && { ingest }),
      ...(fetch && { fetch }),
      ...(coordinator && { coordinator }),
    };
    // The front hears of it before the links fail what was in flight on them.
    this.directory.update([own, ...nodes]);
    for (const neighbour of gone) closeLinks(neighbour);
  }

  /** Opens links only for the roles that this process calls and does not have itself. */
  #meet(info: NodeInfo): Neighbour {
    const { parts } = this.#options;
    const remote = this.#remote(info);
    const links = new Map<ServingRole, KafkaService & RemoteService>();
    const calls = (role: ServingRole): boolean =>
      parts.hasFront && parts[role] === undefined && info.roles.includes(role);
    if (info.internalUrl !== '') {
      if (calls('ingest')) links.set('ingest', connectIngest(remote, 'produce'));
      if (calls('fetch')) links.set('fetch', connectFetch(remote));
      if (calls('coordinator')) links.set('coordinator', connectCoordinator(remote));
    }
    const directoryNode: DirectoryNode = {
      nodeId: info.nodeId,
      zone: info.zone,
      ...Object.fromEntries(links),
      isUp: (role) => links.get(role)?.isUp === true,
    };
    const blocks = this.#sharesBlocksWith(info) ? connectBlocks(remote) : undefined;
    const opened: RemoteService[] = [...links.values(), ...(blocks === undefined ? [] : [blocks])];
    return { info, directoryNode, recentSegments: undefined, blocks, links: opened };
  }

  #sharesBlocksWith({ internalUrl, roles, zone }: NodeInfo): boolean {
    const { parts, sharesBlocks, zone: ownZone } = this.#options;
    if (!sharesBlocks || parts.fetch === undefined) return false;
    return roles.includes('fetch') && internalUrl !== '' && zone === ownZone;
  }

  #remote(info: NodeInfo): RemoteOptions {
    const { rpcLog, secret } = this.#options;
    return {
      url: info.internalUrl,
      secret,
      caller: () => ({ nodeId: this.#membership?.nodeId ?? -1, role: 'neighbour' }),
      log: rpcLog,
    };
  }
}

function closeLinks(neighbour: Neighbour): void {
  for (const link of neighbour.links) link.close();
}
