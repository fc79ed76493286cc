/**
 * FindCoordinator (key 10), versions 0 to 6.
 *
 * - Key type 0, group: any front reaches the coordinator, so the answer is a live front, the same
 *   for a group as long as the fronts are. None is live: COORDINATOR_NOT_AVAILABLE.
 * - Key type 1, transaction: TRANSACTIONAL_ID_AUTHORIZATION_FAILED. Not retriable, unlike
 *   COORDINATOR_NOT_AVAILABLE, with which a client would ask until its timeout.
 * - Any other key type (2, share groups, since v6): INVALID_REQUEST.
 * - v4+ (KIP-699): several keys, each echoed in an answer of its own.
 */
import { errorCodes, findCoordinatorRequest, findCoordinatorResponse } from '@kafscale/codec';
import type { FindCoordinatorResponseInput } from '@kafscale/codec';
import { brokersNear, chooseLeader, zoneOfClient } from '../../cluster/leader-choice.js';
import type { Broker } from '../../cluster/leader-choice.js';
import type { RequestContext } from '../../handlers/kafka-api.js';
import { kafkaApi } from '../../handlers/kafka-api.js';
import type { KafkaApi } from '../../handlers/kafka-api.js';

export interface Coordinator {
  readonly nodeId: number;
  readonly host: string;
  readonly port: number;
}

/** Finds a live front for a group; null: there is none. */
export type LocateCoordinator = (groupId: string, context: RequestContext) => Coordinator | null;

/** The front of the client's zone that a group has by rendezvous hash, as partitions have leaders. */
export function locateAmong(brokers: () => readonly Broker[]): LocateCoordinator {
  return (groupId, { clientId }) => {
    const near = brokersNear(brokers(), zoneOfClient(clientId));
    const broker = chooseLeader(near, `group/${groupId}`);
    return broker ? { nodeId: broker.brokerId, host: broker.host, port: broker.port } : null;
  };
}

type Answer = NonNullable<FindCoordinatorResponseInput['coordinators']>[number];

const keyTypes = { group: 0, transaction: 1 } as const;

export function findCoordinatorApi(locate: LocateCoordinator): KafkaApi {
  return kafkaApi(findCoordinatorRequest, findCoordinatorResponse, (request, context) => {
    const answer = (key: string): Answer => answerKey(locate, { ...request, key, context });
    if (context.apiVersion >= 4) return { coordinators: request.coordinatorKeys.map(answer) };
    const { key: _key, ...coordinator } = answer(request.key);
    return coordinator;
  });
}

function answerKey(
  locate: LocateCoordinator,
  request: { key: string; keyType: number; context: RequestContext },
): Answer {
  const { context, key, keyType } = request;
  if (keyType === keyTypes.transaction) {
    const message = 'Transactions are not supported.';
    return refusal(key, errorCodes.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, message);
  }
  if (keyType !== keyTypes.group) {
    return refusal(key, errorCodes.INVALID_REQUEST, `Unknown coordinator key type ${keyType}.`);
  }
  const coordinator = locate(key, context);
  if (coordinator === null) {
    return refusal(key, errorCodes.COORDINATOR_NOT_AVAILABLE, 'No broker is available.');
  }
  return { key, ...coordinator, errorCode: errorCodes.NONE, errorMessage: '' };
}

function refusal(key: string, errorCode: number, errorMessage: string): Answer {
  return { key, nodeId: -1, host: '', port: -1, errorCode, errorMessage };
}
