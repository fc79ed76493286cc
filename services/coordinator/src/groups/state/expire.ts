import { errorCodes } from '@kafscale/codec';
import { invariant } from '@kafscale/core';
import type { GroupCore } from './group-core.js';
import { groupStates } from './group-state.js';

type Timer =
  | { readonly kind: 'join'; readonly deadlineMs: number }
  | { readonly kind: 'sync'; readonly deadlineMs: number }
  | {
      readonly kind: 'session' | 'pending';
      readonly deadlineMs: number;
      readonly memberId: string;
    };

/** Fires everything that is due at `nowMs`, in the order of the deadlines. */
export function expire(group: GroupCore, nowMs: number): void {
  // A timer that fires may set another one that is due at once (a rebalance delay of 0); each
  // round fires at least one, and only the join and sync timers come back.
  for (let rounds = 0; ; rounds += 1) {
    invariant(rounds < 100, 'timers do not fire for ever');
    const due = timersOf(group).filter(({ deadlineMs }) => deadlineMs <= nowMs);
    if (due.length === 0) break;
    due.sort((left, right) => left.deadlineMs - right.deadlineMs);
    for (const timer of due) if (deadlineOf(group, timer) <= nowMs) fire(group, timer, nowMs);
  }
  group.wakeAtMs = earliestOf(timersOf(group));
}

function fire(group: GroupCore, timer: Timer, nowMs: number): void {
  switch (timer.kind) {
    case 'join':
      return group.joinTimerFired(nowMs);
    case 'sync':
      return syncExpired(group, nowMs);
    case 'pending':
      group.removeMember(timer.memberId, errorCodes.UNKNOWN_MEMBER_ID);
      return joinPhaseMayBeComplete(group, nowMs);
    case 'session':
      return sessionExpired(group, timer.memberId, nowMs);
  }
}

function sessionExpired(group: GroupCore, memberId: string, nowMs: number): void {
  const member = group.members.get(memberId);
  invariant(member, 'the session is of a member');
  // Members that wait for us are alive as far as we know; their sessions restart with the answer.
  const isWaiting = member.joinWaiter !== null || member.syncWaiter !== null;
  if (!member.isNew && isWaiting) {
    member.sessionDeadlineMs = Infinity;
    return;
  }
  group.removeMember(memberId, errorCodes.UNKNOWN_MEMBER_ID);
  if (group.isIn(groupStates.stable, groupStates.completingRebalance)) {
    group.prepareRebalance(`the session of member ${memberId} ended`, nowMs);
  } else {
    joinPhaseMayBeComplete(group, nowMs);
  }
}

/** Unlike a joining member, a lost one may also end an initial rebalance (as in Kafka). */
function joinPhaseMayBeComplete(group: GroupCore, nowMs: number): void {
  const isComplete = group.isIn(groupStates.preparingRebalance) && group.members.allJoined;
  if (isComplete) group.completeJoin(nowMs);
}

/** Members that joined the generation and never sent SyncGroup hold up nobody any longer. */
function syncExpired(group: GroupCore, nowMs: number): void {
  invariant(
    group.isIn(groupStates.completingRebalance, groupStates.stable),
    'syncs are awaited in a generation',
  );
  group.syncDeadlineMs = Infinity;
  const pending = [...group.members.pendingSyncs];
  if (pending.length === 0) return;
  for (const memberId of pending) group.removeMember(memberId, errorCodes.UNKNOWN_MEMBER_ID);
  group.prepareRebalance(`no SyncGroup came from ${pending.join(', ')}`, nowMs);
}

function timersOf(group: GroupCore): Timer[] {
  const timers: Timer[] = [];
  if (group.joinTimer) timers.push({ kind: 'join', deadlineMs: group.joinTimer.deadlineMs });
  timers.push({ kind: 'sync', deadlineMs: group.syncDeadlineMs });
  for (const [memberId, deadlineMs] of group.members.pendingJoins) {
    timers.push({ kind: 'pending', deadlineMs, memberId });
  }
  for (const { memberId, sessionDeadlineMs } of group.members.all()) {
    timers.push({ kind: 'session', deadlineMs: sessionDeadlineMs, memberId });
  }
  return timers;
}

/** Its deadline now: a timer that fired before this one may have changed it. */
function deadlineOf(group: GroupCore, timer: Timer): number {
  if (timer.kind === 'join') return group.joinTimer?.deadlineMs ?? Infinity;
  if (timer.kind === 'sync') return group.syncDeadlineMs;
  if (timer.kind === 'pending') return group.members.pendingJoins.get(timer.memberId) ?? Infinity;
  return group.members.get(timer.memberId)?.sessionDeadlineMs ?? Infinity;
}

function earliestOf(timers: readonly Timer[]): number {
  let earliestMs = Infinity;
  for (const { deadlineMs } of timers) earliestMs = Math.min(earliestMs, deadlineMs);
  return earliestMs;
}
