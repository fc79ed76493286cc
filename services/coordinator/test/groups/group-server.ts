import { randomUUID } from 'node:crypto';
import * as codec from '@kafscale/codec';
import type { Clock } from '@kafscale/core';
import type { Decoded, Encodable } from '@kafscale/codec';
import type { Lease, MetadataStore } from '@kafscale/metadata';
import { openMetadataStore } from '@kafscale/metadata';
import type { TestPostgres } from '@kafscale/testing';
import { startTestPostgres } from '@kafscale/testing';
import { afterAll, afterEach, beforeAll } from 'vitest';
import type { KafkaApi, RequestContext } from '../../src/handlers/kafka-api.js';
import { GroupManager } from '../../src/groups/group-manager.js';
import type { Coordinator } from '../../src/groups/handlers/10-find-coordinator.js';
import { groupApis } from '../../src/groups/handlers/group-apis.js';
import type { KnownTopic } from '../../src/groups/handlers/topic-directory.js';
import type { Scheduler } from '../../src/groups/scheduler.js';
import type { GroupSettings } from '../../src/groups/state/group-core.js';

/** Time that only tests move. Timers ring in `pass`. */
export class ManualTime implements Clock, Scheduler {
  nowMs = 50_000;
  readonly #timers = new Set<{ readonly atMs: number; readonly run: () => void }>();

  monotonicMs(): number {
    return this.nowMs;
  }

  wallMs(): number {
    return this.nowMs;
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { atMs: this.nowMs + Math.max(delayMs, 0), run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  get timerCount(): number {
    return this.#timers.size;
  }

  /** Timers ring when they should. */
  pass(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    for (let next = this.#due(endMs); next !== undefined; next = this.#due(endMs)) {
      this.#timers.delete(next);
      this.nowMs = Math.max(this.nowMs, next.atMs);
      next.run();
    }
    this.nowMs = endMs;
  }

  /** The process stands still: timers ring late, all at once. */
  stall(durationMs: number): void {
    this.nowMs += durationMs;
    this.pass(0);
  }

  #due(endMs: number) {
    const due = [...this.#timers].filter(({ atMs }) => atMs <= endMs);
    return due.sort((left, right) => left.atMs - right.atMs)[0];
  }
}

const messages = {
  offsetCommit: [codec.offsetCommitRequest, codec.offsetCommitResponse],
  offsetFetch: [codec.offsetFetchRequest, codec.offsetFetchResponse],
  findCoordinator: [codec.findCoordinatorRequest, codec.findCoordinatorResponse],
  joinGroup: [codec.joinGroupRequest, codec.joinGroupResponse],
  heartbeat: [codec.heartbeatRequest, codec.heartbeatResponse],
  leaveGroup: [codec.leaveGroupRequest, codec.leaveGroupResponse],
  syncGroup: [codec.syncGroupRequest, codec.syncGroupResponse],
  describeGroups: [codec.describeGroupsRequest, codec.describeGroupsResponse],
  listGroups: [codec.listGroupsRequest, codec.listGroupsResponse],
} as const;

type Messages = typeof messages;
export type ApiName = keyof Messages;
export type RequestOf<Name extends ApiName> = Encodable<Messages[Name][0]>;
export type ResponseOf<Name extends ApiName> = Decoded<Messages[Name][1]>;

/** A coordinator's group part over a real store, spoken to in encoded Kafka messages. */
export class GroupServer {
  readonly store: MetadataStore;
  readonly ownership: { lease: Lease | null; held: boolean; holds(): boolean };
  readonly time = new ManualTime();
  readonly topics = new Map<string, KnownTopic>();
  readonly manager: GroupManager;
  coordinator: Coordinator | null = { nodeId: 3, host: 'front.example', port: 9092 };
  leasesLost = 0;
  readonly #apis: ReadonlyMap<number, KafkaApi>;

  constructor(store: MetadataStore, lease: Lease, settings: Partial<GroupSettings> = {}) {
    this.store = store;
    this.ownership = { lease, held: true, holds: () => this.ownership.held };
    this.manager = new GroupManager({
      store,
      ownership: this.ownership,
      clock: this.time,
      scheduler: this.time,
      settings,
      log: { info: () => {}, warn: () => {}, error: () => {} },
      onLeaseLost: () => {
        this.leasesLost += 1;
      },
    });
    const apis = groupApis({
      manager: this.manager,
      topics: {
        byName: (name) => this.topics.get(name),
        byId: (topicId) => [...this.topics.values()].find((topic) => topic.topicId === topicId),
      },
      locateCoordinator: () => this.coordinator,
    });
    this.#apis = new Map(apis.map((api) => [api.apiKey, api]));
  }

  addTopic(name: string, partitionCount = 3): KnownTopic {
    const topic = { topicId: randomUUID(), name, partitions: { length: partitionCount } };
    this.topics.set(name, topic);
    return topic;
  }

  async call<Name extends ApiName>(
    name: Name,
    version: number,
    request: RequestOf<Name>,
    context: Partial<RequestContext> = {},
  ): Promise<ResponseOf<Name>> {
    const [requestMessage, responseMessage] = messages[name];
    const encoder: { encode(value: object, version: number): Uint8Array[] } = requestMessage;
    const api = this.#apis.get(requestMessage.apiKey)!;
    const body = Buffer.concat(encoder.encode(request, version));
    const chunks = await api.answer(body, {
      apiVersion: version,
      clientId: 'client',
      clientHost: '10.0.0.1',
      principal: 'User:ANONYMOUS',
      signal: new AbortController().signal,
      ...context,
    });
    // A caller may use its buffer again as soon as it has the answer.
    body.fill(0xee);
    return responseMessage.decode(Buffer.concat(chunks), version) as ResponseOf<Name>;
  }

  /** A JoinGroup with a consumer's usual fields. */
  join(
    request: RequestOf<'joinGroup'>,
    version = 9,
    context: Partial<RequestContext> = {},
  ): Promise<ResponseOf<'joinGroup'>> {
    const usual = {
      groupId: 'group',
      sessionTimeoutMs: 10_000,
      rebalanceTimeoutMs: 60_000,
      protocolType: 'consumer',
      protocols: [{ name: 'range', metadata: Buffer.from('subscription') }],
    };
    return this.call('joinGroup', version, { ...usual, ...request }, context);
  }

  async heartbeat(memberId: string, generationId: number, groupId = 'group'): Promise<number> {
    const request = { groupId, memberId, generationId };
    return (await this.call('heartbeat', 4, request)).errorCode;
  }

  /** Lets what was started reach the state machine: its group has to be read first. */
  async arrive(groupId = 'group'): Promise<void> {
    await this.manager.shard().find(groupId);
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }

  /** A group of `count` dynamic members that is stable. The first leads. */
  async stable(
    count: number,
    groupId = 'group',
  ): Promise<{ memberId: string; generationId: number }[]> {
    const joining = Array.from({ length: count }, () => this.join({ groupId }, 3));
    await this.arrive(groupId);
    this.time.pass(6_000);
    const joined = await Promise.all(joining);
    const leader = joined.find(({ leader: id, memberId }) => id === memberId)!;
    joined.sort((left, right) => Number(right === leader) - Number(left === leader));
    const assignments = joined.map(({ memberId }) => ({
      memberId,
      assignment: Buffer.from(`assigned to ${memberId}`),
    }));
    await Promise.all(
      joined.map(({ generationId, memberId }) =>
        this.call('syncGroup', 3, {
          groupId,
          generationId,
          memberId,
          assignments: memberId === leader.memberId ? assignments : [],
        }),
      ),
    );
    return joined;
  }

  async commit(
    offsets: Record<string, readonly (bigint | null)[]>,
    request: RequestOf<'offsetCommit'> = {},
    version = 9,
  ): Promise<number[]> {
    const topics = Object.entries(offsets).map(([name, partitions]) => ({
      name,
      partitions: partitions.flatMap((committedOffset, partitionIndex) =>
        committedOffset === null
          ? []
          : [{ partitionIndex, committedOffset, committedMetadata: `at ${committedOffset}` }],
      ),
    }));
    const response = await this.call('offsetCommit', version, {
      groupId: 'group',
      topics,
      ...request,
    });
    return response.topics.flatMap(({ partitions }) =>
      partitions.map(({ errorCode }) => errorCode),
    );
  }

  async fetch(topic: string, partitionCount = 3, groupId = 'group'): Promise<bigint[]> {
    const partitionIndexes = Array.from({ length: partitionCount }, (_, index) => index);
    const groups = [{ groupId, topics: [{ name: topic, partitionIndexes }] }];
    const response = await this.call('offsetFetch', 9, { groups });
    return response.groups[0]!.topics[0]!.partitions.map(({ committedOffset }) => committedOffset);
  }
}

export interface GroupServers {
  /** A server on a database of its own, or on that of another one, whose lease it takes over. */
  start(settings?: Partial<GroupSettings>): Promise<GroupServer>;
  /** A second process takes the shard over; the first one has not noticed. */
  takeOver(server: GroupServer, settings?: Partial<GroupSettings>): Promise<GroupServer>;
}

export function useGroupServers(): GroupServers {
  let postgres: TestPostgres | null = null;
  const stores: MetadataStore[] = [];
  const servers: GroupServer[] = [];

  beforeAll(async () => {
    const prepareTemplate = async (url: string): Promise<void> => {
      const store = await openMetadataStore({ url });
      await store.close();
    };
    postgres = await startTestPostgres({ prepareTemplate });
  });
  afterEach(async () => {
    for (const server of servers.splice(0)) server.manager.close();
    await Promise.all(stores.splice(0).map((store) => store.close()));
  });
  afterAll(async () => {
    await postgres?.stop();
  });

  const acquire = async (store: MetadataStore): Promise<Lease> => {
    const acquired = await store.acquireShard(0, randomUUID(), 60_000);
    if (acquired.kind !== 'acquired') throw new Error('the shard is taken');
    return acquired.lease;
  };

  const serve = async (
    store: MetadataStore,
    settings: Partial<GroupSettings> = {},
  ): Promise<GroupServer> => {
    const server = new GroupServer(store, await acquire(store), settings);
    servers.push(server);
    return server;
  };

  return {
    async start(settings) {
      const store = await openMetadataStore({ url: await postgres!.createDatabase() });
      stores.push(store);
      return serve(store, settings);
    },
    async takeOver(server, settings) {
      await server.store.releaseShard(server.ownership.lease!);
      const successor = await serve(server.store, settings);
      for (const [name, topic] of server.topics) successor.topics.set(name, topic);
      return successor;
    },
  };
}
