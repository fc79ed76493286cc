import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, bool, bytes, int16, int32, string, struct } from '../schema.js';

/**
 * State and members of classic groups. v6 answers GROUP_ID_NOT_FOUND with a message (KIP-1043).
 */
export const describeGroupsRequest = message({
  name: 'DescribeGroupsRequest',
  apiKey: 15,
  versions: '0-6',
  flexible: '5+',
  fields: {
    groups: array(string()),
    includeAuthorizedOperations: bool({ versions: '3+' }),
  },
});
export type DescribeGroupsRequest = Decoded<typeof describeGroupsRequest>;
export type DescribeGroupsRequestInput = Encodable<typeof describeGroupsRequest>;

export const describeGroupsResponse = message({
  name: 'DescribeGroupsResponse',
  apiKey: 15,
  versions: '0-6',
  flexible: '5+',
  fields: {
    throttleTimeMs: int32({ versions: '1+' }),
    groups: array(
      struct({
        errorCode: int16(),
        errorMessage: string({ versions: '6+', nullable: '6+', default: null }),
        groupId: string(),
        groupState: string(),
        protocolType: string(),
        protocolData: string(),
        members: array(
          struct({
            memberId: string(),
            groupInstanceId: string({ versions: '4+', nullable: '4+', default: null }),
            clientId: string(),
            clientHost: string(),
            memberMetadata: bytes(),
            memberAssignment: bytes(),
          }),
        ),
        authorizedOperations: int32({ versions: '3+', default: -2147483648 }),
      }),
    ),
  },
});
export type DescribeGroupsResponse = Decoded<typeof describeGroupsResponse>;
export type DescribeGroupsResponseInput = Encodable<typeof describeGroupsResponse>;
