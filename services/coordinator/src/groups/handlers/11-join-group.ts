/**
 * JoinGroup (key 11), versions 0 to 9.
 *
 * - Waits until the join phase ends. When the client goes, the request is dropped and the member
 *   stays until its session ends, as in Kafka.
 * - v0: no rebalance timeout, the session timeout stands for it. v0 to v3: a new member is admitted
 *   directly; v4+ (KIP-394): MEMBER_ID_REQUIRED with the id to come back with.
 * - v5+ (KIP-345): static members. v7+ (KIP-559): the protocol's type and name are nullable; before,
 *   no name is "". v8+ (KIP-800): the reason goes into the log. v9+ (KIP-814): skipAssignment.
 * - INVALID_GROUP_ID, INVALID_SESSION_TIMEOUT, then what the group says: see state/join.ts.
 */
import { randomUUID } from 'node:crypto';
import { errorCodes, joinGroupRequest, joinGroupResponse } from '@kafscale/codec';
import type { JoinGroupRequest, JoinGroupResponseInput } from '@kafscale/codec';
import { limits } from '@kafscale/core';
import type { KafkaApi, RequestContext } from '../../handlers/kafka-api.js';
import { kafkaApi } from '../../handlers/kafka-api.js';
import { kafkaErrorCode } from '../group-errors.js';
import type { GroupManager } from '../group-manager.js';
import type { JoinAnswer } from '../state/effects.js';
import type { JoinRequest } from '../state/join-request.js';
import { joinFailure } from '../state/effects.js';
import { copyBytes, isValidGroupId, kafkaClientHost } from './group-request.js';

export function joinGroupApi(manager: GroupManager): KafkaApi {
  return kafkaApi(joinGroupRequest, joinGroupResponse, async (request, context) =>
    responseOf(await join(manager, request, context), context.apiVersion),
  );
}

async function join(
  manager: GroupManager,
  request: JoinGroupRequest,
  context: RequestContext,
): Promise<JoinAnswer> {
  const { groupId, memberId, protocolType, sessionTimeoutMs } = request;
  if (!isValidGroupId(groupId)) return joinFailure(errorCodes.INVALID_GROUP_ID, memberId);
  if (
    sessionTimeoutMs < limits.groupSessionTimeoutMsMin ||
    sessionTimeoutMs > limits.groupSessionTimeoutMsMax
  ) {
    return joinFailure(errorCodes.INVALID_SESSION_TIMEOUT, memberId);
  }
  // It is stored as text.
  if (protocolType.includes('\u0000')) {
    return joinFailure(errorCodes.INCONSISTENT_GROUP_PROTOCOL, memberId);
  }
  try {
    const shard = manager.shard();
    // Only a member that has no id yet makes a group.
    const group = memberId === '' ? await shard.findOrCreate(groupId) : await shard.find(groupId);
    if (group === null) return joinFailure(errorCodes.UNKNOWN_MEMBER_ID, memberId);
    return await group.join(machineRequest(request, context), context.signal);
  } catch (error) {
    return joinFailure(kafkaErrorCode(error), memberId);
  }
}

function machineRequest(
  request: JoinGroupRequest,
  context: RequestContext,
): Omit<JoinRequest, 'waiter'> {
  const { groupInstanceId, memberId, sessionTimeoutMs } = request;
  const clientId = context.clientId ?? '';
  return {
    knownMemberIdRequired: context.apiVersion >= 4,
    assignmentSkippable: context.apiVersion >= 9,
    memberId,
    generatedMemberId: `${groupInstanceId ?? clientId}-${randomUUID()}`,
    groupInstanceId,
    clientId,
    clientHost: kafkaClientHost(context),
    sessionTimeoutMs,
    rebalanceTimeoutMs: context.apiVersion >= 1 ? request.rebalanceTimeoutMs : sessionTimeoutMs,
    protocolType: request.protocolType,
    protocols: request.protocols.map(({ name, metadata }) => ({
      name,
      metadata: copyBytes(metadata),
    })),
    reason: request.reason,
  };
}

function responseOf(answer: JoinAnswer, apiVersion: number): JoinGroupResponseInput {
  return {
    errorCode: answer.errorCode,
    generationId: answer.generationId,
    protocolType: answer.protocolType,
    protocolName: apiVersion >= 7 ? answer.protocolName : (answer.protocolName ?? ''),
    leader: answer.leaderId,
    skipAssignment: answer.skipAssignment,
    memberId: answer.memberId,
    members: answer.members,
  };
}
