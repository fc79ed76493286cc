import { limits } from '@kafscale/core';
import type { BrokerConfig } from '../handlers/32-describe-configs.js';
import { configTypes, topicConfigValue } from './topic-configs.js';

/** The cluster's settings under the names that Kafka's tools know, for DescribeConfigs. */
export function brokerConfigsOf(options: {
  autoCreateTopics: boolean;
  partitionsDefault: number;
  groupInitialRebalanceDelayMs: number;
  messageBytesMax: number;
}): readonly BrokerConfig[] {
  return [
    {
      name: 'auto.create.topics.enable',
      value: String(options.autoCreateTopics),
      type: configTypes.boolean,
      documentation: 'Whether Metadata creates topics that it is asked for.',
    },
    {
      name: 'default.replication.factor',
      value: '1',
      type: configTypes.int,
      documentation: 'Always 1: the object store replicates.',
    },
    {
      name: 'group.initial.rebalance.delay.ms',
      value: String(options.groupInitialRebalanceDelayMs),
      type: configTypes.int,
      documentation: 'How long the first rebalance of an empty group waits for more members.',
    },
    {
      name: 'log.retention.bytes',
      value: defaultTopicConfig('retention.bytes'),
      type: configTypes.long,
      documentation: 'How much of a partition is kept, where the topic does not say; -1: all.',
    },
    {
      name: 'log.retention.check.interval.ms',
      value: String(limits.retentionCheckIntervalMs),
      type: configTypes.long,
      documentation: 'How often it is checked which records must go.',
    },
    {
      name: 'log.retention.ms',
      value: defaultTopicConfig('retention.ms'),
      type: configTypes.long,
      documentation: 'How long records are kept, where the topic does not say.',
    },
    {
      name: 'message.max.bytes',
      value: String(options.messageBytesMax),
      type: configTypes.int,
      documentation: 'The largest record batch, where the topic does not say.',
    },
    {
      name: 'num.partitions',
      value: String(options.partitionsDefault),
      type: configTypes.int,
      documentation: 'Partitions of topics that are created without a number.',
    },
    {
      name: 'producer.id.expiration.ms',
      value: String(limits.producerIdExpirationMs),
      type: configTypes.int,
      documentation: 'Idempotent producers that were silent for so long are forgotten.',
    },
  ];
}

function defaultTopicConfig(name: string): string {
  return topicConfigValue(new Map(), name);
}
