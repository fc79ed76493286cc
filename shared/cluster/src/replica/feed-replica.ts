import { isOperatingError, limits, OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { RpcLog } from '@kafscale/rpc';
import { feedPositionAtLeast } from '../feed.js';
import type {
  FeedMessage,
  FeedPosition,
  FeedSubscription,
  PartitionHead,
  TopicState,
} from '../feed.js';
import type { CoordinatorService } from '../services.js';
import { ReadIndex } from './read-index.js';
import { TopicTable } from './topic-table.js';

export interface FeedReplicaOptions {
  readonly coordinator: Pick<CoordinatorService, 'subscribe' | 'feedPosition'>;
  /** Topics only (ingest), or heads that follow the log too (fetch). */
  readonly commits: boolean;
  readonly clock: Clock;
  readonly log: RpcLog;
  readonly barrierMsMax?: number;
  readonly backoffMsMin?: number;
  readonly backoffMsMax?: number;
}

/** What health checks ask. */
export interface FeedReplicaHealth {
  /** Null before the first snapshot. */
  readonly position: FeedPosition | null;
  /** Since when no subscription delivers, or null while one does. */
  readonly disconnectedForMs: number | null;
  readonly topics: number;
  readonly partitions: number;
  readonly barriersWaiting: number;
}

/**
 * A copy of what a coordinator owns, kept by its feed: topics and the head of every partition. It is
 * exact as of its position; `barrier` tells when that position is recent enough.
 *
 * Listeners see every message after it has been applied. A snapshot says that messages may have been
 * missed: whoever derives state from events starts over.
 */
export class FeedReplica {
  readonly #options: FeedReplicaOptions;
  readonly #table: TopicTable;
  readonly #readIndex: ReadIndex;
  readonly #listeners = new Set<(message: FeedMessage) => void>();
  readonly #firstSnapshot: Promise<void>;
  #onFirstSnapshot: () => void = () => {};
  #position: FeedPosition | null = null;
  #subscription: FeedSubscription | undefined;
  /** Of the subscription that counts; what older ones still say is ignored. */
  #generation = 0;
  #isLive = false;
  #downSinceMs: number;
  #failures = 0;
  #timer: NodeJS.Timeout | undefined;
  #state: 'new' | 'started' | 'closed' = 'new';

  constructor(options: FeedReplicaOptions) {
    this.#options = options;
    this.#downSinceMs = options.clock.monotonicMs();
    this.#table = new TopicTable(options.commits);
    this.#readIndex = new ReadIndex({
      ask: () => options.coordinator.feedPosition(),
      clock: options.clock,
      ...(options.barrierMsMax === undefined ? {} : { waitMsMax: options.barrierMsMax }),
    });
    this.#firstSnapshot = new Promise((resolve) => {
      this.#onFirstSnapshot = resolve;
    });
  }

  /** Subscribes. With a coordinator in this process the first snapshot is applied on return. */
  start(): void {
    if (this.#state !== 'new') throw new OperatingError('REPLICA_STARTED', 'started already');
    this.#state = 'started';
    this.#subscribe();
  }

  /** Resolves at the first snapshot. */
  ready(): Promise<void> {
    return this.#firstSnapshot;
  }

  close(): void {
    this.#state = 'closed';
    this.#stopSubscription();
    clearTimeout(this.#timer);
    this.#readIndex.close();
    this.#listeners.clear();
  }

  topicById(topicId: string): TopicState | undefined {
    return this.#table.topicById(topicId);
  }

  /** Its partitions are live views, as `head` returns them. */
  topicByName(name: string): TopicState | undefined {
    return this.#table.topicByName(name);
  }

  topics(): IterableIterator<TopicState> {
    return this.#table.topics();
  }

  /** A live view, good until control is given back. Undefined: there is no such partition (any more). */
  head(partitionId: number): PartitionHead | undefined {
    return this.#table.head(partitionId);
  }

  /** See {@link ReadIndex.barrier}. */
  barrier(signal?: AbortSignal): Promise<void> {
    return this.#readIndex.barrier(signal);
  }

  /** Calls `listener` with every message after it has been applied, in order. Returns how to stop. */
  onEvents(listener: (message: FeedMessage) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  health(): FeedReplicaHealth {
    const nowMs = this.#options.clock.monotonicMs();
    return {
      position: this.#position,
      disconnectedForMs: this.#isLive ? null : nowMs - this.#downSinceMs,
      topics: this.#table.topicCount,
      partitions: this.#table.partitionCount,
      barriersWaiting: this.#readIndex.waiting,
    };
  }

  #subscribe(): void {
    this.#generation += 1;
    const generation = this.#generation;
    try {
      const { coordinator, commits } = this.#options;
      const subscription = coordinator.subscribe(
        { commits },
        {
          onMessage: (message) => {
            if (generation === this.#generation) this.#onMessage(message);
          },
          onClosed: (reason) => {
            if (generation === this.#generation) this.#restart(reason);
          },
        },
      );
      // The first message may have come, and been refused, before subscribe returned.
      if (generation === this.#generation) this.#subscription = subscription;
      else subscription.close();
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      this.#restart(`${error.code}: ${error.message}`);
    }
  }

  #onMessage(message: FeedMessage): void {
    const refusal = this.#refusalOf(message);
    if (refusal !== null) return this.#restart(refusal);
    if (message.kind === 'snapshot') this.#table.replaceAll(message.topics);
    else for (const event of message.events) this.#table.apply(event);
    this.#position = message.position;
    this.#isLive = true;
    this.#failures = 0;
    for (const listener of this.#listeners) listener(message);
    this.#onFirstSnapshot();
    // Last: whoever waited at the barrier finds everything that listeners derive as well.
    this.#readIndex.applied(message.position);
  }

  #refusalOf({ kind, position }: FeedMessage): string | null {
    const applied = this.#position;
    if (kind === 'snapshot') {
      // A deposed owner that does not know it yet; following it would take records back.
      if (applied === null || feedPositionAtLeast(position, applied)) return null;
      return `the snapshot at ${text(position)} is older than ${text(applied)}`;
    }
    if (applied === null || !this.#isLive) return 'the first message is not a snapshot';
    const isNext =
      position.leaseEpoch === applied.leaseEpoch && position.sequence === applied.sequence + 1;
    return isNext ? null : `a gap: ${text(position)} follows ${text(applied)}`;
  }

  #restart(reason: string): void {
    this.#stopSubscription();
    if (this.#state !== 'started') return;
    if (this.#isLive) this.#downSinceMs = this.#options.clock.monotonicMs();
    this.#isLive = false;
    if (this.#failures === 0) this.#options.log('warn', 'feed interrupted', { reason });
    const {
      backoffMsMin = limits.rpcReconnectBackoffMsMin,
      backoffMsMax = limits.rpcReconnectBackoffMsMax,
    } = this.#options;
    const ceilingMs = Math.min(backoffMsMin * 2 ** Math.min(this.#failures, 30), backoffMsMax);
    this.#failures += 1;
    this.#timer = setTimeout(() => this.#subscribe(), ceilingMs * (0.5 + Math.random() / 2));
  }

  #stopSubscription(): void {
    this.#generation += 1;
    this.#subscription?.close();
    this.#subscription = undefined;
  }
}

function text(position: FeedPosition): string {
  return `${position.leaseEpoch}/${position.sequence}`;
}
