import type { Extent, FeedEvent, FeedMessage, TopicState } from '@kafscale/cluster';
import type { ExtentIndex } from './extents/extent-index.js';
import type { FetchReplica } from './replica.js';
import type { Waiters } from './read/waiters.js';

export interface FeedFollowerOptions {
  readonly replica: FetchReplica;
  readonly index: ExtentIndex;
  readonly waiters: Waiters;
}

/** Turns what the replica has applied into hot index entries and into the end of long polls. */
export class FeedFollower {
  readonly #options: FeedFollowerOptions;
  /** The replica has forgotten a deleted topic's partitions when it says so. */
  readonly #partitionsByTopic = new Map<string, readonly number[]>();
  readonly #stop: () => void;

  constructor(options: FeedFollowerOptions) {
    this.#options = options;
    this.#stop = options.replica.onEvents((message) => this.#apply(message));
  }

  close(): void {
    this.#stop();
  }

  #apply(message: FeedMessage): void {
    if (message.kind === 'events') {
      for (const event of message.events) this.#applyEvent(event);
      return;
    }
    // What happened between the last message and a snapshot is unknown, swaps of rows included.
    this.#options.index.invalidateAll();
    this.#partitionsByTopic.clear();
    for (const topic of message.topics) this.#rememberTopic(topic);
    this.#options.waiters.wakeAll();
  }

  #applyEvent(event: FeedEvent): void {
    const { index, waiters } = this.#options;
    switch (event.kind) {
      case 'committed':
        for (const extent of event.extents) this.#applyExtent(extent);
        return;
      case 'logStart':
        index.dropBefore(event.partitionId, event.logStartOffset);
        waiters.wakePartition(event.partitionId);
        return;
      case 'swapped':
        for (const range of event.ranges) index.forget(range);
        return;
      case 'topic':
        this.#rememberTopic(event.topic);
        for (const { partitionId } of event.topic.partitions) waiters.wakePartition(partitionId);
        return;
      case 'topicDeleted':
        this.#forgetTopic(event.topicId);
        return;
    }
  }

  #forgetTopic(topicId: string): void {
    const { index, waiters } = this.#options;
    const partitionIds = this.#partitionsByTopic.get(topicId);
    // A topic from before this follower began: nobody knows who waits for it, so all look again.
    if (partitionIds === undefined) return waiters.wakeAll();
    for (const partitionId of partitionIds) {
      index.invalidate(partitionId);
      waiters.wakePartition(partitionId);
    }
    this.#partitionsByTopic.delete(topicId);
  }

  #applyExtent(extent: Extent): void {
    // All batches refused: bytes in a segment, but nothing of the log.
    if (extent.nextOffset === extent.baseOffset) return;
    this.#options.index.append(extent);
    this.#options.waiters.addBytes(extent.partitionId, extent.length);
  }

  #rememberTopic(topic: TopicState): void {
    const partitionIds = topic.partitions.map(({ partitionId }) => partitionId);
    this.#partitionsByTopic.set(topic.topicId, partitionIds);
  }
}
