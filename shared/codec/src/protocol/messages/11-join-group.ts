import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, bool, bytes, int16, int32, string, struct } from '../schema.js';

/**
 * Joins the classic group protocol. v4 hands out the member id first (KIP-394), v5 adds static members
 * (KIP-345), v8 the reason (KIP-800), v9 skipAssignment (KIP-814).
 */
export const joinGroupRequest = message({
  name: 'JoinGroupRequest',
  apiKey: 11,
  versions: '0-9',
  flexible: '6+',
  fields: {
    groupId: string(),
    sessionTimeoutMs: int32(),
    rebalanceTimeoutMs: int32({ versions: '1+', default: -1 }),
    memberId: string(),
    groupInstanceId: string({ versions: '5+', nullable: '5+', default: null }),
    protocolType: string(),
    protocols: array(
      struct({
        name: string(),
        metadata: bytes(),
      }),
    ),
    reason: string({ versions: '8+', nullable: '8+', default: null }),
  },
});
export type JoinGroupRequest = Decoded<typeof joinGroupRequest>;
export type JoinGroupRequestInput = Encodable<typeof joinGroupRequest>;

export const joinGroupResponse = message({
  name: 'JoinGroupResponse',
  apiKey: 11,
  versions: '0-9',
  flexible: '6+',
  fields: {
    throttleTimeMs: int32({ versions: '2+' }),
    errorCode: int16(),
    generationId: int32({ default: -1 }),
    protocolType: string({ versions: '7+', nullable: '7+', default: null }),
    protocolName: string({ nullable: '7+' }),
    leader: string(),
    skipAssignment: bool({ versions: '9+' }),
    memberId: string(),
    members: array(
      struct({
        memberId: string(),
        groupInstanceId: string({ versions: '5+', nullable: '5+', default: null }),
        metadata: bytes(),
      }),
    ),
  },
});
export type JoinGroupResponse = Decoded<typeof joinGroupResponse>;
export type JoinGroupResponseInput = Encodable<typeof joinGroupResponse>;
