import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, bytes, int16, int32, string, struct } from '../schema.js';

/**
 * The leader hands in the assignment, every member gets its own. v5 names the protocol (KIP-559).
 */
export const syncGroupRequest = message({
  name: 'SyncGroupRequest',
  apiKey: 14,
  versions: '0-5',
  flexible: '4+',
  fields: {
    groupId: string(),
    generationId: int32(),
    memberId: string(),
    groupInstanceId: string({ versions: '3+', nullable: '3+', default: null }),
    protocolType: string({ versions: '5+', nullable: '5+', default: null }),
    protocolName: string({ versions: '5+', nullable: '5+', default: null }),
    assignments: array(
      struct({
        memberId: string(),
        assignment: bytes(),
      }),
    ),
  },
});
export type SyncGroupRequest = Decoded<typeof syncGroupRequest>;
export type SyncGroupRequestInput = Encodable<typeof syncGroupRequest>;

export const syncGroupResponse = message({
  name: 'SyncGroupResponse',
  apiKey: 14,
  versions: '0-5',
  flexible: '4+',
  fields: {
    throttleTimeMs: int32({ versions: '1+' }),
    errorCode: int16(),
    protocolType: string({ versions: '5+', nullable: '5+', default: null }),
    protocolName: string({ versions: '5+', nullable: '5+', default: null }),
    assignment: bytes(),
  },
});
export type SyncGroupResponse = Decoded<typeof syncGroupResponse>;
export type SyncGroupResponseInput = Encodable<typeof syncGroupResponse>;
