import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, bool, int16, int32, int8, string, struct } from '../schema.js';

/**
 * Replaces the whole config of a resource (KIP-133).
 */
export const alterConfigsRequest = message({
  name: 'AlterConfigsRequest',
  apiKey: 33,
  versions: '0-2',
  flexible: '2+',
  fields: {
    resources: array(
      struct({
        resourceType: int8(),
        resourceName: string(),
        configs: array(
          struct({
            name: string(),
            value: string({ nullable: '0+' }),
          }),
        ),
      }),
    ),
    validateOnly: bool(),
  },
});
export type AlterConfigsRequest = Decoded<typeof alterConfigsRequest>;
export type AlterConfigsRequestInput = Encodable<typeof alterConfigsRequest>;

export const alterConfigsResponse = message({
  name: 'AlterConfigsResponse',
  apiKey: 33,
  versions: '0-2',
  flexible: '2+',
  fields: {
    throttleTimeMs: int32(),
    responses: array(
      struct({
        errorCode: int16(),
        errorMessage: string({ nullable: '0+' }),
        resourceType: int8(),
        resourceName: string(),
      }),
    ),
  },
});
export type AlterConfigsResponse = Decoded<typeof alterConfigsResponse>;
export type AlterConfigsResponseInput = Encodable<typeof alterConfigsResponse>;
