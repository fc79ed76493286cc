import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, bool, int16, int32, string, struct } from '../schema.js';

/**
 * Adds partitions to topics (KIP-195).
 */
export const createPartitionsRequest = message({
  name: 'CreatePartitionsRequest',
  apiKey: 37,
  versions: '0-3',
  flexible: '2+',
  fields: {
    topics: array(
      struct({
        name: string(),
        count: int32(),
        assignments: array(
          struct({
            brokerIds: array(int32()),
          }),
          { nullable: '0+' },
        ),
      }),
    ),
    timeoutMs: int32(),
    validateOnly: bool(),
  },
});
export type CreatePartitionsRequest = Decoded<typeof createPartitionsRequest>;
export type CreatePartitionsRequestInput = Encodable<typeof createPartitionsRequest>;

export const createPartitionsResponse = message({
  name: 'CreatePartitionsResponse',
  apiKey: 37,
  versions: '0-3',
  flexible: '2+',
  fields: {
    throttleTimeMs: int32(),
    results: array(
      struct({
        name: string(),
        errorCode: int16(),
        errorMessage: string({ nullable: '0+', default: null }),
      }),
    ),
  },
});
export type CreatePartitionsResponse = Decoded<typeof createPartitionsResponse>;
export type CreatePartitionsResponseInput = Encodable<typeof createPartitionsResponse>;
