import { invariant } from '@kafscale/core';
import type { Extent, FeedEvent, PartitionHead, TopicState } from '../feed.js';

/** A head that moves in place: a commit costs two stores and no garbage. */
interface MovingHead extends PartitionHead {
  logStartOffset: number;
  highWatermark: number;
}

/**
 * Topics by id and by name, heads by partition id. Grows with partitions, not with history.
 *
 * With `commits` the heads follow the log, and offsets must be dense (P6). Without, heads are as of
 * the last message about their topic.
 */
export class TopicTable {
  readonly #byId = new Map<string, TopicState>();
  readonly #byName = new Map<string, TopicState>();
  readonly #heads = new Map<number, MovingHead>();
  readonly #commits: boolean;

  constructor(commits: boolean) {
    this.#commits = commits;
  }

  get topicCount(): number {
    return this.#byId.size;
  }

  get partitionCount(): number {
    return this.#heads.size;
  }

  topicById(topicId: string): TopicState | undefined {
    return this.#byId.get(topicId);
  }

  topicByName(name: string): TopicState | undefined {
    return this.#byName.get(name);
  }

  topics(): IterableIterator<TopicState> {
    return this.#byId.values();
  }

  head(partitionId: number): PartitionHead | undefined {
    return this.#heads.get(partitionId);
  }

  replaceAll(topics: readonly TopicState[]): void {
    this.#byId.clear();
    this.#byName.clear();
    this.#heads.clear();
    for (const topic of topics) this.#put(topic);
  }

  apply(event: FeedEvent): void {
    switch (event.kind) {
      case 'topic':
        return this.#put(event.topic);
      case 'topicDeleted':
        return this.#delete(event.topicId);
      case 'committed':
        for (const extent of event.extents) this.#extend(extent);
        return;
      case 'swapped':
        return; // heads stay as they are
      case 'logStart':
        return this.#moveLogStart(event.partitionId, event.logStartOffset);
    }
  }

  #put(topic: TopicState): void {
    const named = this.#byName.get(topic.name);
    invariant(
      named === undefined || named.topicId === topic.topicId,
      'a topic name is free again before another topic takes it',
    );
    const before = this.#byId.get(topic.topicId);
    const heads = topic.partitions.map((head, index): MovingHead => {
      invariant(head.partitionIndex === index, 'partitions are dense from 0');
      const known = this.#heads.get(head.partitionId);
      invariant(
        !this.#commits || known === undefined || known.highWatermark === head.highWatermark,
        'a change of a topic does not move its heads',
      );
      return { ...head };
    });
    for (const head of before?.partitions ?? []) this.#heads.delete(head.partitionId);
    for (const head of heads) this.#heads.set(head.partitionId, head);
    const state = { ...topic, partitions: heads };
    this.#byId.set(topic.topicId, state);
    this.#byName.set(topic.name, state);
  }

  #delete(topicId: string): void {
    const topic = this.#byId.get(topicId);
    if (topic === undefined) return;
    this.#byId.delete(topicId);
    this.#byName.delete(topic.name);
    for (const head of topic.partitions) this.#heads.delete(head.partitionId);
  }

  #extend(extent: Extent): void {
    const head = this.#heads.get(extent.partitionId);
    invariant(head !== undefined, 'events concern known partitions');
    invariant(extent.baseOffset === head.highWatermark, 'offsets are dense (P6)');
    invariant(extent.nextOffset >= extent.baseOffset, 'an extent does not end before it begins');
    head.highWatermark = extent.nextOffset;
  }

  #moveLogStart(partitionId: number, logStartOffset: number): void {
    const head = this.#heads.get(partitionId);
    invariant(head !== undefined, 'events concern known partitions');
    invariant(logStartOffset >= head.logStartOffset, 'a log start does not go back');
    invariant(logStartOffset <= head.highWatermark, 'a log starts within itself');
    head.logStartOffset = logStartOffset;
  }
}
