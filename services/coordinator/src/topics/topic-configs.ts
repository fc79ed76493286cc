import { limits } from '@kafscale/core';
import type { TopicSettings } from '@kafscale/cluster';
import type { RetentionPolicy } from '@kafscale/metadata';

/** Kafka's ConfigDef.Type as DescribeConfigs v3+ numbers it (DescribeConfigsResponse.ConfigType). */
export const configTypes = { boolean: 1, string: 2, int: 3, long: 5, list: 7 } as const;

export interface TopicConfig {
  readonly name: string;
  readonly type: number;
  readonly defaultValue: string;
  readonly documentation: string;
  /** What is wrong with a value, or null. */
  readonly judge: (value: string) => string | null;
}

const maxLong = '9223372036854775807';

/**
 * The topic configs that mean something here. Anything else is refused with INVALID_CONFIG rather
 * than stored and ignored. Defaults are those of Apache Kafka 4.
 */
export const topicConfigs: readonly TopicConfig[] = [
  {
    name: 'cleanup.policy',
    type: configTypes.list,
    defaultValue: 'delete',
    documentation: 'Only "delete": compacted topics are not supported.',
    judge: oneOf(['delete']),
  },
  {
    name: 'compression.type',
    type: configTypes.string,
    defaultValue: 'producer',
    documentation: 'Only "producer": batches are stored as they were sent.',
    judge: oneOf(['producer']),
  },
  {
    name: 'kafscale.flush.ms',
    type: configTypes.int,
    defaultValue: '-1',
    documentation:
      'How long a record batch may wait for others before it is written, in milliseconds; ' +
      '0: as short as can be; -1: the flush interval of the ingest node.',
    judge: integerBetween(-1n, BigInt(limits.flushIntervalMsMax)),
  },
  {
    name: 'max.message.bytes',
    type: configTypes.int,
    defaultValue: String(limits.messageBytesMax),
    documentation: 'The largest record batch that is taken, in bytes, after compression.',
    judge: integerBetween(0n, BigInt(limits.requestBytesMax)),
  },
  {
    name: 'message.timestamp.after.max.ms',
    type: configTypes.long,
    defaultValue: '3600000',
    documentation: 'How far ahead of the server a record timestamp may be.',
    judge: integerBetween(0n, BigInt(maxLong)),
  },
  {
    name: 'message.timestamp.before.max.ms',
    type: configTypes.long,
    defaultValue: maxLong,
    documentation: 'How far behind the server a record timestamp may be.',
    judge: integerBetween(0n, BigInt(maxLong)),
  },
  {
    name: 'message.timestamp.type',
    type: configTypes.string,
    defaultValue: 'CreateTime',
    documentation: 'CreateTime or LogAppendTime.',
    judge: oneOf(['CreateTime', 'LogAppendTime']),
  },
  {
    name: 'retention.bytes',
    type: configTypes.long,
    defaultValue: '-1',
    documentation: 'The oldest records go while a partition is larger; -1: no limit.',
    judge: integerBetween(-1n, BigInt(maxLong)),
  },
  {
    name: 'retention.ms',
    type: configTypes.long,
    defaultValue: '604800000',
    documentation: 'Records go when they are older, by their timestamps; -1: never.',
    judge: integerBetween(-1n, BigInt(maxLong)),
  },
];

const byName = new Map(topicConfigs.map((config) => [config.name, config]));

/** The first thing that is wrong with the configs of a topic, or null. */
export function judgeTopicConfigs(configs: ReadonlyMap<string, string>): string | null {
  for (const [name, value] of configs) {
    const config = byName.get(name);
    if (config === undefined) return `Unknown topic config name: ${name}`;
    const complaint = config.judge(value);
    if (complaint !== null) return `Invalid value ${value} for configuration ${name}: ${complaint}`;
  }
  return null;
}

export function topicConfigValue(configs: ReadonlyMap<string, string>, name: string): string {
  return configs.get(name) ?? byName.get(name)?.defaultValue ?? '';
}

/** The configs as the data path obeys them. */
export function topicSettings(configs: ReadonlyMap<string, string>): TopicSettings {
  const value = (name: string): string => topicConfigValue(configs, name);
  return {
    messageBytesMax: Number(value('max.message.bytes')),
    timestampType:
      value('message.timestamp.type') === 'LogAppendTime' ? 'LogAppendTime' : 'CreateTime',
    timestampBeforeMsMax: Number(value('message.timestamp.before.max.ms')),
    timestampAfterMsMax: Number(value('message.timestamp.after.max.ms')),
    flushMs: Number(value('kafscale.flush.ms')),
  };
}

/** How long and how much of a topic is kept, per partition. */
export function retentionPolicy(configs: ReadonlyMap<string, string>): RetentionPolicy {
  return {
    retentionMs: Number(topicConfigValue(configs, 'retention.ms')),
    retentionBytes: Number(topicConfigValue(configs, 'retention.bytes')),
  };
}

export function topicConfigByName(name: string): TopicConfig | undefined {
  return byName.get(name);
}

function oneOf(values: readonly string[]) {
  return (value: string): string | null =>
    values.includes(value) ? null : `it must be one of ${values.join(', ')}`;
}

function integerBetween(min: bigint, max: bigint) {
  return (value: string): string | null => {
    if (!/^-?\d{1,19}$/.test(value)) return 'it is not an integer';
    const number = BigInt(value);
    return number >= min && number <= max ? null : `it must be between ${min} and ${max}`;
  };
}
