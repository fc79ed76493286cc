/**
 * InitProducerId (key 22), versions 0 to 5, for idempotent producers.
 *
 * - A transactional id: TRANSACTIONAL_ID_AUTHORIZATION_FAILED, which no client retries; an empty one:
 *   INVALID_REQUEST (Kafka's TransactionCoordinator). Transactions are out of scope.
 * - Without one Kafka "blindly" gives a fresh producer id with epoch 0, whatever id the request
 *   names: idempotent producers bump their epochs by themselves (KIP-360).
 */
import { errorCodes, initProducerIdRequest, initProducerIdResponse } from '@kafscale/codec';
import { isOperatingError } from '@kafscale/core';
import { kafkaApi } from './kafka-api.js';
import type { KafkaApi } from './kafka-api.js';

export function initProducerIdApi(nextProducerId: () => Promise<number>): KafkaApi {
  return kafkaApi(initProducerIdRequest, initProducerIdResponse, async ({ transactionalId }) => {
    const refused = (errorCode: number) => ({ errorCode, producerId: -1n, producerEpoch: -1 });
    if (transactionalId === '') return refused(errorCodes.INVALID_REQUEST);
    if (transactionalId !== null) {
      return refused(errorCodes.TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    }
    try {
      const producerId = BigInt(await nextProducerId());
      return { errorCode: errorCodes.NONE, producerId, producerEpoch: 0 };
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      return refused(errorCodes.COORDINATOR_NOT_AVAILABLE);
    }
  });
}
