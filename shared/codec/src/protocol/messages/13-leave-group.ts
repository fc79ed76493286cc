import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, int32, string, struct } from '../schema.js';

/**
 * One member leaves (to v2) or several do (v3, KIP-345); v5 adds the reason (KIP-800).
 */
export const leaveGroupRequest = message({
  name: 'LeaveGroupRequest',
  apiKey: 13,
  versions: '0-5',
  flexible: '4+',
  fields: {
    groupId: string(),
    memberId: string({ versions: '0-2' }),
    members: array(
      struct({
        memberId: string(),
        groupInstanceId: string({ nullable: '3+', default: null }),
        reason: string({ versions: '5+', nullable: '5+', default: null }),
      }),
      { versions: '3+' },
    ),
  },
});
export type LeaveGroupRequest = Decoded<typeof leaveGroupRequest>;
export type LeaveGroupRequestInput = Encodable<typeof leaveGroupRequest>;

export const leaveGroupResponse = message({
  name: 'LeaveGroupResponse',
  apiKey: 13,
  versions: '0-5',
  flexible: '4+',
  fields: {
    throttleTimeMs: int32({ versions: '1+' }),
    errorCode: int16(),
    members: array(
      struct({
        memberId: string(),
        groupInstanceId: string({ nullable: '3+' }),
        errorCode: int16(),
      }),
      { versions: '3+' },
    ),
  },
});
export type LeaveGroupResponse = Decoded<typeof leaveGroupResponse>;
export type LeaveGroupResponseInput = Encodable<typeof leaveGroupResponse>;
