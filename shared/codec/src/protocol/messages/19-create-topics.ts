import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, bool, int16, int32, int8, string, struct, uuid } from '../schema.js';

/**
 * Creates topics. Since v4 -1 partitions or replicas mean the default (KIP-464), v5 returns the configs
 * (KIP-525), v7 the topic id (KIP-516).
 */
export const createTopicsRequest = message({
  name: 'CreateTopicsRequest',
  apiKey: 19,
  versions: '2-7',
  flexible: '5+',
  fields: {
    topics: array(
      struct({
        name: string(),
        numPartitions: int32(),
        replicationFactor: int16(),
        assignments: array(
          struct({
            partitionIndex: int32(),
            brokerIds: array(int32()),
          }),
        ),
        configs: array(
          struct({
            name: string(),
            value: string({ nullable: '0+' }),
          }),
        ),
      }),
    ),
    timeoutMs: int32({ default: 60000 }),
    validateOnly: bool(),
  },
});
export type CreateTopicsRequest = Decoded<typeof createTopicsRequest>;
export type CreateTopicsRequestInput = Encodable<typeof createTopicsRequest>;

export const createTopicsResponse = message({
  name: 'CreateTopicsResponse',
  apiKey: 19,
  versions: '2-7',
  flexible: '5+',
  fields: {
    throttleTimeMs: int32(),
    topics: array(
      struct({
        name: string(),
        topicId: uuid({ versions: '7+' }),
        errorCode: int16(),
        errorMessage: string({ nullable: '0+' }),
        topicConfigErrorCode: int16({ versions: '5+', tag: 0 }),
        numPartitions: int32({ versions: '5+', default: -1 }),
        replicationFactor: int16({ versions: '5+', default: -1 }),
        configs: array(
          struct({
            name: string(),
            value: string({ nullable: '5+' }),
            readOnly: bool(),
            configSource: int8({ default: -1 }),
            isSensitive: bool(),
          }),
          { versions: '5+', nullable: '5+' },
        ),
      }),
    ),
  },
});
export type CreateTopicsResponse = Decoded<typeof createTopicsResponse>;
export type CreateTopicsResponseInput = Encodable<typeof createTopicsResponse>;
