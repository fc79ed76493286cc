import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, bool, int16, int32, int8, string, struct } from '../schema.js';

/**
 * Configs of topics and brokers; v1 adds synonyms (KIP-226), v3 types and documentation (KIP-569).
 */
export const describeConfigsRequest = message({
  name: 'DescribeConfigsRequest',
  apiKey: 32,
  versions: '1-4',
  flexible: '4+',
  fields: {
    resources: array(
      struct({
        resourceType: int8(),
        resourceName: string(),
        configurationKeys: array(string(), { nullable: '0+' }),
      }),
    ),
    includeSynonyms: bool(),
    includeDocumentation: bool({ versions: '3+' }),
  },
});
export type DescribeConfigsRequest = Decoded<typeof describeConfigsRequest>;
export type DescribeConfigsRequestInput = Encodable<typeof describeConfigsRequest>;

export const describeConfigsResponse = message({
  name: 'DescribeConfigsResponse',
  apiKey: 32,
  versions: '1-4',
  flexible: '4+',
  fields: {
    throttleTimeMs: int32(),
    results: array(
      struct({
        errorCode: int16(),
        errorMessage: string({ nullable: '0+' }),
        resourceType: int8(),
        resourceName: string(),
        configs: array(
          struct({
            name: string(),
            value: string({ nullable: '0+' }),
            readOnly: bool(),
            configSource: int8({ default: -1 }),
            isSensitive: bool(),
            synonyms: array(
              struct({
                name: string(),
                value: string({ nullable: '0+' }),
                source: int8(),
              }),
            ),
            configType: int8({ versions: '3+' }),
            documentation: string({ versions: '3+', nullable: '0+' }),
          }),
        ),
      }),
    ),
  },
});
export type DescribeConfigsResponse = Decoded<typeof describeConfigsResponse>;
export type DescribeConfigsResponseInput = Encodable<typeof describeConfigsResponse>;
