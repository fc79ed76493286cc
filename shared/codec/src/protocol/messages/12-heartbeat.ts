import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { int16, int32, string } from '../schema.js';

/**
 * Keeps a member of a classic group alive. Static members since v3 (KIP-345).
 */
export const heartbeatRequest = message({
  name: 'HeartbeatRequest',
  apiKey: 12,
  versions: '0-4',
  flexible: '4+',
  fields: {
    groupId: string(),
    generationId: int32(),
    memberId: string(),
    groupInstanceId: string({ versions: '3+', nullable: '3+', default: null }),
  },
});
export type HeartbeatRequest = Decoded<typeof heartbeatRequest>;
export type HeartbeatRequestInput = Encodable<typeof heartbeatRequest>;

export const heartbeatResponse = message({
  name: 'HeartbeatResponse',
  apiKey: 12,
  versions: '0-4',
  flexible: '4+',
  fields: {
    throttleTimeMs: int32({ versions: '1+' }),
    errorCode: int16(),
  },
});
export type HeartbeatResponse = Decoded<typeof heartbeatResponse>;
export type HeartbeatResponseInput = Encodable<typeof heartbeatResponse>;
