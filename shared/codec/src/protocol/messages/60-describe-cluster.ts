import type { Decoded, Encodable } from '../message.js';
import { message } from '../message.js';
import { array, bool, int16, int32, int8, string, struct } from '../schema.js';

/**
 * Cluster id, controller and brokers (KIP-700); v1 adds the endpoint type (KIP-919).
 */
export const describeClusterRequest = message({
  name: 'DescribeClusterRequest',
  apiKey: 60,
  versions: '0-2',
  flexible: '0+',
  fields: {
    includeClusterAuthorizedOperations: bool(),
    endpointType: int8({ versions: '1+', default: 1 }),
    includeFencedBrokers: bool({ versions: '2+' }),
  },
});
export type DescribeClusterRequest = Decoded<typeof describeClusterRequest>;
export type DescribeClusterRequestInput = Encodable<typeof describeClusterRequest>;

export const describeClusterResponse = message({
  name: 'DescribeClusterResponse',
  apiKey: 60,
  versions: '0-2',
  flexible: '0+',
  fields: {
    throttleTimeMs: int32(),
    errorCode: int16(),
    errorMessage: string({ nullable: '0+', default: null }),
    endpointType: int8({ versions: '1+', default: 1 }),
    clusterId: string(),
    controllerId: int32({ default: -1 }),
    brokers: array(
      struct({
        brokerId: int32(),
        host: string(),
        port: int32(),
        rack: string({ nullable: '0+', default: null }),
        isFenced: bool({ versions: '2+' }),
      }),
    ),
    clusterAuthorizedOperations: int32({ default: -2147483648 }),
  },
});
export type DescribeClusterResponse = Decoded<typeof describeClusterResponse>;
export type DescribeClusterResponseInput = Encodable<typeof describeClusterResponse>;
