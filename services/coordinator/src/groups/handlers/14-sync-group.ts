/**
 * SyncGroup (key 14), versions 0 to 5.
 *
 * - Waits until the leader has sent the assignment and it is durable. What the leader assigns is
 *   passed on untouched; a member that it left out gets an empty assignment.
 * - v3+ (KIP-345): static members. v5+ (KIP-559): protocol type and name are mandatory, and must be
 *   the group's: else INCONSISTENT_GROUP_PROTOCOL.
 * - INVALID_GROUP_ID; UNKNOWN_MEMBER_ID, also for an unknown group; FENCED_INSTANCE_ID;
 *   ILLEGAL_GENERATION; REBALANCE_IN_PROGRESS: join again.
 */
import { errorCodes, syncGroupRequest, syncGroupResponse } from '@kafscale/codec';
import type { SyncGroupRequest } from '@kafscale/codec';
import type { KafkaApi, RequestContext } from '../../handlers/kafka-api.js';
import { kafkaApi } from '../../handlers/kafka-api.js';
import { kafkaErrorCode } from '../group-errors.js';
import type { GroupManager } from '../group-manager.js';
import type { SyncAnswer } from '../state/effects.js';
import { syncFailure } from '../state/effects.js';
import { copyBytes, isValidGroupId } from './group-request.js';

export function syncGroupApi(manager: GroupManager): KafkaApi {
  return kafkaApi(syncGroupRequest, syncGroupResponse, (request, context) =>
    sync(manager, request, context),
  );
}

async function sync(
  manager: GroupManager,
  request: SyncGroupRequest,
  context: RequestContext,
): Promise<SyncAnswer> {
  const { groupId, groupInstanceId, memberId, protocolName, protocolType } = request;
  if (!isValidGroupId(groupId)) return syncFailure(errorCodes.INVALID_GROUP_ID);
  if (context.apiVersion >= 5 && (protocolName === null || protocolType === null)) {
    return syncFailure(errorCodes.INCONSISTENT_GROUP_PROTOCOL);
  }
  const assignments = new Map<string, Buffer>();
  for (const each of request.assignments) {
    assignments.set(each.memberId, copyBytes(each.assignment));
  }
  try {
    const group = await manager.shard().find(groupId);
    if (group === null) return syncFailure(errorCodes.UNKNOWN_MEMBER_ID);
    const { generationId } = request;
    const member = { memberId, groupInstanceId, generationId };
    return await group.sync({ ...member, protocolName, protocolType, assignments }, context.signal);
  } catch (error) {
    return syncFailure(kafkaErrorCode(error));
  }
}
