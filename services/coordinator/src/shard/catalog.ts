import { invariant } from '@kafscale/core';
import type { Extent, FeedEvent, PartitionHead, TopicState } from '@kafscale/cluster';

interface MutableTopic {
  state: TopicState;
  readonly partitions: PartitionHead[];
}

/**
 * The owner's picture of its shard: topics and the head of every partition, as of the last event that
 * it published. Grows with partitions, not with history.
 */
export class Catalog {
  readonly #byId = new Map<string, MutableTopic>();
  readonly #byName = new Map<string, MutableTopic>();
  readonly #heads = new Map<number, { topic: MutableTopic; index: number }>();

  constructor(topics: readonly TopicState[]) {
    for (const topic of topics) this.#put(topic);
  }

  get topicCount(): number {
    return this.#byId.size;
  }

  topicById(topicId: string): TopicState | undefined {
    return current(this.#byId.get(topicId));
  }

  topicByName(name: string): TopicState | undefined {
    return current(this.#byName.get(name));
  }

  /** Every topic, in creation order. */
  topics(): TopicState[] {
    return [...this.#byId.values()].map((topic) => ({
      ...topic.state,
      partitions: [...topic.partitions],
    }));
  }

  apply(event: FeedEvent): void {
    if (event.kind === 'topic') this.#put(event.topic);
    else if (event.kind === 'topicDeleted') this.#delete(event.topicId);
    else if (event.kind === 'committed') for (const extent of event.extents) this.#extend(extent);
    else if (event.kind === 'logStart') {
      const { logStartOffset } = event;
      this.#update(event.partitionId, (head) => ({ ...head, logStartOffset }));
    }
  }

  #put(state: TopicState): void {
    this.#delete(state.topicId);
    const topic: MutableTopic = { state, partitions: [...state.partitions] };
    this.#byId.set(state.topicId, topic);
    this.#byName.set(state.name, topic);
    topic.partitions.forEach((head, index) => {
      invariant(head.partitionIndex === index, 'partitions are dense from 0');
      this.#heads.set(head.partitionId, { topic, index });
    });
  }

  #delete(topicId: string): void {
    const topic = this.#byId.get(topicId);
    if (topic === undefined) return;
    this.#byId.delete(topicId);
    if (this.#byName.get(topic.state.name) === topic) this.#byName.delete(topic.state.name);
    for (const head of topic.partitions) this.#heads.delete(head.partitionId);
  }

  #extend(extent: Extent): void {
    this.#update(extent.partitionId, (head) => {
      invariant(extent.baseOffset === head.highWatermark, 'offsets are dense (P6)');
      return { ...head, highWatermark: extent.nextOffset };
    });
  }

  #update(partitionId: number, change: (head: PartitionHead) => PartitionHead): void {
    const place = this.#heads.get(partitionId);
    const head = place?.topic.partitions[place.index];
    invariant(place !== undefined && head !== undefined, 'events concern known partitions');
    place.topic.partitions[place.index] = change(head);
  }
}

function current(topic: MutableTopic | undefined): TopicState | undefined {
  return topic && { ...topic.state, partitions: topic.partitions };
}
