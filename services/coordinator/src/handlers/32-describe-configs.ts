/**
 * DescribeConfigs (key 32), versions 1 to 4.
 *
 * Resources: topic (2) and broker (4; the name is a live front's broker id, or empty for the
 * cluster-wide defaults). Bad topic name: INVALID_TOPIC_EXCEPTION; unknown topic:
 * UNKNOWN_TOPIC_OR_PARTITION; other resource types or a bad
 * broker name: INVALID_REQUEST. `configurationKeys` null or empty means all. Synonyms (v1+), types
 * and documentation (v3+) on request.
 */
import { describeConfigsRequest, describeConfigsResponse, errorCodes } from '@kafscale/codec';
import type { DescribeConfigsRequest, DescribeConfigsResponseInput } from '@kafscale/codec';
import type { Broker } from '../cluster/leader-choice.js';
import { configTypes, topicConfigs } from '../topics/topic-configs.js';
import type { TopicAdmin } from '../topics/topic-admin.js';
import { judgeTopicName } from '../topics/topic-name.js';
import { configSources, describeTopicConfigs } from './config-entries.js';
import type { ConfigEntry } from './config-entries.js';
import { kafkaApi } from './kafka-api.js';
import type { KafkaApi } from './kafka-api.js';

/** A cluster-wide setting, as Kafka's tools expect to see it on a broker. */
export interface BrokerConfig {
  readonly name: string;
  readonly value: string;
  readonly type: number;
  readonly documentation: string;
}

export interface DescribeConfigsOptions {
  readonly topics: TopicAdmin;
  readonly brokers: () => readonly Broker[];
  readonly brokerConfigs: readonly BrokerConfig[];
}

type Question = DescribeConfigsRequest['resources'][number];
type Answer = NonNullable<DescribeConfigsResponseInput['results']>[number];

const resourceTypes = { topic: 2, broker: 4 } as const;

export function describeConfigsApi(options: DescribeConfigsOptions): KafkaApi {
  return kafkaApi(describeConfigsRequest, describeConfigsResponse, (request) => ({
    results: request.resources.map((resource) => answerResource(options, resource, request)),
  }));
}

function answerResource(
  options: DescribeConfigsOptions,
  resource: Question,
  request: DescribeConfigsRequest,
): Answer {
  const { resourceName, resourceType } = resource;
  const refused = (errorCode: number, errorMessage: string): Answer => ({
    errorCode,
    errorMessage,
    resourceType,
    resourceName,
    configs: [],
  });
  if (resourceType === resourceTypes.topic) {
    const nameComplaint = judgeTopicName(resourceName);
    if (nameComplaint !== null) {
      const message = `Topic name is invalid: ${nameComplaint}`;
      return refused(errorCodes.INVALID_TOPIC_EXCEPTION, message);
    }
    const topic = options.topics.byName(resourceName);
    if (topic === undefined) {
      return refused(errorCodes.UNKNOWN_TOPIC_OR_PARTITION, 'This topic does not exist.');
    }
    const own = options.topics.configsOf(topic.topicId);
    return answer(resource, request, describeTopicConfigs(own, topicConfigs));
  }
  if (resourceType === resourceTypes.broker) {
    if (!isBrokerName(resourceName, options.brokers())) {
      return refused(errorCodes.INVALID_REQUEST, `Unexpected broker id ${resourceName}.`);
    }
    return answer(resource, request, options.brokerConfigs.map(brokerEntry), options.brokerConfigs);
  }
  return refused(errorCodes.INVALID_REQUEST, `Unsupported resource type ${resourceType}.`);
}

function answer(
  resource: Question,
  request: DescribeConfigsRequest,
  entries: readonly ConfigEntry[],
  brokerConfigs: readonly BrokerConfig[] = [],
): Answer {
  const { configurationKeys, resourceName, resourceType } = resource;
  const wanted = new Set(configurationKeys ?? []);
  const described = new Map(
    [...topicConfigs, ...brokerConfigs].map(({ documentation, name, type }) => [
      name,
      { documentation, type },
    ]),
  );
  return {
    errorCode: errorCodes.NONE,
    errorMessage: null,
    resourceType,
    resourceName,
    configs: entries
      .filter(({ name }) => wanted.size === 0 || wanted.has(name))
      .map((entry) => ({
        ...entry,
        synonyms: request.includeSynonyms
          ? [{ name: entry.name, value: entry.value, source: entry.configSource }]
          : [],
        configType: described.get(entry.name)?.type ?? configTypes.string,
        documentation: request.includeDocumentation
          ? (described.get(entry.name)?.documentation ?? null)
          : null,
      })),
  };
}

function isBrokerName(name: string, brokers: readonly Broker[]): boolean {
  return name === '' || brokers.some(({ brokerId }) => String(brokerId) === name);
}

function brokerEntry({ name, value }: BrokerConfig): ConfigEntry {
  const configSource = configSources.staticBroker;
  return { name, value, readOnly: true, configSource, isSensitive: false };
}
