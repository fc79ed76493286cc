import {
  type BlockRead,
  type BlockService,
  connectBlocks,
  type RemoteService,
  serveFetch,
  servicePaths,
} from '@kafscale/cluster';
import { fetchRequest, fetchResponse } from '@kafscale/codec';
import { type HttpAndWebSocketServer, rpcEndpoint, startServer } from '@kafscale/rpc';
import { expect } from 'vitest';
import {
  type ClosableFetchService,
  createFetchService,
  type FetchCounter,
  type FetchGauge,
  type FetchLimits,
} from '../src/index.js';
import type { World } from './world.js';

const secret = 'cluster secret';
const silent = (): void => undefined;
const never = new AbortController().signal;

/** Fetch nodes over the log of one world, linked to one another as processes are. */
export class FetchNodes {
  readonly nodes: FetchNode[] = [];
  /** Who lives, as all of them see it. */
  view: readonly number[] = [];
  readonly #world: World;
  readonly #limits: Partial<FetchLimits>;

  constructor(world: World, limits: Partial<FetchLimits> = {}) {
    this.#world = world;
    this.#limits = limits;
  }

  static async start(
    world: World,
    nodeIds: readonly number[],
    limits: Partial<FetchLimits> = {},
  ): Promise<FetchNodes> {
    const cluster = new FetchNodes(world, limits);
    for (const nodeId of nodeIds) cluster.nodes.push(await cluster.#startNode(nodeId));
    for (const node of cluster.nodes) {
      for (const other of cluster.nodes) if (other !== node) await node.connect(other);
    }
    cluster.view = nodeIds;
    return cluster;
  }

  node(nodeId: number): FetchNode {
    return this.nodes.find((each) => each.nodeId === nodeId)!;
  }

  sum(name: FetchCounter): number {
    return this.nodes.reduce((sum, node) => sum + node.count(name), 0);
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.close()));
  }

  async #startNode(nodeId: number): Promise<FetchNode> {
    const node = new FetchNode(nodeId, this.#world, { view: () => this.view, ...this.#limits });
    await node.listen();
    return node;
  }
}

export class FetchNode {
  readonly nodeId: number;
  readonly fetch: ClosableFetchService;
  readonly links = new Map<number, BlockService & RemoteService>();
  readonly #counts = new Map<FetchCounter, number>();
  readonly #gauges = new Map<FetchGauge, () => number>();
  /** What others ask of this node passes through here. */
  serve: (read: BlockRead, own: BlockService) => Promise<readonly (Buffer | null)[]> = (
    read,
    own,
  ) => own.readExtents(read);
  /** Who owns what, as this node sees it. */
  view: () => readonly number[];
  questions = 0;
  #server: HttpAndWebSocketServer | undefined;

  constructor(
    nodeId: number,
    world: World,
    { view, ...limits }: Partial<FetchLimits> & { view: () => readonly number[] },
  ) {
    this.nodeId = nodeId;
    this.view = view;
    this.fetch = createFetchService({
      ...world.fetchOptions,
      limits: { ...world.fetchOptions.limits, ...limits },
      blockPeers: {
        ownNodeId: nodeId,
        fetchNodeIds: () => this.view(),
        blocksOf: (other) => {
          const link = this.links.get(other);
          return link?.isUp === true ? link : undefined;
        },
      },
      metrics: {
        count: (name, by = 1) => void this.#counts.set(name, this.count(name) + by),
        observe: () => undefined,
        gauge: (name, read) => void this.#gauges.set(name, read),
      },
    });
  }

  count(name: FetchCounter): number {
    return this.#counts.get(name) ?? 0;
  }

  gauge(name: FetchGauge): number {
    return this.#gauges.get(name)!();
  }

  async listen(): Promise<void> {
    const blocks: BlockService = {
      readExtents: (read) => {
        this.questions++;
        return this.serve(read, this.fetch.blocks);
      },
    };
    const service = serveFetch(this.fetch, blocks);
    const endpoint = rpcEndpoint({ path: servicePaths.fetch, secret, service, log: silent });
    const options = { host: '127.0.0.1', port: 0, routes: [], endpoints: [endpoint] };
    this.#server = await startServer(options, silent);
  }

  async connect(other: FetchNode): Promise<void> {
    const link = connectBlocks({
      url: `ws://127.0.0.1:${other.#server!.port}`,
      secret,
      caller: () => ({ nodeId: this.nodeId, role: 'fetch' }),
      log: silent,
    });
    this.links.set(other.nodeId, link);
    while (!link.isUp) await new Promise((resolve) => setTimeout(resolve, 2));
  }

  /** As if its process had been killed. */
  async kill(): Promise<void> {
    await this.#server?.close(0);
    this.#server = undefined;
  }

  async close(): Promise<void> {
    this.fetch.close();
    for (const link of this.links.values()) link.close();
    await this.kill();
  }

  /** Reads partitions of one topic to their ends, all in each request. Checks every byte. */
  async readAll(world: World, topic: string, connectionId: string, bytesMax = 50e6): Promise<void> {
    const { partitions } = world.topics.get(topic)!;
    const offsets = partitions.map(() => 0);
    const chunks = partitions.map((): Buffer[] => []);
    while (partitions.some(({ highWatermark }, index) => offsets[index]! < highWatermark)) {
      const wanted = offsets.map((offset, partition) => ({
        partition,
        fetchOffset: BigInt(offset),
        partitionMaxBytes: bytesMax,
      }));
      const request = { minBytes: 1, maxBytes: bytesMax, topics: [{ topic, partitions: wanted }] };
      const reply = await this.fetch.handle(
        {
          apiKey: 1,
          apiVersion: 12,
          clientId: 'test',
          clientHost: '127.0.0.1',
          principal: 'User:ANONYMOUS',
          listener: 'PLAINTEXT',
          connectionId,
          requestNumber: 0,
          body: Buffer.concat(fetchRequest.encode(request, 12)),
        },
        never,
      );
      if (reply.kind !== 'response') throw new Error(JSON.stringify(reply));
      const response = fetchResponse.decode(Buffer.concat(reply.chunks), 12);
      reply.release?.();
      for (const each of response.responses[0]!.partitions) {
        expect(each.errorCode).toBe(0);
        if (each.records === null || each.records.length === 0) continue;
        const { partitionId } = partitions[each.partitionIndex]!;
        const expected = world.expected(partitionId, offsets[each.partitionIndex]!);
        let bytes = 0;
        for (const batch of expected) {
          if (bytes >= each.records.length) break;
          bytes += batch.bytes.length;
          offsets[each.partitionIndex] = batch.nextOffset;
          chunks[each.partitionIndex]!.push(batch.bytes);
        }
        const served = Buffer.concat(chunks[each.partitionIndex]!.splice(0));
        expect(each.records.equals(served)).toBe(true);
      }
    }
  }
}
