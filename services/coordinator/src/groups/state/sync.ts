import { errorCodes } from '@kafscale/codec';
import { invariant } from '@kafscale/core';
import type { MemberRequest, SyncRequest } from './effects.js';
import { syncFailure } from './effects.js';
import type { GroupCore } from './group-core.js';
import { groupStates } from './group-state.js';
import type { Member } from './member.js';

/** SyncGroup (Kafka's classicGroupSyncToClassicGroup). */
export function sync(group: GroupCore, request: SyncRequest, nowMs: number): void {
  const errorCode = validateSync(group, request);
  if (errorCode !== errorCodes.NONE) {
    return group.emit({
      kind: 'synced',
      waiter: request.waiter,
      answer: syncFailure(errorCode),
    });
  }
  const member = group.members.get(request.memberId);
  invariant(member, 'a validated member exists');
  group.members.pendingSyncs.delete(member.memberId);
  if (group.members.pendingSyncs.size === 0) group.syncDeadlineMs = Infinity;
  if (group.isIn(groupStates.stable)) {
    group.restartSession(member, nowMs);
    const answer = group.currentAssignment(member);
    return group.emit({ kind: 'synced', waiter: request.waiter, answer });
  }
  invariant(group.isIn(groupStates.completingRebalance), 'a sync phase runs');
  group.awaitSync(member, request.waiter);
  if (group.members.leaderId !== member.memberId) return;
  const { assignments } = request;
  const { generationId } = group;
  // A leader that asks again waits for the assignment that is being written: there is one.
  if (group.assigningGenerationId === generationId) return;
  group.assigningGenerationId = generationId;
  group.persist({ kind: 'assignment', generationId, assignments }, assignments);
}

function validateSync(group: GroupCore, request: SyncRequest): number {
  if (group.isIn(groupStates.dead)) return errorCodes.COORDINATOR_NOT_AVAILABLE;
  const errorCode = validateGeneration(group, request);
  if (errorCode !== errorCodes.NONE) return errorCode;
  if (
    isInconsistent(request.protocolType, group.protocolType) ||
    isInconsistent(request.protocolName, group.protocolName)
  ) {
    return errorCodes.INCONSISTENT_GROUP_PROTOCOL;
  }
  if (group.isIn(groupStates.preparingRebalance)) return errorCodes.REBALANCE_IN_PROGRESS;
  let assignmentBytes = 0;
  for (const assignment of request.assignments.values()) assignmentBytes += assignment.length;
  // What Kafka answers when the group does not fit in a record.
  const fits = assignmentBytes <= group.settings.assignmentBytesMax;
  return fits ? errorCodes.NONE : errorCodes.UNKNOWN_SERVER_ERROR;
}

/** Heartbeat. Costs nothing but the member's deadline. */
export function heartbeat(group: GroupCore, request: MemberRequest, nowMs: number): number {
  if (group.isIn(groupStates.dead)) return errorCodes.COORDINATOR_NOT_AVAILABLE;
  const errorCode = validateGeneration(group, request);
  if (errorCode !== errorCodes.NONE) return errorCode;
  restartSessionOf(group, request.memberId, nowMs);
  return group.isIn(groupStates.preparingRebalance)
    ? errorCodes.REBALANCE_IN_PROGRESS
    : errorCodes.NONE;
}

/** Whether an OffsetCommit may be written (Kafka's ClassicGroup.validateOffsetCommit). */
export function checkOffsetCommit(group: GroupCore, request: MemberRequest, nowMs: number): number {
  if (group.isIn(groupStates.dead)) return errorCodes.COORDINATOR_NOT_AVAILABLE;
  const { memberId, groupInstanceId, generationId } = request;
  if (generationId < 0 && group.isIn(groupStates.empty)) return errorCodes.NONE;
  if (generationId < 0 && memberId === '' && groupInstanceId === null) {
    // An administrator or a consumer without a group may not write what members are writing.
    return errorCodes.UNKNOWN_MEMBER_ID;
  }
  const errorCode = validateGeneration(group, request);
  if (errorCode !== errorCodes.NONE) return errorCode;
  // It knows the new generation, but not yet whether the partition is still its own.
  if (group.isIn(groupStates.completingRebalance)) return errorCodes.REBALANCE_IN_PROGRESS;
  restartSessionOf(group, memberId, nowMs);
  return errorCodes.NONE;
}

function validateGeneration(group: GroupCore, request: MemberRequest): number {
  const errorCode = group.members.validate(request.memberId, request.groupInstanceId);
  if (errorCode !== errorCodes.NONE) return errorCode;
  return request.generationId === group.generationId
    ? errorCodes.NONE
    : errorCodes.ILLEGAL_GENERATION;
}

function restartSessionOf(group: GroupCore, memberId: string, nowMs: number): void {
  const member: Member | undefined = group.members.get(memberId);
  invariant(member, 'a validated member exists');
  group.restartSession(member, nowMs);
}

function isInconsistent(requested: string | null, actual: string | null): boolean {
  return requested !== null && actual !== null && requested !== actual;
}
