import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, int32, int8, string, struct } from '../schema.js';

/**
 * Who coordinates a group (key type 0) or a transaction (1): one key up to v3, several since v4 (KIP-699).
 */
export const findCoordinatorRequest = message({
  name: 'FindCoordinatorRequest',
  apiKey: 10,
  versions: '0-6',
  flexible: '3+',
  fields: {
    key: string({ versions: '0-3' }),
    keyType: int8({ versions: '1+' }),
    coordinatorKeys: array(string(), { versions: '4+' }),
  },
});
export type FindCoordinatorRequest = Decoded<typeof findCoordinatorRequest>;
export type FindCoordinatorRequestInput = Encodable<typeof findCoordinatorRequest>;

export const findCoordinatorResponse = message({
  name: 'FindCoordinatorResponse',
  apiKey: 10,
  versions: '0-6',
  flexible: '3+',
  fields: {
    throttleTimeMs: int32({ versions: '1+' }),
    errorCode: int16({ versions: '0-3' }),
    errorMessage: string({ versions: '1-3', nullable: '1-3' }),
    nodeId: int32({ versions: '0-3' }),
    host: string({ versions: '0-3' }),
    port: int32({ versions: '0-3' }),
    coordinators: array(
      struct({
        key: string(),
        nodeId: int32(),
        host: string(),
        port: int32(),
        errorCode: int16(),
        errorMessage: string({ nullable: '4+' }),
      }),
      { versions: '4+' },
    ),
  },
});
export type FindCoordinatorResponse = Decoded<typeof findCoordinatorResponse>;
export type FindCoordinatorResponseInput = Encodable<typeof findCoordinatorResponse>;
