import { addSafe } from '@kafscale/core';
import type {
  FeedEvent,
  FeedListener,
  FeedOptions,
  FeedPosition,
  FeedSubscription,
} from '@kafscale/cluster';
import type { Catalog } from './catalog.js';

interface Subscriber {
  readonly options: FeedOptions;
  readonly listener: FeedListener;
}

/**
 * Numbers what the owner commits and hands it to the subscribers, synchronously: when `publish`
 * returns, every subscriber in this process has applied the events, and every other one has them in
 * its stream, ahead of any answer that is sent afterwards.
 *
 * The number lives in memory, in commit order, and starts anew with every lease epoch: a database
 * sequence is not in commit order.
 */
export class Feed {
  readonly #leaseEpoch: number;
  readonly #catalog: Catalog;
  readonly #subscribers = new Set<Subscriber>();
  #sequence = 0;

  constructor(leaseEpoch: number, catalog: Catalog) {
    this.#leaseEpoch = leaseEpoch;
    this.#catalog = catalog;
  }

  get position(): FeedPosition {
    return { leaseEpoch: this.#leaseEpoch, sequence: this.#sequence };
  }

  get subscribers(): number {
    return this.#subscribers.size;
  }

  subscribe(options: FeedOptions, listener: FeedListener): FeedSubscription {
    const subscriber: Subscriber = { options, listener };
    this.#subscribers.add(subscriber);
    const { position } = this;
    listener.onMessage({ kind: 'snapshot', position, topics: this.#catalog.topics() });
    return { close: () => void this.#subscribers.delete(subscriber) };
  }

  /** Applies the events to the catalog and tells everybody. */
  publish(events: readonly FeedEvent[]): void {
    for (const event of events) this.#catalog.apply(event);
    this.#sequence = addSafe(this.#sequence, 1);
    const { position } = this;
    const topicEvents = events.filter((event) => !isCommitEvent(event));
    // A subscriber without commits still gets the position: its barrier waits for it.
    for (const { options, listener } of this.#subscribers) {
      listener.onMessage({
        kind: 'events',
        position,
        events: options.commits ? events : topicEvents,
      });
    }
  }

  /** Takes over the subscribers of the feed before it. They go on with a snapshot. */
  adopt(before: Feed): void {
    const { position } = this;
    for (const subscriber of before.#subscribers) {
      this.#subscribers.add(subscriber);
      subscriber.listener.onMessage({
        kind: 'snapshot',
        position,
        topics: this.#catalog.topics(),
      });
    }
    before.#subscribers.clear();
  }

  drop(listener: FeedListener): void {
    for (const subscriber of this.#subscribers) {
      if (subscriber.listener === listener) this.#subscribers.delete(subscriber);
    }
  }

  /** Ends every subscription: what comes next starts with a snapshot. */
  close(reason: string): void {
    const subscribers = [...this.#subscribers];
    this.#subscribers.clear();
    for (const { listener } of subscribers) listener.onClosed(reason);
  }
}

function isCommitEvent({ kind }: FeedEvent): boolean {
  return kind === 'committed' || kind === 'logStart' || kind === 'swapped';
}
