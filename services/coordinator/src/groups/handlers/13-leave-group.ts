/**
 * LeaveGroup (key 13), versions 0 to 5.
 *
 * - v0 to v2: one member, whose error is the response's. v3+ (KIP-345): several, each with an error
 *   of its own; an administrator names a static member by its instance id alone. v5+ (KIP-800): the
 *   reason goes into the log.
 * - Unknown group: UNKNOWN_MEMBER_ID for every member.
 * - Answered when it is durable that the last member has left.
 */
import { errorCodes, leaveGroupRequest, leaveGroupResponse } from '@kafscale/codec';
import type { LeaveGroupRequest } from '@kafscale/codec';
import type { KafkaApi, RequestContext } from '../../handlers/kafka-api.js';
import { kafkaApi } from '../../handlers/kafka-api.js';
import { kafkaErrorCode } from '../group-errors.js';
import type { GroupManager } from '../group-manager.js';
import type { LeaveAnswer, LeavingMember } from '../state/effects.js';
import { isValidGroupId } from './group-request.js';

export function leaveGroupApi(manager: GroupManager): KafkaApi {
  return kafkaApi(leaveGroupRequest, leaveGroupResponse, async (request, context) => {
    const answer = await leave(manager, request, context);
    if (context.apiVersion >= 3) return answer;
    const [member] = answer.members;
    return { errorCode: answer.errorCode || (member?.errorCode ?? errorCodes.NONE) };
  });
}

async function leave(
  manager: GroupManager,
  request: LeaveGroupRequest,
  context: RequestContext,
): Promise<LeaveAnswer> {
  const members = leavingMembers(request, context.apiVersion);
  if (!isValidGroupId(request.groupId)) return failure(errorCodes.INVALID_GROUP_ID);
  try {
    const group = await manager.shard().find(request.groupId);
    if (group !== null) return await group.leave({ members }, context.signal);
    const unknown = members.map(({ groupInstanceId, memberId }) => ({
      memberId,
      groupInstanceId,
      errorCode: errorCodes.UNKNOWN_MEMBER_ID,
    }));
    return { errorCode: errorCodes.NONE, members: unknown };
  } catch (error) {
    return failure(kafkaErrorCode(error));
  }
}

function leavingMembers(request: LeaveGroupRequest, apiVersion: number): readonly LeavingMember[] {
  if (apiVersion >= 3) return request.members;
  return [{ memberId: request.memberId, groupInstanceId: null, reason: null }];
}

function failure(errorCode: number): LeaveAnswer {
  return { errorCode, members: [] };
}
