import { errorCodes } from '@kafscale/codec';
import type { OperatingError } from '@kafscale/core';
import type { TopicState } from '@kafscale/cluster';

export interface NewTopic {
  readonly name: string;
  readonly partitionCount: number;
  readonly configs: ReadonlyMap<string, string>;
}

/**
 * The topics of the cluster, as their owner knows and changes them. Every method fails with
 * SHARD_NOT_OWNED (retriable) while this coordinator is not the owner.
 */
export interface TopicAdmin {
  list(): readonly TopicState[];
  byName(name: string): TopicState | undefined;
  byId(topicId: string): TopicState | undefined;
  /** The configs that were set on the topic, without defaults. */
  configsOf(topicId: string): ReadonlyMap<string, string>;
  /** Committed and in the feed when it resolves. TOPIC_ALREADY_EXISTS, TOPIC_NAME_COLLISION. */
  create(topic: NewTopic): Promise<TopicState>;
  /** Gone for every front when it resolves. TOPIC_UNKNOWN. */
  delete(topicId: string): Promise<void>;
}

const errorCodeOf = new Map<string, number>([
  ['TOPIC_ALREADY_EXISTS', errorCodes.TOPIC_ALREADY_EXISTS],
  ['TOPIC_NAME_COLLISION', errorCodes.INVALID_TOPIC_EXCEPTION],
  ['TOPIC_UNKNOWN', errorCodes.UNKNOWN_TOPIC_OR_PARTITION],
]);

/** How Kafka says what went wrong with a topic operation; anything passing is REQUEST_TIMED_OUT. */
export function topicErrorCode(error: OperatingError): number {
  return errorCodeOf.get(error.code) ?? errorCodes.REQUEST_TIMED_OUT;
}
