import { limits } from '@kafscale/core';

/** Kafka's Topic.validate: what is wrong with a topic name, or null. */
export function judgeTopicName(name: string): string | null {
  if (name === '') return 'the empty string is not allowed';
  if (name === '.' || name === '..') return `'${name}' is not allowed`;
  if (name.length > limits.topicNameLengthMax) {
    return `the length is longer than the max allowed length ${limits.topicNameLengthMax}`;
  }
  if (!/^[a-zA-Z0-9._-]+$/.test(name)) {
    return "it contains a character other than ASCII alphanumerics, '.', '_' and '-'";
  }
  return null;
}
