import { apis, errorCodes } from '@kafscale/codec';
import { OperatingError } from '@kafscale/core';
import { kafkaError } from './kafka-client.js';
import type { KafkaClient } from './kafka-client.js';

export interface TopicToCreate {
  readonly name: string;
  /** Undefined: the server's default (KIP-464). */
  readonly partitions: number | undefined;
  readonly configs: readonly { readonly name: string; readonly value: string }[];
  readonly timeoutMs: number;
  readonly ifNotExists: boolean;
}

export interface TopicSummary {
  readonly name: string;
  readonly topicId: string;
  readonly partitionCount: number;
}

export interface TopicDescription {
  readonly name: string;
  readonly topicId: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly leader: {
      readonly nodeId: number;
      readonly host: string;
      readonly port: number;
    } | null;
    readonly leaderEpoch: number;
  }[];
  readonly configs: readonly {
    readonly name: string;
    readonly value: string | null;
    readonly isDefault: boolean;
  }[];
}

/** Kafka's `ConfigResource.Type.TOPIC` and `ConfigSource.DEFAULT_CONFIG`. */
const topicResource = 2;
const topicConfigSource = 1;

/** Returns whether it was created; errors carry Kafka's name for them, TOPIC_ALREADY_EXISTS say. */
export async function createTopic(client: KafkaClient, topic: TopicToCreate): Promise<boolean> {
  const response = await client.call(apis.createTopics, {
    topics: [
      {
        name: topic.name,
        numPartitions: topic.partitions ?? -1,
        replicationFactor: -1,
        assignments: [],
        configs: topic.configs,
      },
    ],
    timeoutMs: topic.timeoutMs,
    validateOnly: false,
  });
  const result = response.topics.find((candidate) => candidate.name === topic.name);
  if (result === undefined) throw incomplete(topic.name);
  if (result.errorCode === errorCodes.NONE) return true;
  if (result.errorCode === errorCodes.TOPIC_ALREADY_EXISTS && topic.ifNotExists) return false;
  throw kafkaError(result.errorCode, `can't create ${topic.name}`, result.errorMessage);
}

/** Deletes what it can, then fails with the first error if there was one. */
export async function deleteTopics(
  client: KafkaClient,
  names: readonly string[],
  timeoutMs: number,
): Promise<void> {
  const response = await client.call(apis.deleteTopics, {
    // One of the two lists goes out, by version.
    topics: names.map((name) => ({ name })),
    topicNames: names,
    timeoutMs,
  });
  for (const name of names) {
    const result = response.responses.find((candidate) => candidate.name === name);
    if (result === undefined) throw incomplete(name);
    if (result.errorCode !== errorCodes.NONE) {
      throw kafkaError(result.errorCode, `can't delete ${name}`, result.errorMessage);
    }
  }
}

/** By name. */
export async function listTopics(client: KafkaClient): Promise<readonly TopicSummary[]> {
  const { topics } = await client.call(apis.metadata, {
    topics: null,
    allowAutoTopicCreation: false,
  });
  return topics
    .map(({ name, topicId, partitions }) => ({
      name: name ?? '',
      topicId,
      partitionCount: partitions.length,
    }))
    .sort((left, right) => (left.name < right.name ? -1 : 1));
}

export async function describeTopic(client: KafkaClient, name: string): Promise<TopicDescription> {
  const { brokers, topics } = await client.call(apis.metadata, {
    topics: [{ name }],
    allowAutoTopicCreation: false,
  });
  const topic = topics.find((candidate) => candidate.name === name);
  if (topic === undefined) throw incomplete(name);
  if (topic.errorCode !== errorCodes.NONE) throw kafkaError(topic.errorCode, name);
  const partitions = topic.partitions
    .map(({ partitionIndex, leaderId, leaderEpoch }) => {
      const leader = brokers.find((broker) => broker.nodeId === leaderId);
      return {
        partition: partitionIndex,
        leader: leader ? { nodeId: leader.nodeId, host: leader.host, port: leader.port } : null,
        leaderEpoch,
      };
    })
    .sort((left, right) => left.partition - right.partition);
  const configs = await describeConfigs(client, name);
  return { name, topicId: topic.topicId, partitions, configs };
}

async function describeConfigs(
  client: KafkaClient,
  name: string,
): Promise<TopicDescription['configs']> {
  const { results } = await client.call(apis.describeConfigs, {
    resources: [{ resourceType: topicResource, resourceName: name, configurationKeys: null }],
    includeSynonyms: false,
    includeDocumentation: false,
  });
  const result = results.find((candidate) => candidate.resourceName === name);
  if (result === undefined) throw incomplete(name);
  if (result.errorCode !== errorCodes.NONE) {
    throw kafkaError(result.errorCode, `configs of ${name}`, result.errorMessage);
  }
  return result.configs.map((config) => ({
    name: config.name,
    value: config.value,
    isDefault: config.configSource !== topicConfigSource,
  }));
}

function incomplete(name: string): OperatingError {
  return new OperatingError('KAFKA_PROTOCOL_ERROR', `the answer says nothing about ${name}`, {
    outcome: 'unknown',
  });
}
