import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, int32, string, struct, uuid } from '../schema.js';

/**
 * Deletes topics by name, since v6 also by id (KIP-516).
 */
export const deleteTopicsRequest = message({
  name: 'DeleteTopicsRequest',
  apiKey: 20,
  versions: '1-6',
  flexible: '4+',
  fields: {
    topics: array(
      struct({
        name: string({ nullable: '6+', default: null }),
        topicId: uuid(),
      }),
      { versions: '6+' },
    ),
    topicNames: array(string(), { versions: '0-5' }),
    timeoutMs: int32(),
  },
});
export type DeleteTopicsRequest = Decoded<typeof deleteTopicsRequest>;
export type DeleteTopicsRequestInput = Encodable<typeof deleteTopicsRequest>;

export const deleteTopicsResponse = message({
  name: 'DeleteTopicsResponse',
  apiKey: 20,
  versions: '1-6',
  flexible: '4+',
  fields: {
    throttleTimeMs: int32(),
    responses: array(
      struct({
        name: string({ nullable: '6+' }),
        topicId: uuid({ versions: '6+' }),
        errorCode: int16(),
        errorMessage: string({ versions: '5+', nullable: '5+', default: null }),
      }),
    ),
  },
});
export type DeleteTopicsResponse = Decoded<typeof deleteTopicsResponse>;
export type DeleteTopicsResponseInput = Encodable<typeof deleteTopicsResponse>;
