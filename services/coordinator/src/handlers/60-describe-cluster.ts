/**
 * DescribeCluster (key 60), versions 0 to 2.
 *
 * Endpoint type 1 (brokers) is the only one: 2 (controllers) is MISMATCHED_ENDPOINT_TYPE, others
 * UNSUPPORTED_ENDPOINT_TYPE (KIP-919). There are no fenced brokers to include: the dead are gone.
 */
import { describeClusterRequest, describeClusterResponse, errorCodes } from '@kafscale/codec';
import type { Broker } from '../cluster/leader-choice.js';
import { kafkaApi } from './kafka-api.js';
import type { KafkaApi } from './kafka-api.js';

const endpointTypes = { brokers: 1, controllers: 2 } as const;

export function describeClusterApi(
  brokers: () => readonly Broker[],
  clusterId: () => string,
): KafkaApi {
  return kafkaApi(describeClusterRequest, describeClusterResponse, ({ endpointType }) => {
    if (endpointType !== endpointTypes.brokers) {
      const known = endpointType === endpointTypes.controllers;
      return {
        errorCode: known
          ? errorCodes.MISMATCHED_ENDPOINT_TYPE
          : errorCodes.UNSUPPORTED_ENDPOINT_TYPE,
        errorMessage: `Endpoint type ${endpointType} is not served.`,
        endpointType,
        clusterId: '',
        brokers: [],
      };
    }
    const live = brokers();
    return {
      errorCode: errorCodes.NONE,
      endpointType,
      clusterId: clusterId(),
      controllerId: live[0]?.brokerId ?? -1,
      brokers: live.map(({ brokerId, host, port, zone }) => ({
        brokerId,
        host,
        port,
        rack: zone === '' ? null : zone,
        isFenced: false,
      })),
    };
  });
}
