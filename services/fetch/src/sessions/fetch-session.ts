import { type FetchRequest } from '@kafscale/codec';
import {
  type AnsweredPartition,
  hasRecords,
  SessionPartition,
  type WantedPartition,
} from './session-partition.js';

/** FetchMetadata: the epochs of requests that name all of their partitions. */
export const initialEpoch = 0;
export const finalEpoch = -1;
const epochMax = 0x7fff_ffff;

/** FetchMetadata.nextEpoch */
export function nextEpoch(epoch: number): number {
  if (epoch < 0) return finalEpoch;
  return epoch === epochMax ? 1 : epoch + 1;
}

export interface FetchSessionOptions {
  readonly id: number;
  readonly createdMs: number;
  /** Its requests name topics by their ids (version 13 and later); it never changes. */
  readonly usesTopicIds: boolean;
}

/**
 * The partitions that one consumer reads, so that its requests and their responses name only those
 * that have changed (KIP-227).
 */
export class FetchSession {
  readonly id: number;
  readonly createdMs: number;
  readonly usesTopicIds: boolean;
  /** Of the next request. */
  epoch = nextEpoch(initialEpoch);
  /** As counted by the cache, at the last use. */
  countedSize = 0;
  /** As of the last use, it had lived for so long that larger ones may take its place. */
  isEvictable = false;
  lastUsedMs: number;
  /** In the order in which they are served: who got records goes to the end. */
  readonly #order = new Set<SessionPartition>();
  readonly #byTopic = new Map<string, Map<number, SessionPartition>>();

  constructor({ id, createdMs, usesTopicIds }: FetchSessionOptions) {
    this.id = id;
    this.createdMs = createdMs;
    this.lastUsedMs = createdMs;
    this.usesTopicIds = usesTopicIds;
  }

  get size(): number {
    return this.#order.size;
  }

  /** A copy: it stays as it is while the session goes on. */
  partitions(): readonly SessionPartition[] {
    return [...this.#order];
  }

  /** Adds it, or takes over what is asked of it now. */
  put(wanted: WantedPartition): SessionPartition {
    const topicKey = this.#keyOf(wanted);
    const known = this.#byTopic.get(topicKey)?.get(wanted.requested.partition);
    if (known !== undefined) {
      known.requested = wanted.requested;
      return known;
    }
    const partition = new SessionPartition(wanted);
    const ofTopic = this.#byTopic.get(topicKey) ?? new Map<number, SessionPartition>();
    ofTopic.set(wanted.requested.partition, partition);
    this.#byTopic.set(topicKey, ofTopic);
    this.#order.add(partition);
    return partition;
  }

  forget(topics: FetchRequest['forgottenTopicsData']): void {
    for (const topic of topics) {
      const topicKey = this.#keyOf(topic);
      const ofTopic = this.#byTopic.get(topicKey);
      for (const partitionIndex of topic.partitions) {
        const partition = ofTopic?.get(partitionIndex);
        if (partition === undefined) continue;
        ofTopic?.delete(partitionIndex);
        this.#order.delete(partition);
      }
      if (ofTopic?.size === 0) this.#byTopic.delete(topicKey);
    }
  }

  /**
   * What an incremental response says, out of what it could say of {@link partitions}: new records,
   * errors, changed high watermarks and log starts. It counts as told from now on.
   */
  tell<Answer extends AnsweredPartition>(
    partitions: readonly SessionPartition[],
    answers: readonly Answer[],
  ): readonly Answer[] {
    return answers.filter((answer, index) => {
      const partition = partitions[index];
      if (partition === undefined || !partition.mustTell(answer)) return false;
      partition.told(answer);
      if (hasRecords(answer)) this.#moveToEnd(partition);
      return true;
    });
  }

  #moveToEnd(partition: SessionPartition): void {
    if (this.#order.delete(partition)) this.#order.add(partition);
  }

  #keyOf({ topic, topicId }: { readonly topic: string; readonly topicId: string }): string {
    return this.usesTopicIds ? topicId : topic;
  }
}
