/**
 * DeleteRecords (key 21), versions 0 to 2.
 *
 * - Offset −1: up to the high watermark. At or below the log start: success, nothing moves. Negative or
 *   beyond the high watermark: OFFSET_OUT_OF_RANGE (Partition.deleteRecordsOnLeader).
 * - Unknown topic or partition: UNKNOWN_TOPIC_OR_PARTITION. While nobody owns the shard:
 *   NOT_LEADER_OR_FOLLOWER, which clients try again. Low watermark −1 with every error.
 * - Any offset will do, also within a batch: readers get the whole batch and skip, as with Kafka.
 * - Answered when the new log start is committed and in the feed: no later Fetch, on any front, reads
 *   below it. The request's timeout is for Kafka's replicas, which do not exist here.
 * - A partition that is named twice: the last one counts (KafkaApis makes a map of them).
 */
import { deleteRecordsRequest, deleteRecordsResponse, errorCodes } from '@kafscale/codec';
import type { DeleteRecordsRequest, DeleteRecordsResponseInput } from '@kafscale/codec';
import { isOperatingError } from '@kafscale/core';
import type { OperatingError } from '@kafscale/core';
import type { DeleteRecordsOutcome, DeleteRecordsWish } from '@kafscale/metadata';
import type { TopicAdmin } from '../topics/topic-admin.js';
import { kafkaApi } from './kafka-api.js';
import type { KafkaApi } from './kafka-api.js';

export interface DeleteRecordsOptions {
  readonly topics: TopicAdmin;
  /** Log starts have moved: there are index rows to remove. */
  readonly onDeleted: (partitionIds: readonly number[]) => void;
}

type TopicAnswer = NonNullable<DeleteRecordsResponseInput['topics']>[number];

const unknownLowWatermark = -1n;

export function deleteRecordsApi(options: DeleteRecordsOptions): KafkaApi {
  return kafkaApi(deleteRecordsRequest, deleteRecordsResponse, async (request) => {
    const outcomeOf = await deleteAll(options, request);
    return {
      topics: request.topics.map(({ name, partitions }): TopicAnswer => {
        const answers = partitions.map(({ partitionIndex }) => ({
          partitionIndex,
          ...answerOf(outcomeOf(name, partitionIndex)),
        }));
        return { name, partitions: answers };
      }),
    };
  });
}

type Outcome = DeleteRecordsOutcome | { readonly kind: 'failed'; readonly errorCode: number };

async function deleteAll(
  { onDeleted, topics }: DeleteRecordsOptions,
  request: DeleteRecordsRequest,
): Promise<(topicName: string, partitionIndex: number) => Outcome> {
  try {
    const partitionIds = new Map(request.topics.map(({ name }) => [name, idsOf(topics, name)]));
    const wishes = wishesOf(request, partitionIds);
    const outcomes = wishes.length === 0 ? [] : await topics.deleteRecords(wishes);
    const byId = new Map(wishes.map((wish, index) => [wish.partitionId, outcomes[index]]));
    onDeleted([...byId.keys()]);
    return (topicName, partitionIndex) => {
      const partitionId = partitionIds.get(topicName)?.[partitionIndex] ?? -1;
      return byId.get(partitionId) ?? { kind: 'unknown' };
    };
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    const errorCode = errorCodeOf(error);
    return () => ({ kind: 'failed', errorCode });
  }
}

/** Partition ids by partition index; none of a topic that does not exist. */
function idsOf(topics: TopicAdmin, name: string): readonly number[] {
  return (topics.byName(name)?.partitions ?? []).map(({ partitionId }) => partitionId);
}

function wishesOf(
  request: DeleteRecordsRequest,
  partitionIds: ReadonlyMap<string, readonly number[]>,
): DeleteRecordsWish[] {
  const offsets = new Map<number, number>();
  for (const { name, partitions } of request.topics) {
    for (const { offset, partitionIndex } of partitions) {
      const partitionId = partitionIds.get(name)?.[partitionIndex];
      // Beyond 2^53 the conversion is inexact, and out of range all the same.
      if (partitionId !== undefined) offsets.set(partitionId, Number(offset));
    }
  }
  return [...offsets].map(([partitionId, offset]) => ({ partitionId, offset }));
}

/** A log start that was moved twice is where it was moved to, so anything may be tried again. */
function errorCodeOf(error: OperatingError): number {
  return error.code.startsWith('SHARD_')
    ? errorCodes.NOT_LEADER_OR_FOLLOWER
    : errorCodes.REQUEST_TIMED_OUT;
}

function answerOf(outcome: Outcome): { lowWatermark: bigint; errorCode: number } {
  if (outcome.kind === 'done') {
    return { lowWatermark: BigInt(outcome.logStartOffset), errorCode: errorCodes.NONE };
  }
  const errorCode = outcome.kind === 'failed' ? outcome.errorCode : refusals[outcome.kind];
  return { lowWatermark: unknownLowWatermark, errorCode };
}

const refusals = {
  outOfRange: errorCodes.OFFSET_OUT_OF_RANGE,
  unknown: errorCodes.UNKNOWN_TOPIC_OR_PARTITION,
} as const;
