import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, int16, int32, string, struct } from '../schema.js';

/**
 * Deletes empty groups (KIP-229).
 */
export const deleteGroupsRequest = message({
  name: 'DeleteGroupsRequest',
  apiKey: 42,
  versions: '0-2',
  flexible: '2+',
  fields: {
    groupsNames: array(string()),
  },
});
export type DeleteGroupsRequest = Decoded<typeof deleteGroupsRequest>;
export type DeleteGroupsRequestInput = Encodable<typeof deleteGroupsRequest>;

export const deleteGroupsResponse = message({
  name: 'DeleteGroupsResponse',
  apiKey: 42,
  versions: '0-2',
  flexible: '2+',
  fields: {
    throttleTimeMs: int32(),
    results: array(
      struct({
        groupId: string(),
        errorCode: int16(),
      }),
    ),
  },
});
export type DeleteGroupsResponse = Decoded<typeof deleteGroupsResponse>;
export type DeleteGroupsResponseInput = Encodable<typeof deleteGroupsResponse>;
