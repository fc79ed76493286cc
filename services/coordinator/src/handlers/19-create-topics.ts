/**
 * CreateTopics (key 19), versions 2 to 7.
 *
 * - Partitions −1 (v4+): the cluster's default. Replication factor −1 or 1 only: the object store
 *   replicates; more is INVALID_REPLICATION_FACTOR, as on a Kafka with one broker per partition.
 * - Manual assignments: INVALID_REPLICA_ASSIGNMENT, there are no replicas to assign.
 * - A config that has no meaning here, or a value that can't be honoured: INVALID_CONFIG.
 * - A name twice in one request: INVALID_REQUEST for that name (Kafka's ReplicationControlManager).
 * - While nobody owns the shard: NOT_CONTROLLER, which clients try again.
 * - Answered after the topic is committed and in the feed.
 */
import { createTopicsRequest, createTopicsResponse, errorCodes, zeroUuid } from '@kafscale/codec';
import type { CreateTopicsRequest, CreateTopicsResponseInput } from '@kafscale/codec';
import { isOperatingError, limits } from '@kafscale/core';
import { judgeTopicConfigs, topicConfigs } from '../topics/topic-configs.js';
import { topicErrorCode } from '../topics/topic-admin.js';
import type { TopicAdmin } from '../topics/topic-admin.js';
import { judgeTopicName } from '../topics/topic-name.js';
import { describeTopicConfigs } from './config-entries.js';
import { kafkaApi } from './kafka-api.js';
import type { KafkaApi } from './kafka-api.js';

export interface CreateTopicsOptions {
  readonly topics: TopicAdmin;
  readonly partitionsDefault: number;
}

type Creatable = CreateTopicsRequest['topics'][number];
type Answer = NonNullable<CreateTopicsResponseInput['topics']>[number];

export function createTopicsApi(options: CreateTopicsOptions): KafkaApi {
  return kafkaApi(createTopicsRequest, createTopicsResponse, async (request) => {
    const names = new Map<string, number>();
    for (const { name } of request.topics) names.set(name, (names.get(name) ?? 0) + 1);
    const topics: Answer[] = [];
    for (const creatable of request.topics) {
      const { name } = creatable;
      if (names.get(name) === 0) continue; // a duplicate that has been answered
      if ((names.get(name) ?? 0) > 1) {
        names.set(name, 0);
        topics.push(refusal(name, errorCodes.INVALID_REQUEST, 'Duplicate topic name.'));
      } else topics.push(await answerTopic(options, creatable, request.validateOnly));
    }
    return { topics };
  });
}

async function answerTopic(
  options: CreateTopicsOptions,
  creatable: Creatable,
  validateOnly: boolean,
): Promise<Answer> {
  const { name } = creatable;
  const partitionCount =
    creatable.numPartitions === -1 ? options.partitionsDefault : creatable.numPartitions;
  try {
    const { configs, complaint } = judge(options, creatable, partitionCount);
    if (complaint !== null) return refusal(name, ...complaint);
    const other = validateOnly ? collidingTopic(options.topics, name) : undefined;
    if (other !== undefined) {
      const message = `Topic '${name}' collides with existing topic '${other}'.`;
      return refusal(name, errorCodes.INVALID_TOPIC_EXCEPTION, message);
    }
    const topicId = validateOnly
      ? zeroUuid
      : (await options.topics.create({ name, partitionCount, configs })).topicId;
    return {
      name,
      topicId,
      errorCode: errorCodes.NONE,
      errorMessage: null,
      numPartitions: partitionCount,
      replicationFactor: 1,
      configs: describeTopicConfigs(configs, topicConfigs),
    };
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    return refusal(name, topicErrorCode(error), error.message);
  }
}

/** Kafka's Topic.hasCollision. The creation itself finds it by an index; a rehearsal looks. */
function collidingTopic(topics: TopicAdmin, name: string): string | undefined {
  const plain = name.replaceAll('.', '_');
  return topics.list().find((topic) => topic.name.replaceAll('.', '_') === plain)?.name;
}

/** The ladder. */
function judge(
  { topics }: CreateTopicsOptions,
  { assignments, configs: given, name, replicationFactor }: Creatable,
  partitionCount: number,
): { configs: Map<string, string>; complaint: [code: number, message: string] | null } {
  const configs = new Map<string, string>();
  for (const { name: config, value } of given) if (value !== null) configs.set(config, value);
  const refuse = (code: number, message: string) => ({
    configs,
    complaint: [code, message] as [number, string],
  });
  const nameComplaint = judgeTopicName(name);
  if (nameComplaint !== null) {
    return refuse(errorCodes.INVALID_TOPIC_EXCEPTION, `Topic name is invalid: ${nameComplaint}`);
  }
  if (topics.byName(name) !== undefined) {
    return refuse(errorCodes.TOPIC_ALREADY_EXISTS, `Topic '${name}' already exists.`);
  }
  if (assignments.length > 0) {
    const message = 'Replicas can not be assigned: the object store replicates.';
    return refuse(errorCodes.INVALID_REPLICA_ASSIGNMENT, message);
  }
  if (partitionCount <= 0 || partitionCount > limits.topicPartitionsMax) {
    const message = `Number of partitions must be between 1 and ${limits.topicPartitionsMax}.`;
    return refuse(errorCodes.INVALID_PARTITIONS, message);
  }
  if (replicationFactor !== -1 && replicationFactor !== 1) {
    const message = 'Replication factor must be 1 or -1: the object store replicates.';
    return refuse(errorCodes.INVALID_REPLICATION_FACTOR, message);
  }
  const configComplaint = judgeTopicConfigs(configs);
  if (configComplaint !== null) return refuse(errorCodes.INVALID_CONFIG, configComplaint);
  return { configs, complaint: null };
}

function refusal(name: string, errorCode: number, errorMessage: string): Answer {
  return { name, topicId: zeroUuid, errorCode, errorMessage, configs: [] };
}
