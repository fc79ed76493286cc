import { errorCodes } from '@kafscale/codec';
import { invariant } from '@kafscale/core';
import type { PersistTicket } from './effects.js';
import { joinFailure } from './effects.js';
import type { GroupCore } from './group-core.js';
import { groupStates } from './group-state.js';

/**
 * A write has ended: `errorCode` 0, or what to tell the clients that waited for it. The group may
 * have moved on meanwhile, and then what the ticket was for is over.
 */
export function persisted(
  group: GroupCore,
  ticket: PersistTicket,
  errorCode: number,
  nowMs: number,
): void {
  switch (ticket.kind) {
    case 'assignment':
      return assignmentPersisted(group, ticket, errorCode, nowMs);
    case 'staticReplacement':
      return replacementPersisted(group, ticket, errorCode, nowMs);
    case 'empty': {
      if (ticket.leave === null) return;
      const { waiter, answer } = ticket.leave;
      const failure = { errorCode, members: [] };
      const isWritten = errorCode === errorCodes.NONE;
      return group.emit({ kind: 'left', waiter, answer: isWritten ? answer : failure });
    }
  }
}

function assignmentPersisted(
  group: GroupCore,
  ticket: Extract<PersistTicket, { kind: 'assignment' }>,
  errorCode: number,
  nowMs: number,
): void {
  if (ticket.generationId === group.assigningGenerationId) group.assigningGenerationId = -1;
  if (!group.isIn(groupStates.completingRebalance)) return;
  if (ticket.generationId !== group.generationId) return;
  if (errorCode === errorCodes.NONE) return group.becomeStable(ticket.assignments, nowMs);
  group.resetAssignments(errorCode, nowMs);
  group.prepareRebalance(`the assignment could not be stored: error ${errorCode}`, nowMs);
}

function replacementPersisted(
  group: GroupCore,
  ticket: Extract<PersistTicket, { kind: 'staticReplacement' }>,
  errorCode: number,
  nowMs: number,
): void {
  const { member, replaced, waiter } = ticket;
  const isCurrent = group.members.get(member.memberId) === member && member.joinWaiter === waiter;
  // In a rebalance that began meanwhile the member counts as joined, and is answered when it ends.
  if (!isCurrent || !group.isIn(groupStates.stable)) return;
  invariant(ticket.generationId === group.generationId, 'a generation ends every waiting join');
  if (errorCode !== errorCodes.NONE) {
    group.answerJoin(member, {
      ...joinFailure(errorCode, ''),
      generationId: group.generationId,
      protocolType: group.protocolType,
      protocolName: group.protocolName,
      leaderId: ticket.leaderIdBefore,
    });
    group.members.replaceStatic(member, replaced);
    return group.restartSession(replaced, nowMs);
  }
  const isLeader = group.members.leaderId === member.memberId;
  const current = group.currentGeneration(member);
  // Before v9 a client that learns it leads assigns anew, and then the group would not be the same
  // as before. Naming the old leader makes it a follower that asks for the assignment it had.
  const answer = ticket.assignmentSkippable
    ? { ...current, skipAssignment: isLeader }
    : { ...current, leaderId: ticket.leaderIdBefore, members: [] };
  group.answerJoin(member, answer);
  group.restartSession(member, nowMs);
}
