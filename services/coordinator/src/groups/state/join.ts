import { errorCodes } from '@kafscale/codec';
import { invariant } from '@kafscale/core';
import type { JoinAnswer } from './effects.js';
import type { JoinRequest } from './join-request.js';
import { joinFailure, syncFailure } from './effects.js';
import type { GroupCore } from './group-core.js';
import { groupStates } from './group-state.js';
import type { Member } from './member.js';
import { memberFromRequest, protocolsBytes, protocolsEqual, uniqueProtocols } from './member.js';

/** JoinGroup (Kafka's classicGroupJoinToClassicGroup and what it calls). */
export function join(group: GroupCore, request: JoinRequest, nowMs: number): void {
  const { memberId } = request;
  if (group.isIn(groupStates.dead)) {
    return refuse(group, request, errorCodes.COORDINATOR_NOT_AVAILABLE, memberId);
  }
  if (!hasRoom(group, request)) {
    group.removeMember(memberId, errorCodes.GROUP_MAX_SIZE_REACHED);
    refuse(group, request, errorCodes.GROUP_MAX_SIZE_REACHED, '');
    return group.maybeCompleteJoin(nowMs);
  }
  if (!supportsProtocols(group, request)) {
    return refuse(group, request, errorCodes.INCONSISTENT_GROUP_PROTOCOL, memberId);
  }
  if (memberId === '') return joinWithoutId(group, request, nowMs);
  if (group.members.pendingJoins.has(memberId)) {
    // A pending member is a dynamic one.
    if (request.groupInstanceId !== null) {
      return refuse(group, request, errorCodes.UNKNOWN_MEMBER_ID, memberId);
    }
    return addMember(group, request, memberId, nowMs);
  }
  const errorCode = group.members.validate(memberId, request.groupInstanceId);
  if (errorCode !== errorCodes.NONE) return refuse(group, request, errorCode, memberId);
  const member = group.members.get(memberId);
  invariant(member, 'a validated member exists');
  rejoin(group, request, member, nowMs);
}

function joinWithoutId(group: GroupCore, request: JoinRequest, nowMs: number): void {
  const { generatedMemberId, groupInstanceId } = request;
  if (groupInstanceId !== null) {
    const known = group.members.staticMemberId(groupInstanceId);
    if (known === undefined) return addMember(group, request, generatedMemberId, nowMs);
    return replaceStaticMember(group, request, known, nowMs);
  }
  if (!request.knownMemberIdRequired) return addMember(group, request, generatedMemberId, nowMs);
  // KIP-394: a client that never gets its answer leaves a pending id behind, not a member.
  group.addPendingJoin(generatedMemberId, request.sessionTimeoutMs, nowMs);
  refuse(group, request, errorCodes.MEMBER_ID_REQUIRED, generatedMemberId);
}

function rejoin(group: GroupCore, request: JoinRequest, member: Member, nowMs: number): void {
  const isLeader = group.members.leaderId === member.memberId;
  const isUnchanged = protocolsEqual(member.protocols, uniqueProtocols(request.protocols));
  switch (group.state) {
    case groupStates.preparingRebalance:
      return updateMember(group, request, member, nowMs);
    case groupStates.completingRebalance:
      // Unchanged: it may not have got the first answer.
      if (isUnchanged) return answerCurrent(group, request, member, nowMs);
      return updateMember(group, request, member, nowMs);
    case groupStates.stable: {
      // A leader rejoins to have the group rebalanced, for reasons that only it can see.
      if (isLeader || !isUnchanged) return updateMember(group, request, member, nowMs);
      return answerCurrent(group, request, member, nowMs);
    }
    case groupStates.empty:
    case groupStates.dead:
      return refuse(group, request, errorCodes.UNKNOWN_MEMBER_ID, member.memberId);
  }
}

function addMember(group: GroupCore, request: JoinRequest, memberId: string, nowMs: number): void {
  const member = memberFromRequest(request, memberId);
  if (group.isInitialRebalance) group.newMemberAdded = true;
  if (group.members.size === 0) group.protocolType = request.protocolType;
  invariant(group.protocolType === request.protocolType, 'members share one protocol type');
  group.members.add(member);
  group.awaitJoin(member, request.waiter);
  // It can not send heartbeats before it has its answer, and a client that has gone away while it
  // waited is not noticed, so new members have a time limit of their own.
  group.restartSession(member, nowMs, group.settings.newMemberJoinTimeoutMs);
  group.prepareRebalanceOrCompleteJoin(
    `member ${memberId} joined; client reason: ${reasonOf(request)}`,
    nowMs,
  );
}

function updateMember(group: GroupCore, request: JoinRequest, member: Member, nowMs: number): void {
  takeSubscription(group, request, member);
  group.awaitJoin(member, request.waiter);
  group.prepareRebalanceOrCompleteJoin(
    `member ${member.memberId} joined again; client reason: ${reasonOf(request)}`,
    nowMs,
  );
}

/** A static member is back without its member id: it gets a new one, and the old one is fenced. */
function replaceStaticMember(
  group: GroupCore,
  request: JoinRequest,
  replacedId: string,
  nowMs: number,
): void {
  const replaced = group.members.get(replacedId);
  invariant(replaced && group.members.leaderId !== null, 'a static member is a member');
  const leaderIdBefore = group.members.leaderId;
  group.answerJoin(replaced, joinFailure(errorCodes.FENCED_INSTANCE_ID, replacedId));
  group.answerSync(replaced, syncFailure(errorCodes.FENCED_INSTANCE_ID));
  const member: Member = {
    ...memberFromRequest(request, request.generatedMemberId),
    clientId: replaced.clientId,
    clientHost: replaced.clientHost,
    assignment: replaced.assignment,
    isNew: false,
  };
  group.members.replaceStatic(replaced, member);
  group.awaitJoin(member, request.waiter);
  group.restartSession(member, nowMs);

  const reason = `static member ${request.groupInstanceId} is back; client reason: ${reasonOf(request)}`;
  switch (group.state) {
    case groupStates.stable: {
      if (group.members.selectProtocol() !== group.protocolName) {
        return group.prepareRebalance(reason, nowMs);
      }
      const { generationId } = group;
      const { waiter, assignmentSkippable } = request;
      return group.persist({
        kind: 'staticReplacement',
        generationId,
        waiter,
        assignmentSkippable,
        leaderIdBefore,
        replaced,
        member,
      });
    }
    case groupStates.completingRebalance:
      // The leader may be assigning to the old member id this moment.
      return group.prepareRebalance(reason, nowMs);
    case groupStates.preparingRebalance:
      return group.maybeCompleteJoin(nowMs);
    case groupStates.empty:
    case groupStates.dead:
      invariant(false, `no static member is known in state ${group.state}`);
  }
}

/** Kafka's acceptJoiningMember, and bounds for what Kafka leaves to its record size. */
function hasRoom(group: GroupCore, request: JoinRequest): boolean {
  const { members, settings } = group;
  const member = members.get(request.memberId);
  const bytes = protocolsBytes(request.protocols);
  const bytesBefore = member === undefined ? 0 : protocolsBytes(member.protocols);
  if (members.protocolsBytes - bytesBefore + bytes > settings.protocolsBytesMax) return false;
  if (request.memberId === '' && members.pendingJoins.size >= settings.membersMax) return false;
  if (group.isIn(groupStates.empty, groupStates.dead)) return true;
  if (group.isIn(groupStates.preparingRebalance)) {
    // Counting those that wait kicks the last to rejoin when the limit has been lowered.
    const isWaiting = member !== undefined && member.joinWaiter !== null;
    return isWaiting || members.awaitingJoinCount < settings.membersMax;
  }
  const isKnown = member !== undefined || isKnownInstance(group, request);
  return isKnown || members.size < settings.membersMax;
}

/** A static member that comes back adds nobody, with or without its member id. */
function isKnownInstance(group: GroupCore, { groupInstanceId }: JoinRequest): boolean {
  return groupInstanceId !== null && group.members.staticMemberId(groupInstanceId) !== undefined;
}

function supportsProtocols(group: GroupCore, request: JoinRequest): boolean {
  if (request.protocolType === '' || request.protocols.length === 0) return false;
  if (group.members.size === 0) return true;
  return (
    group.protocolType === request.protocolType && group.members.supportsAny(request.protocols)
  );
}

function takeSubscription(group: GroupCore, request: JoinRequest, member: Member): void {
  group.members.setProtocols(member, uniqueProtocols(request.protocols));
  member.sessionTimeoutMs = request.sessionTimeoutMs;
  member.rebalanceTimeoutMs = request.rebalanceTimeoutMs;
}

/** The generation that is. Kafka leaves the session as it was; but a member that asks is alive. */
function answerCurrent(
  group: GroupCore,
  request: JoinRequest,
  member: Member,
  nowMs: number,
): void {
  group.restartSession(member, nowMs);
  answer(group, request, group.currentGeneration(member));
}

function refuse(group: GroupCore, request: JoinRequest, errorCode: number, memberId: string): void {
  answer(group, request, joinFailure(errorCode, memberId));
}

function answer(group: GroupCore, request: JoinRequest, joinAnswer: JoinAnswer): void {
  group.emit({ kind: 'joined', waiter: request.waiter, answer: joinAnswer });
}

/** KIP-800. */
function reasonOf(request: JoinRequest): string {
  return request.reason === null || request.reason === '' ? 'not provided' : request.reason;
}
