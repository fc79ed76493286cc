import { invariant, isOperatingError, OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type {
  FeedEvent,
  FeedListener,
  FeedOptions,
  FeedPosition,
  FeedSubscription,
  SegmentAnswer,
  SegmentCommit,
  TopicState,
} from '@kafscale/cluster';
import type { LeaseGrant, MetadataStore, TopicRecord } from '@kafscale/metadata';
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

  constructor(options: ShardOwnerOptions) {
    this.#options = options;
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
    if (leads) void this.#writes.run(() => this.#commitGroup());
    return answers;
  }

  async #commitGroup(): Promise<void> {
    const { clock, metrics, store } = this.#options;
    while (!this.#commits.isEmpty) {
      const taken = this.#commits.take();
      const startedAtMs = clock.monotonicMs();
      try {
        const { feed, lease } = this.#own();
        const { answers, extents } = await store.commitSegments(lease, taken.segments);
        if (extents.length > 0) feed.publish([{ kind: 'committed', extents }]);
        const durationMs = clock.monotonicMs() - startedAtMs;
        metrics.commitTransaction(taken.segments.length, extents.length, durationMs);
        taken.answer(answers);
      } catch (error) {
        taken.fail(this.#doubt(error));
      }
    }
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
      if (!existed) throw new OperatingError('TOPIC_UNKNOWN', `there is no topic ${topicId}`);
      configs.delete(topicId);
      publish({ kind: 'topicDeleted', topicId });
      this.#options.onTopicDeleted();
    });
  }

  #write<T>(work: (owned: Owned, publish: (event: FeedEvent) => void) => Promise<T>): Promise<T> {
    return this.#writes.run(async () => {
      try {
        const owned = this.#own();
        return await work(owned, (event) => owned.feed.publish([event]));
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
