import { invariant, isOperatingError, OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type {
  FeedEvent,
  FeedListener,
  FeedOptions,
  FeedPosition,
  FeedSubscription,
  OffsetRange,
  SegmentAnswer,
  SegmentCommit,
  TopicState,
} from '@kafscale/cluster';
import { openRetentionStore } from '@kafscale/metadata';
import type {
  DeleteRecordsOutcome,
  DeleteRecordsWish,
  Lease,
  LeaseGrant,
  MetadataStore,
  TopicRecord,
} from '@kafscale/metadata';
import type { CoordinatorLog, CoordinatorMetrics } from '../observability.js';
import type { NewTopic, TopicAdmin } from '../topics/topic-admin.js';
import { topicSettings } from '../topics/topic-configs.js';
import { Catalog } from './catalog.js';
import { CommitGroup } from './commit-group.js';
import { Feed } from './feed.js';
import { SerialQueue } from './serial-queue.js';

export interface ShardOwnerOptions {
  readonly store: MetadataStore;
  readonly shardId: number;
  readonly clock: Clock;
  readonly log: CoordinatorLog;
  readonly metrics: CoordinatorMetrics;
  /** A write found the lease lost, or could not tell what became of it. */
  readonly onDoubt: () => void;
  /** The shard is owned under another epoch than before, or not any more. */
  readonly onOwnership: () => void;
  /** A topic was deleted: what it left behind can be removed. */
  readonly onTopicDeleted: () => void;
}

/** What the owner holds in memory, for one lease epoch. */
interface Owned {
  lease: LeaseGrant;
  readonly catalog: Catalog;
  readonly configs: Map<string, ReadonlyMap<string, string>>;
  readonly feed: Feed;
}

/**
 * The single writer of a shard: commits, topics, and the feed that tells of them.
 *
 * All writes run one after another. When the outcome of one is unknown, what is in memory may be
 * behind the database, so nothing more is answered from it or written until `own` has been called
 * with a new lease epoch: the acquisition waits for the transaction in doubt, and the shard is read
 * again.
 */
export class ShardOwner implements TopicAdmin {
  readonly #options: ShardOwnerOptions;
  readonly #writes = new SerialQueue();
  readonly #commits = new CommitGroup();
  #owned: Owned | null = null;
  #transactions = 0;
  #extentsCommitted = 0;

  constructor(options: ShardOwnerOptions) {
    this.#options = options;
  }

  get shardId(): number {
    return this.#options.shardId;
  }

  /** Grows with every write of the shard: who has seen the number has seen what there is. */
  get transactions(): number {
    return this.#transactions;
  }

  /** Index rows that commits have added: what background work has to keep up with. */
  get extentsCommitted(): number {
    return this.#extentsCommitted;
  }

  /** The lease as it is held now, or null. A holder may act on it until `deadlineMs`. */
  get lease(): LeaseGrant | null {
    return this.#owned?.lease ?? null;
  }

  /** Whether an answer from memory may be given now, by the local monotonic clock. */
  holds(): boolean {
    return this.#owned !== null && this.#options.clock.monotonicMs() < this.#owned.lease.deadlineMs;
  }

  /** Reads the shard and begins to serve it. Subscribers go on, with a snapshot. */
  async own(lease: LeaseGrant): Promise<void> {
    const records = await this.#options.store.loadTopics(this.#options.shardId);
    const catalog = new Catalog(records.map(topicState));
    const feed = new Feed(lease.epoch, catalog);
    const before = this.#owned?.feed;
    this.#owned = {
      lease,
      catalog,
      feed,
      configs: new Map(records.map(({ configs, topicId }) => [topicId, configs])),
    };
    if (before !== undefined) feed.adopt(before);
    this.#options.log.info({ epoch: lease.epoch, topics: records.length }, 'shard owned');
    this.#options.onOwnership();
  }

  /** A renewal that was under way when doubt arose must not restore trust: only `own` does. */
  renewed(lease: LeaseGrant): void {
    const owned = this.#owned;
    if (owned === null || isDoubted(owned) || owned.lease.epoch !== lease.epoch) return;
    owned.lease = lease;
  }

  /** Somebody else owns the shard, or nobody can tell: nothing in memory counts any more. */
  disown(reason: string): void {
    const owned = this.#owned;
    this.#owned = null;
    owned?.feed.close(reason);
    this.#options.onOwnership();
  }

  /** Waits for the writes that are under way. */
  async idle(): Promise<void> {
    await this.#writes.run(() => Promise.resolve());
  }

  // --- commits -------------------------------------------------------------------------------

  commit(segments: readonly SegmentCommit[]): Promise<readonly SegmentAnswer[]> {
    const leads = this.#commits.isEmpty;
    const answers = this.#commits.add(segments);
    // Calls that come while a transaction runs gather and share the next one.
    if (leads) this.#queueCommitGroup();
    return answers;
  }

  #queueCommitGroup(): void {
    const failAll = (error: unknown): void => {
      while (!this.#commits.isEmpty) this.#commits.take().fail(error);
    };
    this.#writes.run(() => this.#commitGroup()).catch(failAll);
  }

  async #commitGroup(): Promise<void> {
    const { clock, metrics, store } = this.#options;
    const taken = this.#commits.take();
    // Behind what waits already: however many commit, topics and retention get their turns.
    if (!this.#commits.isEmpty) this.#queueCommitGroup();
    const startedAtMs = clock.monotonicMs();
    try {
      const { feed, lease } = this.#own();
      const { answers, extents } = await store.commitSegments(lease, taken.segments);
      this.#transactions += 1;
      this.#extentsCommitted += extents.length;
      if (extents.length > 0) feed.publish([{ kind: 'committed', extents }]);
      const durationMs = clock.monotonicMs() - startedAtMs;
      metrics.commitTransaction(taken.segments.length, extents.length, durationMs);
      taken.answer(answers);
    } catch (error) {
      taken.fail(this.#doubt(error));
    }
  }

  /**
   * Tells readers that index rows were replaced under this lease. Its successor need not be told: its
   * subscribers start with a snapshot, and forget all rows.
   */
  announceSwap(lease: Lease, ranges: readonly OffsetRange[]): void {
    const owned = this.#owned;
    if (owned === null || isDoubted(owned) || owned.lease.epoch !== lease.epoch) return;
    this.#transactions += 1;
    owned.feed.publish([{ kind: 'swapped', ranges }]);
  }

  // --- reading -------------------------------------------------------------------------------

  /** The read index: every commit that has been answered is at or before it. */
  feedPosition(): FeedPosition {
    const owned = this.#own();
    if (!this.holds()) {
      throw new OperatingError('SHARD_LEASE_EXPIRED', 'the lease of the shard has run out', {
        retriable: true,
      });
    }
    return owned.feed.position;
  }

  subscribe(options: FeedOptions, listener: FeedListener): FeedSubscription {
    const { feed } = this.#own();
    const subscription = feed.subscribe(options, listener);
    // After a resync the subscriber belongs to a later feed: close it wherever it is.
    return {
      close: () => {
        subscription.close();
        this.#owned?.feed.drop(listener);
      },
    };
  }

  list(): readonly TopicState[] {
    return this.#own().catalog.topics();
  }

  byName(name: string): TopicState | undefined {
    return this.#own().catalog.topicByName(name);
  }

  byId(topicId: string): TopicState | undefined {
    return this.#own().catalog.topicById(topicId);
  }

  configsOf(topicId: string): ReadonlyMap<string, string> {
    return this.#own().configs.get(topicId) ?? new Map();
  }

  // --- topics --------------------------------------------------------------------------------

  create(topic: NewTopic): Promise<TopicState> {
    return this.#write(async ({ configs, lease }, publish) => {
      const record = await this.#options.store.createTopic(lease, topic);
      configs.set(record.topicId, record.configs);
      const state = topicState(record);
      publish({ kind: 'topic', topic: state });
      return state;
    });
  }

  delete(topicId: string): Promise<void> {
    return this.#write(async ({ configs, lease }, publish) => {
      const existed = await this.#options.store.deleteTopic(lease, topicId);
      if (!existed) throw topicUnknown(topicId);
      configs.delete(topicId);
      publish({ kind: 'topicDeleted', topicId });
      this.#options.onTopicDeleted();
    });
  }

  alterConfigs(
    topicId: string,
    change: (current: ReadonlyMap<string, string>) => ReadonlyMap<string, string>,
  ): Promise<void> {
    return this.#write(async ({ catalog, configs, lease }, publish) => {
      const altered = change(configs.get(topicId) ?? new Map());
      const existed = await this.#options.store.alterTopicConfigs(lease, topicId, altered);
      const topic = catalog.topicById(topicId);
      if (!existed || topic === undefined) throw topicUnknown(topicId);
      configs.set(topicId, altered);
      publish({ kind: 'topic', topic: { ...topic, settings: topicSettings(altered) } });
    });
  }

  // --- what other parts of the coordinator write ------------------------------------------------

  deleteRecords(wishes: readonly DeleteRecordsWish[]): Promise<readonly DeleteRecordsOutcome[]> {
    const retention = openRetentionStore(this.#options.store);
    return this.writeInTurn(async (lease) => {
      const outcomes = await retention.deleteRecords(lease, wishes);
      const events = wishes.flatMap(({ partitionId }, index): FeedEvent[] => {
        const outcome = outcomes[index];
        if (outcome?.kind !== 'done' || !outcome.moved) return [];
        return [{ kind: 'logStart', partitionId, logStartOffset: outcome.logStartOffset }];
      });
      return { result: outcomes, events };
    });
  }

  /** A transaction in turn with all others; its events are in the feed when this resolves. */
  writeInTurn<T>(
    work: (lease: Lease) => Promise<{ result: T; events: readonly FeedEvent[] }>,
  ): Promise<T> {
    return this.#writes.run(async () => {
      try {
        const { feed, lease } = this.#own();
        const { events, result } = await work(lease);
        this.#transactions += 1;
        if (events.length > 0) feed.publish(events);
        return result;
      } catch (error) {
        throw this.#doubt(error);
      }
    });
  }

  #write<T>(work: (owned: Owned, publish: (event: FeedEvent) => void) => Promise<T>): Promise<T> {
    return this.#writes.run(async () => {
      try {
        const owned = this.#own();
        const result = await work(owned, (event) => owned.feed.publish([event]));
        this.#transactions += 1;
        return result;
      } catch (error) {
        throw this.#doubt(error);
      }
    });
  }

  /** Passes the error on, and gives up what is in memory when it no longer can be trusted. */
  #doubt(error: unknown): unknown {
    if (!isOperatingError(error)) return error;
    if (error.code !== 'SHARD_LEASE_LOST' && error.outcome !== 'unknown') return error;
    this.#options.log.warn({ code: error.code, outcome: error.outcome }, 'shard in doubt');
    if (this.#owned !== null) this.#owned.lease = { ...this.#owned.lease, deadlineMs: doubted };
    this.#options.onDoubt();
    return error;
  }

  #own(): Owned {
    const owned = this.#owned;
    if (owned === null || isDoubted(owned)) {
      throw new OperatingError('SHARD_NOT_OWNED', 'this coordinator does not own the shard', {
        retriable: true,
      });
    }
    return owned;
  }
}

function topicUnknown(topicId: string): OperatingError {
  return new OperatingError('TOPIC_UNKNOWN', `there is no topic ${topicId}`);
}

/** The deadline of a lease that nothing may be answered or written under any more. */
const doubted = -Infinity;

function isDoubted(owned: Owned): boolean {
  return owned.lease.deadlineMs === doubted;
}

function topicState(record: TopicRecord): TopicState {
  const { configs, name, partitions, topicId } = record;
  invariant(partitions.length > 0, 'a topic has partitions');
  return { topicId, name, settings: topicSettings(configs), partitions };
}
