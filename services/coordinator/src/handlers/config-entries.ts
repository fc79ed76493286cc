import type { TopicConfig } from '../topics/topic-configs.js';

/** Kafka's ConfigSource (DescribeConfigsResponse). */
export const configSources = { topic: 1, staticBroker: 4, default: 5 } as const;

export interface ConfigEntry {
  readonly name: string;
  readonly value: string;
  readonly readOnly: boolean;
  readonly configSource: number;
  readonly isSensitive: boolean;
}

/** A topic's own configs and the defaults of the rest. */
export function describeTopicConfigs(
  own: ReadonlyMap<string, string>,
  configs: readonly TopicConfig[],
): ConfigEntry[] {
  return configs.map(({ name, defaultValue }) => ({
    name,
    value: own.get(name) ?? defaultValue,
    readOnly: false,
    configSource: own.has(name) ? configSources.topic : configSources.default,
    isSensitive: false,
  }));
}
