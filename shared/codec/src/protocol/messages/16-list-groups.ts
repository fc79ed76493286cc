import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, int32, string, struct } from '../schema.js';

/**
 * Groups of this coordinator; filter by state since v4 (KIP-518), by type since v5 (KIP-848).
 */
export const listGroupsRequest = message({
  name: 'ListGroupsRequest',
  apiKey: 16,
  versions: '0-5',
  flexible: '3+',
  fields: {
    statesFilter: array(string(), { versions: '4+' }),
    typesFilter: array(string(), { versions: '5+' }),
  },
});
export type ListGroupsRequest = Decoded<typeof listGroupsRequest>;
export type ListGroupsRequestInput = Encodable<typeof listGroupsRequest>;

export const listGroupsResponse = message({
  name: 'ListGroupsResponse',
  apiKey: 16,
  versions: '0-5',
  flexible: '3+',
  fields: {
    throttleTimeMs: int32({ versions: '1+' }),
    errorCode: int16(),
    groups: array(
      struct({
        groupId: string(),
        protocolType: string(),
        groupState: string({ versions: '4+' }),
        groupType: string({ versions: '5+' }),
      }),
    ),
  },
});
export type ListGroupsResponse = Decoded<typeof listGroupsResponse>;
export type ListGroupsResponseInput = Encodable<typeof listGroupsResponse>;
