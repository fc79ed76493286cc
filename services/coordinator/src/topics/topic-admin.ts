import { errorCodes } from '@kafscale/codec';
import type { OperatingError } from '@kafscale/core';
import type { TopicState } from '@kafscale/cluster';
import type { DeleteRecordsOutcome, DeleteRecordsWish } from '@kafscale/metadata';

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
  /**
   * Replaces the configs that are set on the topic by what `change` makes of them; it may throw to
   * change nothing. In the feed when it resolves. TOPIC_UNKNOWN.
   */
  alterConfigs(
    topicId: string,
    change: (current: ReadonlyMap<string, string>) => ReadonlyMap<string, string>,
  ): Promise<void>;
  /** Moves log starts, one outcome per wish; in the feed when it resolves. */
  deleteRecords(wishes: readonly DeleteRecordsWish[]): Promise<readonly DeleteRecordsOutcome[]>;
}

const errorCodeOf = new Map<string, number>([
  ['TOPIC_ALREADY_EXISTS', errorCodes.TOPIC_ALREADY_EXISTS],
  ['TOPIC_NAME_COLLISION', errorCodes.INVALID_TOPIC_EXCEPTION],
  ['TOPIC_UNKNOWN', errorCodes.UNKNOWN_TOPIC_OR_PARTITION],
  ['SHARD_NOT_OWNED', errorCodes.NOT_CONTROLLER],
  ['SHARD_LEASE_LOST', errorCodes.NOT_CONTROLLER],
]);

/**
 * How Kafka says what went wrong with a topic operation. NOT_CONTROLLER: certainly not done, and
 * clients try again. Anything else that passes is REQUEST_TIMED_OUT: it may have been done.
 */
export function topicErrorCode(error: OperatingError): number {
  return errorCodeOf.get(error.code) ?? errorCodes.REQUEST_TIMED_OUT;
}
