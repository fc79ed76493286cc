import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, bool, int16, int32, int8, string, struct } from '../schema.js';

/**
 * Changes single configs of a resource (KIP-339).
 */
export const incrementalAlterConfigsRequest = message({
  name: 'IncrementalAlterConfigsRequest',
  apiKey: 44,
  versions: '0-1',
  flexible: '1+',
  fields: {
    resources: array(
      struct({
        resourceType: int8(),
        resourceName: string(),
        configs: array(
          struct({
            name: string(),
            configOperation: int8(),
            value: string({ nullable: '0+' }),
          }),
        ),
      }),
    ),
    validateOnly: bool(),
  },
});
export type IncrementalAlterConfigsRequest = Decoded<typeof incrementalAlterConfigsRequest>;
export type IncrementalAlterConfigsRequestInput = Encodable<typeof incrementalAlterConfigsRequest>;

export const incrementalAlterConfigsResponse = message({
  name: 'IncrementalAlterConfigsResponse',
  apiKey: 44,
  versions: '0-1',
  flexible: '1+',
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
export type IncrementalAlterConfigsResponse = Decoded<typeof incrementalAlterConfigsResponse>;
export type IncrementalAlterConfigsResponseInput = Encodable<
  typeof incrementalAlterConfigsResponse
>;
