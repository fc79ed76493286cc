/**
 * Metadata (key 3), versions 0 to 12.
 *
 * - Topics: v0 empty = all; v1+ null = all, empty = none. v12 may ask by topic id; an unknown one
 *   gets UNKNOWN_TOPIC_ID. v10 and v11 must not use ids (Kafka: INVALID_REQUEST; here: the name).
 * - An unknown name is created and returned in this same answer when the request and the cluster
 *   allow it; else UNKNOWN_TOPIC_OR_PARTITION, or INVALID_TOPIC_EXCEPTION for a bad name.
 * - While nobody owns the shard: LEADER_NOT_AVAILABLE per named topic; a request for all topics closes
 *   the connection, because a list without them would say that they are gone.
 * - Every live front is a broker, and any of them can lead any partition. Leaders are spread over
 *   the fronts of the client's zone; the leader epoch is the partition's own (design §3, Routing).
 * - The controller is a live front: it passes admin requests on.
 */
import { errorCodes, metadataRequest, metadataResponse, zeroUuid } from '@kafscale/codec';
import type { MetadataRequest, MetadataResponseInput } from '@kafscale/codec';
import { isOperatingError } from '@kafscale/core';
import type { TopicState } from '@kafscale/cluster';
import { brokersNear, chooseLeader, zoneOfClient } from '../cluster/leader-choice.js';
import type { Broker } from '../cluster/leader-choice.js';
import { topicErrorCode } from '../topics/topic-admin.js';
import type { TopicAdmin } from '../topics/topic-admin.js';
import { judgeTopicName } from '../topics/topic-name.js';
import { kafkaApi } from './kafka-api.js';
import type { KafkaApi, RequestContext } from './kafka-api.js';

export interface MetadataOptions {
  readonly topics: TopicAdmin;
  readonly brokers: () => readonly Broker[];
  readonly clusterId: () => string;
  readonly autoCreateTopics: boolean;
  readonly partitionsDefault: number;
}

type TopicAnswer = NonNullable<MetadataResponseInput['topics']>[number];
type TopicQuestion = NonNullable<MetadataRequest['topics']>[number];

export function metadataApi(options: MetadataOptions): KafkaApi {
  return kafkaApi(metadataRequest, metadataResponse, async (request, context) => {
    const brokers = options.brokers();
    const near = brokersNear(brokers, zoneOfClient(context.clientId));
    const topics: TopicAnswer[] = [];
    if (asksForAll(request, context)) {
      for (const topic of options.topics.list()) topics.push(describeTopic(topic, near));
    } else {
      const create = options.autoCreateTopics && request.allowAutoTopicCreation;
      for (const question of request.topics ?? []) {
        topics.push(await answerTopic(options, question, { create, near }));
      }
    }
    return {
      brokers: brokers.map(({ brokerId, host, port, zone }) => ({
        nodeId: brokerId,
        host,
        port,
        rack: zone === '' ? null : zone,
      })),
      clusterId: options.clusterId(),
      controllerId: near[0]?.brokerId ?? -1,
      topics,
    };
  });
}

function asksForAll({ topics }: MetadataRequest, { apiVersion }: RequestContext): boolean {
  return topics === null || (apiVersion === 0 && topics.length === 0);
}

async function answerTopic(
  options: MetadataOptions,
  question: TopicQuestion,
  how: { create: boolean; near: readonly Broker[] },
): Promise<TopicAnswer> {
  try {
    return await findOrCreateTopic(options, question, how);
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    // Who owns the topics is being decided. Closing would cost the client its other requests.
    return { ...question, errorCode: errorCodes.LEADER_NOT_AVAILABLE };
  }
}

async function findOrCreateTopic(
  { topics, partitionsDefault }: MetadataOptions,
  { name, topicId }: TopicQuestion,
  how: { create: boolean; near: readonly Broker[] },
): Promise<TopicAnswer> {
  if (name === null) {
    const known = topics.byId(topicId);
    if (known !== undefined) return describeTopic(known, how.near);
    return { errorCode: errorCodes.UNKNOWN_TOPIC_ID, name: null, topicId };
  }
  const known = topics.byName(name);
  if (known !== undefined) return describeTopic(known, how.near);
  const refused = (errorCode: number): TopicAnswer => ({ errorCode, name, topicId: zeroUuid });
  if (judgeTopicName(name) !== null) return refused(errorCodes.INVALID_TOPIC_EXCEPTION);
  if (!how.create) return refused(errorCodes.UNKNOWN_TOPIC_OR_PARTITION);
  try {
    const topic = { name, partitionCount: partitionsDefault, configs: new Map<string, string>() };
    return describeTopic(await topics.create(topic), how.near);
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    const created = topics.byName(name); // by somebody else, at the same time
    return created ? describeTopic(created, how.near) : refused(topicErrorCode(error));
  }
}

function describeTopic(topic: TopicState, brokers: readonly Broker[]): TopicAnswer {
  return {
    errorCode: errorCodes.NONE,
    name: topic.name,
    topicId: topic.topicId,
    isInternal: false,
    partitions: topic.partitions.map(({ leaderEpoch, partitionIndex }) => {
      const leader = chooseLeader(brokers, `${topic.topicId}/${partitionIndex}`);
      const replicas = leader === undefined ? [] : [leader.brokerId];
      return {
        errorCode: leader === undefined ? errorCodes.LEADER_NOT_AVAILABLE : errorCodes.NONE,
        partitionIndex,
        leaderId: leader?.brokerId ?? -1,
        leaderEpoch,
        replicaNodes: replicas,
        isrNodes: replicas,
      };
    }),
  };
}
