/**
 * Heartbeat (key 12), versions 0 to 4.
 *
 * - Answered from memory, without a write, while the shard's lease holds.
 * - v3+ (KIP-345): FENCED_INSTANCE_ID for a static member whose place another process has taken.
 * - INVALID_GROUP_ID, UNKNOWN_MEMBER_ID (also for an unknown group), ILLEGAL_GENERATION, and
 *   REBALANCE_IN_PROGRESS while the members must rejoin.
 */
import { errorCodes, heartbeatRequest, heartbeatResponse } from '@kafscale/codec';
import type { HeartbeatRequest } from '@kafscale/codec';
import type { KafkaApi } from '../../handlers/kafka-api.js';
import { kafkaApi } from '../../handlers/kafka-api.js';
import { kafkaErrorCode } from '../group-errors.js';
import type { GroupManager } from '../group-manager.js';
import { isValidGroupId } from './group-request.js';

export function heartbeatApi(manager: GroupManager): KafkaApi {
  return kafkaApi(heartbeatRequest, heartbeatResponse, async (request) => ({
    errorCode: await heartbeat(manager, request),
  }));
}

async function heartbeat(manager: GroupManager, request: HeartbeatRequest): Promise<number> {
  if (!isValidGroupId(request.groupId)) return errorCodes.INVALID_GROUP_ID;
  try {
    const group = await manager.shard().find(request.groupId);
    return group === null ? errorCodes.UNKNOWN_MEMBER_ID : group.heartbeat(request);
  } catch (error) {
    return kafkaErrorCode(error);
  }
}
