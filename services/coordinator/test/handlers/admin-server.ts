import { randomUUID } from 'node:crypto';
import type { Api, Decoded, Encodable, Fields, Message } from '@kafscale/codec';
import { apis } from '@kafscale/codec';
import type { KafkaReply, NodeRegistration } from '@kafscale/cluster';
import { limits, systemClock } from '@kafscale/core';
import { openMetadataStore } from '@kafscale/metadata';
import type { MetadataStore } from '@kafscale/metadata';
import type { TestPostgres } from '@kafscale/testing';
import { startTestPostgres } from '@kafscale/testing';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { createCoordinator } from '../../src/coordinator.js';
import type { Coordinator, CoordinatorOptions } from '../../src/coordinator.js';

const silentLog = { info: () => {}, warn: () => {}, error: () => {} };

/** A coordinator over a real database, spoken to in encoded Kafka messages. */
export class AdminServer {
  readonly coordinator: Coordinator;
  readonly store: MetadataStore;

  constructor(coordinator: Coordinator, store: MetadataStore) {
    this.coordinator = coordinator;
    this.store = store;
  }

  async call<Request extends Fields, Response extends Fields>(
    api: Api<Request, Response>,
    request: Encodable<Message<Request>>,
    version: number = api.maxVersion,
    clientId: string | null = 'client',
  ): Promise<Decoded<Message<Response>>> {
    const reply = await this.reply(api, request, version, clientId);
    if (reply.kind !== 'response') throw new Error(`no response: ${JSON.stringify(reply)}`);
    return api.response.decode(Buffer.concat(reply.chunks), version);
  }

  reply<Request extends Fields, Response extends Fields>(
    api: Api<Request, Response>,
    request: Encodable<Message<Request>>,
    version: number = api.maxVersion,
    clientId: string | null = 'client',
  ): Promise<KafkaReply> {
    const envelope = {
      apiKey: api.key,
      apiVersion: version,
      clientId,
      clientHost: '127.0.0.1',
      principal: 'User:ANONYMOUS',
      listener: 'PLAINTEXT',
      connectionId: 'connection',
      requestNumber: 0,
      body: Buffer.concat(api.request.encode(request, version)),
    };
    return this.coordinator.handle(envelope, new AbortController().signal);
  }

  /** A live front; its broker id. */
  async addFront(port: number, zone = ''): Promise<number> {
    const registration: NodeRegistration = {
      instanceId: randomUUID(),
      roles: ['front'],
      zone,
      internalUrl: '',
      advertised: { host: 'front.example', port },
    };
    const { nodeId, nodes } = await this.coordinator.register(registration);
    return nodes.find((node) => node.nodeId === nodeId)!.brokerId!;
  }

  async createTopic(name: string, numPartitions = 1, configs: Record<string, string> = {}) {
    const entries = Object.entries(configs).map(([key, value]) => ({ name: key, value }));
    const topic = { name, numPartitions, replicationFactor: -1, configs: entries };
    const { topics } = await this.call(apis.createTopics, { topics: [topic] });
    if (topics[0]?.errorCode !== 0) throw new Error(JSON.stringify(topics));
    return topics[0].topicId;
  }

  /** Takes the shard away, as another coordinator would that thinks this one dead. */
  async depose(): Promise<void> {
    const { lease } = await this.#steal();
    await this.store.releaseShard(lease);
  }

  async #steal() {
    for (;;) {
      await this.store.database.write(
        (sql) => sql`UPDATE shards SET lease_expires_at = clock_timestamp() - interval '1 second'`,
      );
      const taken = await this.store.acquireShard(0, randomUUID(), 60_000);
      // Not if it was renewed in between.
      if (taken.kind === 'acquired') return taken;
    }
  }
}

/** One PostgreSQL server per test file; a server on a fresh database per call. */
export function useAdminServers(): (options?: Partial<CoordinatorOptions>) => Promise<AdminServer> {
  let postgres: TestPostgres | null = null;
  const opened: AdminServer[] = [];
  beforeAll(async () => {
    postgres = await startTestPostgres();
  });
  afterEach(async () => {
    for (const { coordinator, store } of opened.splice(0)) {
      await coordinator.close();
      await store.close();
    }
  });
  afterAll(() => postgres?.stop());
  return async (options = {}) => {
    const store = await openMetadataStore({ url: await postgres!.createDatabase() });
    const coordinator = createCoordinator({
      store,
      instanceId: randomUUID(),
      autoCreateTopics: true,
      partitionsDefault: 3,
      groupInitialRebalanceDelayMs: 0,
      messageBytesMax: limits.messageBytesMax,
      clock: systemClock,
      log: silentLog,
      metrics: { commitTransaction: () => {}, leaseHeld: () => {} },
      ...options,
    });
    await coordinator.start();
    const server = new AdminServer(coordinator, store);
    opened.push(server);
    return server;
  };
}

/** Every version of an API that is offered. */
export function versionsOf(api: { minVersion: number; maxVersion: number }): number[] {
  const { maxVersion, minVersion } = api;
  return Array.from({ length: maxVersion - minVersion + 1 }, (_, index) => minVersion + index);
}
