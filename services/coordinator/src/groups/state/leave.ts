import { errorCodes } from '@kafscale/codec';
import type { GroupEffect, LeaveAnswer, LeaveRequest, LeavingMember } from './effects.js';
import type { GroupCore } from './group-core.js';
import { groupStates } from './group-state.js';

/** LeaveGroup (Kafka's classicGroupLeaveToClassicGroup): every member has an answer of its own. */
export function leave(group: GroupCore, request: LeaveRequest, nowMs: number): void {
  const { waiter } = request;
  if (group.isIn(groupStates.dead)) {
    const answer = { errorCode: errorCodes.COORDINATOR_NOT_AVAILABLE, members: [] };
    return group.emit({ kind: 'left', waiter, answer });
  }
  const members = request.members.map((leaving) => ({
    memberId: leaving.memberId,
    groupInstanceId: leaving.groupInstanceId,
    errorCode: removeLeaving(group, leaving),
  }));
  const answer: LeaveAnswer = { errorCode: errorCodes.NONE, members };
  const left = members.filter(({ errorCode }) => errorCode === errorCodes.NONE);
  if (left.length > 0) {
    const names = left.map(({ memberId, groupInstanceId }) => memberId || groupInstanceId);
    const reasons = request.members.map(({ reason }) => reason ?? 'not provided');
    const reason = `left: ${names.join(', ')}; client reasons: ${reasons.join(', ')}`;
    if (group.isIn(groupStates.stable, groupStates.completingRebalance)) {
      group.prepareRebalance(reason, nowMs);
    } else {
      group.maybeCompleteJoin(nowMs);
    }
  }
  answerLeave(group, waiter, answer);
}

/**
 * The answer to a LeaveGroup that emptied the group reveals it, so it waits until that is written.
 */
function answerLeave(group: GroupCore, waiter: number, answer: LeaveAnswer): void {
  const effects = group.takeEffects();
  let isWaiting = false;
  for (const effect of effects) {
    if (isEmptying(effect) && !isWaiting) {
      effect.ticket.leave = { waiter, answer };
      isWaiting = true;
    }
    group.emit(effect);
  }
  if (!isWaiting) group.emit({ kind: 'left', waiter, answer });
}

function isEmptying(
  effect: GroupEffect,
): effect is Extract<GroupEffect, { kind: 'persist' }> & { ticket: { kind: 'empty' } } {
  return effect.kind === 'persist' && effect.ticket.kind === 'empty';
}

function removeLeaving(group: GroupCore, leaving: LeavingMember): number {
  const { memberId, groupInstanceId } = leaving;
  if (memberId === '') {
    const known =
      groupInstanceId === null ? undefined : group.members.staticMemberId(groupInstanceId);
    if (known === undefined) return errorCodes.UNKNOWN_MEMBER_ID;
    group.removeMember(known, errorCodes.UNKNOWN_MEMBER_ID);
    return errorCodes.NONE;
  }
  if (!group.members.pendingJoins.has(memberId)) {
    const errorCode = group.members.validate(memberId, groupInstanceId);
    if (errorCode !== errorCodes.NONE) return errorCode;
  }
  group.removeMember(memberId, errorCodes.UNKNOWN_MEMBER_ID);
  return errorCodes.NONE;
}
