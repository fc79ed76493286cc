import { randomUUID } from 'node:crypto';
import type {
  BatchCommit,
  FeedEvent,
  FeedListener,
  FeedMessage,
  NodeGrant,
  SegmentAnswer,
  SegmentCommit,
} from '@kafscale/cluster';
import { OperatingError, systemClock } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import { openMetadataStore } from '@kafscale/metadata';
import type { MetadataStore } from '@kafscale/metadata';
import type { TestPostgres } from '@kafscale/testing';
import { startTestPostgres } from '@kafscale/testing';
import postgres from 'postgres';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { LeaseKeeper } from '../../src/shard/lease-keeper.js';
import { ShardOwner } from '../../src/shard/shard-owner.js';

const cleanups: (() => unknown)[] = [];

export const silentLog = { info: () => {}, warn: () => {}, error: () => {} };

/** The system's clock, which a test can put forward. */
export class ShiftedClock implements Clock {
  shiftMs = 0;

  monotonicMs(): number {
    return systemClock.monotonicMs() + this.shiftMs;
  }

  wallMs(): number {
    return systemClock.wallMs();
  }
}

/** One PostgreSQL server per test file. */
export function usePostgres(): { database: () => Promise<string> } {
  let server: TestPostgres | null = null;
  beforeAll(async () => {
    server = await startTestPostgres();
  });
  afterEach(async () => {
    for (const work of cleanups.splice(0).reverse()) await work();
  });
  afterAll(() => server?.stop());
  return { database: () => server!.createDatabase() };
}

export async function query(url: string, text: string) {
  const sql = postgres(url, { max: 1, fetch_types: false, onnotice: () => {} });
  try {
    return await sql.unsafe(text);
  } finally {
    await sql.end({ timeout: 1 });
  }
}

/** An owner with its keeper, as a coordinator has them, over a real store. */
export class OwnerProcess {
  readonly url: string;
  readonly store: MetadataStore;
  readonly clock = new ShiftedClock();
  readonly instanceId: string;
  readonly owner: ShardOwner;
  readonly keeper: LeaseKeeper;
  /** The next commits are carried out, and then the connection is lost. */
  answersToLose = 0;
  transactions: number[] = [];
  doubts = 0;
  ownershipChanges = 0;
  #node: NodeGrant | null = null;
  #closed = false;

  private constructor(url: string, store: MetadataStore, instanceId: string) {
    this.url = url;
    this.store = store;
    this.instanceId = instanceId;
    this.owner = new ShardOwner({
      store: this.#losing(store),
      shardId: 0,
      clock: this.clock,
      log: silentLog,
      metrics: {
        commitTransaction: (segments) => this.transactions.push(segments),
        leaseHeld: () => {},
      },
      onDoubt: () => {
        this.doubts += 1;
        if (!this.#heedsDoubt) return;
        this.#endRenewals();
        this.keeper.doubt();
      },
      onTopicDeleted: () => {},
      onOwnership: () => {
        this.ownershipChanges += 1;
      },
    });
    this.keeper = new LeaseKeeper({
      store: this.#holdingRenewals(store),
      owner: this.owner,
      shardId: 0,
      instanceId,
      log: silentLog,
      metrics: { commitTransaction: () => {}, leaseHeld: () => {} },
    });
  }

  static async open(url: string, instanceId: string = randomUUID()): Promise<OwnerProcess> {
    const store = await openMetadataStore({ url });
    const opened = new OwnerProcess(url, store, instanceId);
    cleanups.push(() => opened.close());
    return opened;
  }

  static async start(url: string, instanceId?: string): Promise<OwnerProcess> {
    const started = await OwnerProcess.open(url, instanceId);
    await started.keeper.start();
    return started;
  }

  /**
   * With a lease that nothing renews and that ends with the process, whatever the clock says: the
   * database hears of nothing but what the test does, however long that takes.
   */
  static async startForGood(url: string, instanceId?: string): Promise<OwnerProcess> {
    const started = await OwnerProcess.open(url, instanceId);
    started.#renewals = [];
    await started.keeper.start();
    return started;
  }

  /** Those that wait for the end; null: they are made. */
  #renewals: (() => void)[] | null = null;

  #endRenewals(): void {
    for (const end of this.#renewals?.splice(0) ?? []) end();
  }

  #heedsDoubt = true;

  /** Doubt is counted and nothing is done about it, so that a test can look at it. */
  ignoreDoubt(): void {
    this.#heedsDoubt = false;
  }

  /** Also when the test has closed it already. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#endRenewals();
    await this.keeper.close();
    await this.store.close();
  }

  async registerNode(): Promise<NodeGrant> {
    this.#node ??= await this.store.registerNode({
      instanceId: randomUUID(),
      roles: ['ingest'],
      zone: '',
      internalUrl: '',
      advertised: null,
    });
    return this.#node;
  }

  /** A topic with one partition; the partition's id. */
  async createTopic(name: string): Promise<number> {
    const topic = await this.owner.create({ name, partitionCount: 1, configs: new Map() });
    return topic.partitions[0]!.partitionId;
  }

  async segment(partitionId: number, ...batches: BatchCommit[]): Promise<SegmentCommit> {
    const { databaseTimeMs, incarnation, nodeId } = await this.registerNode();
    return {
      segmentId: randomUUID(),
      nodeId,
      incarnation,
      birthMs: databaseTimeMs,
      sizeBytes: 1100,
      extents: [{ partitionId, position: 0, length: 1000, batches }],
    };
  }

  /** Commits one record; the answer. */
  async append(partitionId: number): Promise<readonly SegmentAnswer[]> {
    return this.owner.commit([await this.segment(partitionId, plainBatch())]);
  }

  /** A store whose leases last, if this process is here for good. */
  #holdingRenewals(store: MetadataStore): MetadataStore {
    return new Proxy(store, {
      get: (target, name) => {
        const renewals = this.#renewals;
        if (renewals !== null && name === 'acquireShard') {
          const acquire: MetadataStore['acquireShard'] = async (...wish) => {
            const result = await target.acquireShard(...wish);
            if (result.kind === 'held') return result;
            return { ...result, lease: { ...result.lease, deadlineMs: Infinity } };
          };
          return acquire;
        }
        if (renewals !== null && name === 'renewShard') {
          const renew: MetadataStore['renewShard'] = (lease) =>
            new Promise((resolve) => {
              renewals.push(() => resolve({ ...lease, deadlineMs: Infinity }));
            });
          return renew;
        }
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
      },
    });
  }

  #losing(store: MetadataStore): MetadataStore {
    const isLost = (): boolean => {
      if (this.answersToLose === 0) return false;
      this.answersToLose -= 1;
      return true;
    };
    return new Proxy(store, {
      get(target, name) {
        if (name === 'commitSegments') {
          const commit: MetadataStore['commitSegments'] = async (lease, segments) => {
            const result = await target.commitSegments(lease, segments);
            if (!isLost()) return result;
            throw new OperatingError('METADATA_UNAVAILABLE', 'the connection was lost', {
              retriable: true,
              outcome: 'unknown',
            });
          };
          return commit;
        }
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
      },
    });
  }
}

export function plainBatch(recordCount = 1): BatchCommit {
  return {
    recordCount,
    firstTimestampMs: 1,
    maxTimestampMs: 1,
    producerId: -1,
    producerEpoch: -1,
    baseSequence: -1,
    excluded: false,
  };
}

/** A subscriber that remembers. */
export class Recorder implements FeedListener {
  readonly messages: FeedMessage[] = [];
  readonly closed: string[] = [];

  onMessage(message: FeedMessage): void {
    this.messages.push(message);
  }

  onClosed(reason: string): void {
    this.closed.push(reason);
  }

  get kinds(): string[] {
    return this.messages.map((message) =>
      message.kind === 'snapshot'
        ? 'snapshot'
        : message.events.map((event: FeedEvent) => event.kind).join('+'),
    );
  }

  get last(): FeedMessage {
    return this.messages.at(-1)!;
  }
}
