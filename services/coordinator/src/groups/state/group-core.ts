import { errorCodes } from '@kafscale/codec';
import { invariant } from '@kafscale/core';
import type { StoredGroup } from '@kafscale/metadata';
import type { GroupEffect, GroupEvent, JoinAnswer, PersistTicket, SyncAnswer } from './effects.js';
import { joinFailure, syncFailure } from './effects.js';
import type { GroupState } from './group-state.js';
import { canRebalance, groupStates, nextGroupState } from './group-state.js';
import type { Member } from './member.js';
import { emptyAssignment, memberToStore, metadataOf } from './member.js';
import { MemberTable } from './member-table.js';

export interface GroupSettings {
  /** group.initial.rebalance.delay.ms */
  readonly initialRebalanceDelayMs: number;
  /** group.max.size */
  readonly membersMax: number;
  /** Subscriptions of all members together; a further member is refused. */
  readonly protocolsBytesMax: number;
  /** Assignments of all members together; a larger one is refused. */
  readonly assignmentBytesMax: number;
  /** How long a member that was never in a generation may wait for its first JoinGroup answer. */
  readonly newMemberJoinTimeoutMs: number;
}

/** When the join phase ends at the latest. `initial`: it is extended while members arrive. */
type JoinTimer =
  | { readonly kind: 'rebalance'; readonly deadlineMs: number }
  | {
      readonly kind: 'initial';
      readonly deadlineMs: number;
      readonly delayMs: number;
      readonly remainingMs: number;
    };

/** Waiting again for members of which none rejoined: never in a tight loop. */
const postponedRebalanceMsMin = 1_000;

/**
 * State, timers and the phases of a rebalance; what Kafka's GroupMetadataManager does between the
 * requests. The requests themselves are in join.ts, sync.ts, leave.ts. Times are milliseconds of one
 * monotonic clock; nothing here reads it.
 */
export class GroupCore {
  readonly groupId: string;
  readonly settings: GroupSettings;
  readonly members = new MemberTable();
  generationId = 0;
  protocolType: string | null = null;
  protocolName: string | null = null;
  /** A member has joined since the initial rebalance was last extended. */
  newMemberAdded = false;
  #state: GroupState = groupStates.empty;
  #previousState: GroupState = groupStates.empty;
  joinTimer: JoinTimer | null = null;
  syncDeadlineMs = Infinity;
  /** The generation whose assignment is being written; -1: none. */
  assigningGenerationId = -1;
  /** Never later than the earliest deadline. */
  wakeAtMs = Infinity;
  #effects: GroupEffect[] = [];

  constructor(groupId: string, settings: GroupSettings) {
    this.groupId = groupId;
    this.settings = settings;
  }

  get state(): GroupState {
    return this.#state;
  }

  isIn(...states: readonly GroupState[]): boolean {
    return states.includes(this.#state);
  }

  transitionTo(state: GroupState): void {
    const next = nextGroupState(this.#state, state);
    this.#previousState = this.#state;
    this.#state = next;
  }

  /** A restored group with members goes on where it was. Not an edge of the state machine. */
  restoreStable(): void {
    invariant(this.#state === groupStates.empty && this.generationId >= 0, 'a fresh group');
    invariant(this.members.size > 0, 'a stable group has members');
    this.#state = groupStates.stable;
    this.#previousState = groupStates.completingRebalance;
  }

  // Effects

  takeEffects(): readonly GroupEffect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  emit(effect: GroupEffect): void {
    this.#effects.push(effect);
  }

  persist(ticket: PersistTicket, assignments?: ReadonlyMap<string, Buffer>): void {
    this.emit({ kind: 'persist', record: this.toStored(assignments), ticket });
  }

  /** False if nobody waited. */
  answerJoin(member: Member, answer: JoinAnswer): boolean {
    if (member.joinWaiter === null) return false;
    this.emit({ kind: 'joined', waiter: member.joinWaiter, answer });
    this.members.setJoinWaiter(member, null);
    return true;
  }

  answerSync(member: Member, answer: SyncAnswer): boolean {
    if (member.syncWaiter === null) return false;
    this.emit({ kind: 'synced', waiter: member.syncWaiter, answer });
    member.syncWaiter = null;
    return true;
  }

  /**
   * Lets a JoinGroup wait. A request that already waits for the member was given up by its client,
   * which is asking again; Kafka forgets it, here it is told to ask again and so ends.
   */
  awaitJoin(member: Member, waiter: number): void {
    this.answerJoin(member, joinFailure(errorCodes.REBALANCE_IN_PROGRESS, member.memberId));
    this.members.setJoinWaiter(member, waiter);
  }

  awaitSync(member: Member, waiter: number): void {
    this.answerSync(member, syncFailure(errorCodes.REBALANCE_IN_PROGRESS));
    member.syncWaiter = waiter;
  }

  /** Ends a member; whatever waits for it gets `errorCode`. The rebalance is the caller's. */
  removeMember(memberId: string, errorCode: number): void {
    const member = this.members.get(memberId);
    if (member !== undefined) {
      this.answerJoin(member, joinFailure(errorCode, ''));
      this.answerSync(member, syncFailure(errorCode));
    }
    this.members.remove(memberId);
  }

  // Timers

  restartSession(member: Member, nowMs: number, timeoutMs = member.sessionTimeoutMs): void {
    member.sessionDeadlineMs = this.#deadline(nowMs, timeoutMs);
  }

  addPendingJoin(memberId: string, sessionTimeoutMs: number, nowMs: number): void {
    invariant(!this.members.has(memberId), 'a pending member is not yet a member');
    this.members.pendingJoins.set(memberId, this.#deadline(nowMs, sessionTimeoutMs));
  }

  #startJoinTimer(nowMs: number, timeoutMs: number): void {
    this.joinTimer = { kind: 'rebalance', deadlineMs: this.#deadline(nowMs, timeoutMs) };
  }

  #startInitialTimer(nowMs: number, delayMs: number, remainingMs: number): void {
    const deadlineMs = this.#deadline(nowMs, delayMs);
    this.joinTimer = { kind: 'initial', deadlineMs, delayMs, remainingMs };
  }

  /** Called when the join timer has fired. */
  joinTimerFired(nowMs: number): void {
    const timer = this.joinTimer;
    invariant(timer !== null && this.isIn(groupStates.preparingRebalance), 'a join phase runs');
    if (timer.kind === 'initial' && this.newMemberAdded && timer.remainingMs > 0) {
      this.newMemberAdded = false;
      const delayMs = Math.min(this.settings.initialRebalanceDelayMs, timer.remainingMs);
      this.#startInitialTimer(nowMs, delayMs, Math.max(timer.remainingMs - timer.delayMs, 0));
      return;
    }
    this.completeJoin(nowMs);
  }

  #deadline(nowMs: number, delayMs: number): number {
    const deadlineMs = nowMs + Math.max(delayMs, 0);
    this.wakeAtMs = Math.min(this.wakeAtMs, deadlineMs);
    return deadlineMs;
  }

  // Rebalance

  prepareRebalanceOrCompleteJoin(reason: string, nowMs: number): void {
    if (canRebalance(this.#state)) this.prepareRebalance(reason, nowMs);
    else this.maybeCompleteJoin(nowMs);
  }

  prepareRebalance(reason: string, nowMs: number): void {
    if (this.isIn(groupStates.completingRebalance)) {
      this.resetAssignments(errorCodes.REBALANCE_IN_PROGRESS, nowMs);
    }
    this.members.pendingSyncs.clear();
    this.syncDeadlineMs = Infinity;
    const isInitial = this.isIn(groupStates.empty);
    this.transitionTo(groupStates.preparingRebalance);
    this.#event('rebalance started', reason);
    if (isInitial) {
      // Nobody reads yet, so waiting costs little, and saves a rebalance for each further member.
      const delayMs = this.settings.initialRebalanceDelayMs;
      const remainingMs = Math.max(this.members.rebalanceTimeoutMs - delayMs, 0);
      this.newMemberAdded = false;
      this.#startInitialTimer(nowMs, delayMs, remainingMs);
    } else if (this.members.allJoined) {
      this.completeJoin(nowMs);
    } else {
      this.#startJoinTimer(nowMs, this.members.rebalanceTimeoutMs);
    }
  }

  /** An initial rebalance ends by its timer only. */
  maybeCompleteJoin(nowMs: number): void {
    if (!this.isIn(groupStates.preparingRebalance) || this.isInitialRebalance) return;
    if (this.members.allJoined) this.completeJoin(nowMs);
  }

  get isInitialRebalance(): boolean {
    return this.isIn(groupStates.preparingRebalance) && this.#previousState === groupStates.empty;
  }

  completeJoin(nowMs: number): void {
    invariant(this.isIn(groupStates.preparingRebalance), 'a join phase runs');
    this.joinTimer = null;
    // A static member that has not come back keeps its place until its session ends (KIP-345).
    const missing = [...this.members.all()].filter(
      ({ joinWaiter, groupInstanceId }) => joinWaiter === null && groupInstanceId === null,
    );
    for (const { memberId } of missing) this.removeMember(memberId, errorCodes.UNKNOWN_MEMBER_ID);
    if (!this.members.electJoinedLeader() && this.members.size > 0) {
      const timeoutMs = Math.max(this.members.rebalanceTimeoutMs, postponedRebalanceMsMin);
      this.#startJoinTimer(nowMs, timeoutMs);
      return;
    }
    this.generationId += 1;
    this.members.pendingSyncs.clear();
    if (this.members.size === 0) this.#becomeEmpty();
    else this.#beginGeneration(nowMs);
  }

  #becomeEmpty(): void {
    this.protocolName = null;
    this.transitionTo(groupStates.empty);
    this.persist({ kind: 'empty', leave: null });
    this.#event('group empty', 'no members are left');
  }

  #beginGeneration(nowMs: number): void {
    this.protocolName = this.members.selectProtocol();
    this.transitionTo(groupStates.completingRebalance);
    for (const member of this.members.all()) {
      this.answerJoin(member, this.currentGeneration(member));
      this.restartSession(member, nowMs);
      member.isNew = false;
      this.members.pendingSyncs.add(member.memberId);
    }
    this.syncDeadlineMs = this.#deadline(nowMs, Math.max(this.members.rebalanceTimeoutMs, 1));
    invariant(this.members.awaitingJoinCount === 0, 'every join is answered');
    this.#event('rebalance completed', `protocol ${this.protocolName}`);
  }

  /** JoinGroup's answer about the generation that is. */
  currentGeneration(member: Member): JoinAnswer {
    invariant(this.members.leaderId !== null, 'a generation has a leader');
    invariant(this.protocolName !== null, 'a generation has a protocol');
    const protocolName = this.protocolName;
    const isLeader = this.members.leaderId === member.memberId;
    return {
      errorCode: errorCodes.NONE,
      generationId: this.generationId,
      protocolType: this.protocolType,
      protocolName,
      leaderId: this.members.leaderId,
      skipAssignment: false,
      memberId: member.memberId,
      members: isLeader ? this.#joinedMembers(protocolName) : [],
    };
  }

  #joinedMembers(protocolName: string): JoinAnswer['members'] {
    return Array.from(this.members.all(), (member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      metadata: metadataOf(member, protocolName),
    }));
  }

  resetAssignments(errorCode: number, nowMs: number): void {
    invariant(this.isIn(groupStates.completingRebalance), 'a sync phase runs');
    invariant(errorCode !== errorCodes.NONE, 'assignments are reset for a reason');
    for (const member of this.members.all()) {
      member.assignment = emptyAssignment;
      if (this.answerSync(member, syncFailure(errorCode))) this.restartSession(member, nowMs);
    }
  }

  /** The leader's assignment is durable: hand it out. */
  becomeStable(assignments: ReadonlyMap<string, Buffer>, nowMs: number): void {
    invariant(this.isIn(groupStates.completingRebalance), 'a sync phase runs');
    for (const member of this.members.all()) {
      member.assignment = assignments.get(member.memberId) ?? emptyAssignment;
      const answered = this.answerSync(member, this.currentAssignment(member));
      // Its session may have run out while it waited, which did not count.
      if (answered) this.restartSession(member, nowMs);
    }
    this.transitionTo(groupStates.stable);
    this.#event('group stable', 'the leader has assigned');
  }

  currentAssignment(member: Member): SyncAnswer {
    return {
      errorCode: errorCodes.NONE,
      protocolType: this.protocolType,
      protocolName: this.protocolName,
      assignment: member.assignment,
    };
  }

  /** What a restart must find. `assignments` in place of those that the members have now. */
  toStored(assignments?: ReadonlyMap<string, Buffer>): StoredGroup {
    return {
      groupId: this.groupId,
      generationId: this.generationId,
      protocolType: this.protocolType,
      protocolName: this.protocolName,
      leaderId: this.members.leaderId,
      members: Array.from(this.members.all(), (member) => {
        if (assignments === undefined) return memberToStore(member, member.assignment);
        return memberToStore(member, assignments.get(member.memberId) ?? emptyAssignment);
      }),
    };
  }

  #event(name: GroupEvent['name'], reason: string): void {
    const { generationId, state } = this;
    const memberCount = this.members.size;
    this.emit({ kind: 'event', event: { name, generationId, state, memberCount, reason } });
  }
}
