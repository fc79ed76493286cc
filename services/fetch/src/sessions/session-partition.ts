import type { FetchRequest } from '@kafscale/codec';

export type RequestedPartition = FetchRequest['topics'][number]['partitions'][number];

/** One partition that a Fetch request is about, by its request or by its session. */
export interface WantedPartition {
  /** Empty from version 13 on, which names topics by their ids. */
  readonly topic: string;
  /** Zero before version 13. */
  readonly topicId: string;
  readonly requested: RequestedPartition;
}

/** What the response would say of a wanted partition, if it spoke of it. */
export interface AnsweredPartition {
  readonly errorCode: number;
  readonly head: { readonly highWatermark: number; readonly logStartOffset: number } | null;
  readonly records: readonly Uint8Array[];
}

/** A partition of a session: what its consumer asked last, and what he was told last. */
export class SessionPartition implements WantedPartition {
  readonly topic: string;
  readonly topicId: string;
  requested: RequestedPartition;
  #highWatermark = -1;
  #logStartOffset = -1;

  constructor({ topic, topicId, requested }: WantedPartition) {
    this.topic = topic;
    this.topicId = topicId;
    this.requested = requested;
  }

  /** CachedPartition.maybeUpdateResponseData: whether an incremental response has to speak of it. */
  mustTell(answer: AnsweredPartition): boolean {
    const { highWatermark = -1, logStartOffset = -1 } = answer.head ?? {};
    return (
      answer.errorCode !== 0 ||
      hasRecords(answer) ||
      highWatermark !== this.#highWatermark ||
      logStartOffset !== this.#logStartOffset
    );
  }

  told(answer: AnsweredPartition): void {
    // No offset is like it: when the error has gone that is told as well.
    this.#highWatermark = answer.errorCode === 0 ? (answer.head?.highWatermark ?? -1) : -1;
    this.#logStartOffset = answer.head?.logStartOffset ?? -1;
  }
}

export function hasRecords({ errorCode, records }: AnsweredPartition): boolean {
  return errorCode === 0 && records.length > 0;
}
