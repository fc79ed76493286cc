/**
 * OffsetCommit (key 8), versions 2 to 10.
 *
 * - Answered when the offsets are durable, in one transaction that checks the shard's epoch. They
 *   are kept by topic id, so a topic that was deleted and made again starts without any.
 * - Generation −1: an administrator or a consumer without a group, accepted while the group has no
 *   members, and then it may be empty or new. Else UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID (v7+),
 *   ILLEGAL_GENERATION, or REBALANCE_IN_PROGRESS, for all partitions. An unknown group with a
 *   generation is ILLEGAL_GENERATION in all versions (Kafka: GROUP_ID_NOT_FOUND from v9 on, which
 *   is fatal to consumers; here a group that never got stable does not survive a restart).
 * - Per partition: UNKNOWN_TOPIC_OR_PARTITION, v10+ UNKNOWN_TOPIC_ID; OFFSET_METADATA_TOO_LARGE.
 * - v2 to v4 carry a retention time; offsets do not expire by it.
 */
import { errorCodes, offsetCommitRequest, offsetCommitResponse } from '@kafscale/codec';
import type { OffsetCommitRequest, OffsetCommitResponseInput } from '@kafscale/codec';
import { limits } from '@kafscale/core';
import type { StoredOffset } from '@kafscale/metadata';
import type { KafkaApi } from '../../handlers/kafka-api.js';
import { kafkaApi } from '../../handlers/kafka-api.js';
import { kafkaErrorCode } from '../group-errors.js';
import type { GroupManager } from '../group-manager.js';
import type { GroupShard } from '../group-shard.js';
import type { LiveGroup } from '../live-group.js';
import type { KnownTopic, TopicDirectory } from './topic-directory.js';

type Topic = OffsetCommitRequest['topics'][number];
type Partition = Topic['partitions'][number];

export function offsetCommitApi(manager: GroupManager, topics: TopicDirectory): KafkaApi {
  return kafkaApi(offsetCommitRequest, offsetCommitResponse, async (request, context) => {
    const offsets: StoredOffset[] = [];
    let errorCode: number = errorCodes.NONE;
    let judged: Judged = new Map();
    try {
      const shard = manager.shard();
      const group = await findGroup(shard, request);
      judged = judge(topics, request, context.apiVersion, offsets);
      errorCode = admit(group, request);
      const isWritten = errorCode === errorCodes.NONE && offsets.length > 0;
      if (isWritten) await shard.commitOffsets(request.groupId, offsets);
    } catch (error) {
      errorCode = kafkaErrorCode(error);
    }
    return responseOf(request, judged, errorCode);
  });
}

/** A partition's own error; those without one are part of the commit and have its error. */
type Judged = Map<Partition, number>;

function judge(
  topics: TopicDirectory,
  request: OffsetCommitRequest,
  apiVersion: number,
  offsets: StoredOffset[],
): Judged {
  const judged: Judged = new Map();
  for (const topic of request.topics) {
    const known = apiVersion >= 10 ? topics.byId(topic.topicId) : topics.byName(topic.name);
    for (const partition of topic.partitions) {
      const errorCode = judgePartition(known, partition, apiVersion);
      if (errorCode !== errorCodes.NONE) judged.set(partition, errorCode);
      else if (known !== undefined) offsets.push(offsetOf(known, partition));
    }
  }
  return judged;
}

function judgePartition(
  topic: KnownTopic | undefined,
  { committedMetadata, partitionIndex }: Partition,
  apiVersion: number,
): number {
  if (topic === undefined) {
    const { UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION } = errorCodes;
    return apiVersion >= 10 ? UNKNOWN_TOPIC_ID : UNKNOWN_TOPIC_OR_PARTITION;
  }
  if (partitionIndex < 0 || partitionIndex >= topic.partitions.length) {
    return errorCodes.UNKNOWN_TOPIC_OR_PARTITION;
  }
  // Kafka counts UTF-16 units.
  if ((committedMetadata ?? '').length > limits.offsetMetadataBytesMax) {
    return errorCodes.OFFSET_METADATA_TOO_LARGE;
  }
  return errorCodes.NONE;
}

function offsetOf({ topicId }: KnownTopic, partition: Partition): StoredOffset {
  return {
    topicId,
    partitionIndex: partition.partitionIndex,
    committedOffset: partition.committedOffset,
    leaderEpoch: partition.committedLeaderEpoch,
    metadata: partition.committedMetadata ?? '',
  };
}

/** The group id may be empty here, as in Kafka. Null: there is no such group. */
async function findGroup(
  shard: GroupShard,
  { generationIdOrMemberEpoch, groupId }: OffsetCommitRequest,
): Promise<LiveGroup | null> {
  if (groupId.includes('\u0000')) return null;
  return generationIdOrMemberEpoch < 0 ? shard.findOrCreate(groupId) : shard.find(groupId);
}

function admit(group: LiveGroup | null, request: OffsetCommitRequest): number {
  const { generationIdOrMemberEpoch, groupId, groupInstanceId, memberId } = request;
  if (groupId.includes('\u0000')) return errorCodes.INVALID_GROUP_ID;
  if (group === null) return errorCodes.ILLEGAL_GENERATION;
  const generationId = generationIdOrMemberEpoch;
  return group.checkOffsetCommit({ memberId, groupInstanceId, generationId });
}

function responseOf(
  request: OffsetCommitRequest,
  judged: Judged,
  errorCode: number,
): OffsetCommitResponseInput {
  return {
    topics: request.topics.map(({ name, partitions, topicId }) => ({
      name,
      topicId,
      partitions: partitions.map((partition) => ({
        partitionIndex: partition.partitionIndex,
        errorCode: judged.get(partition) ?? errorCode,
      })),
    })),
  };
}
