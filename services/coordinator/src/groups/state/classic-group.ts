import { invariant } from '@kafscale/core';
import type { StoredGroup } from '@kafscale/metadata';
import type {
  GroupEffect,
  LeaveRequest,
  MemberRequest,
  PersistTicket,
  SyncRequest,
} from './effects.js';
import type { JoinRequest } from './join-request.js';
import { joinFailure, syncFailure } from './effects.js';
import { expire } from './expire.js';
import type { GroupSettings } from './group-core.js';
import { GroupCore } from './group-core.js';
import type { GroupState } from './group-state.js';
import { groupStates } from './group-state.js';
import { join } from './join.js';
import { leave } from './leave.js';
import { memberFromStore, metadataOf } from './member.js';
import { persisted } from './persisted.js';
import { checkOffsetCommit, heartbeat, sync } from './sync.js';

export interface GroupDescription {
  readonly state: GroupState;
  readonly generationId: number;
  readonly protocolType: string;
  /** Empty unless the group is stable. */
  readonly protocolName: string;
  readonly members: readonly MemberDescription[];
}

export interface MemberDescription {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  /** Empty unless the group is stable. */
  readonly metadata: Buffer;
  readonly assignment: Buffer;
}

const noBytes = Buffer.alloc(0);

/**
 * One consumer group of the classic protocol: a pure state machine. Requests, elapsed time and ended
 * writes go in; effects come out (answers, by waiter number; records to write; events for the log).
 * Time is milliseconds of one monotonic clock. Ground truth: Kafka 4's GroupMetadataManager and
 * ClassicGroup.
 */
export class ClassicGroup {
  readonly #core: GroupCore;

  constructor(groupId: string, settings: GroupSettings) {
    invariant(settings.membersMax > 0, 'a group may have members');
    this.#core = new GroupCore(groupId, settings);
  }

  /** Goes on where the stored group was: same generation, same members, fresh session timers. */
  static restore(stored: StoredGroup, settings: GroupSettings, nowMs: number): ClassicGroup {
    const group = new ClassicGroup(stored.groupId, settings);
    const core = group.#core;
    core.generationId = stored.generationId;
    core.protocolType = stored.protocolType;
    core.protocolName = stored.protocolName;
    for (const storedMember of stored.members) {
      invariant(stored.protocolType !== null, 'a group with members has a protocol type');
      const member = memberFromStore(storedMember, stored.protocolType);
      core.members.add(member);
      core.restartSession(member, nowMs);
    }
    if (core.members.size > 0) {
      invariant(stored.leaderId !== null && core.members.has(stored.leaderId), 'a leader exists');
      core.members.leaderId = stored.leaderId;
      core.restoreStable();
    }
    return group;
  }

  get groupId(): string {
    return this.#core.groupId;
  }

  get state(): GroupState {
    return this.#core.state;
  }

  get generationId(): number {
    return this.#core.generationId;
  }

  /** Empty: nobody ever joined. */
  get protocolType(): string {
    return this.#core.protocolType ?? '';
  }

  get memberCount(): number {
    return this.#core.members.size;
  }

  /** No members and nobody about to become one: the stored record says as much. */
  get isIdle(): boolean {
    const { members } = this.#core;
    return (
      this.#core.isIn(groupStates.empty, groupStates.dead) &&
      members.size === 0 &&
      members.pendingJoins.size === 0
    );
  }

  /** Call {@link advance} then at the latest. Infinity: no timer runs. May be early, never late. */
  get wakeAtMs(): number {
    return this.#core.wakeAtMs;
  }

  join(request: JoinRequest, nowMs: number): readonly GroupEffect[] {
    join(this.#core, request, nowMs);
    return this.#core.takeEffects();
  }

  sync(request: SyncRequest, nowMs: number): readonly GroupEffect[] {
    sync(this.#core, request, nowMs);
    return this.#core.takeEffects();
  }

  leave(request: LeaveRequest, nowMs: number): readonly GroupEffect[] {
    leave(this.#core, request, nowMs);
    return this.#core.takeEffects();
  }

  /** A Kafka error code. */
  heartbeat(request: MemberRequest, nowMs: number): number {
    return heartbeat(this.#core, request, nowMs);
  }

  /** A Kafka error code: 0 = the offsets may be written. */
  checkOffsetCommit(request: MemberRequest, nowMs: number): number {
    return checkOffsetCommit(this.#core, request, nowMs);
  }

  /** The write of a `persist` effect has ended, with 0 or the error code to give its waiters. */
  persisted(ticket: PersistTicket, errorCode: number, nowMs: number): readonly GroupEffect[] {
    persisted(this.#core, ticket, errorCode, nowMs);
    return this.#core.takeEffects();
  }

  advance(nowMs: number): readonly GroupEffect[] {
    if (!this.#core.isIn(groupStates.dead)) expire(this.#core, nowMs);
    return this.#core.takeEffects();
  }

  /** Nobody could be heard of for a while, through no fault of the members: sessions start anew. */
  restartSessions(nowMs: number): void {
    for (const member of this.#core.members.all()) {
      if (member.sessionDeadlineMs < Infinity) this.#core.restartSession(member, nowMs);
    }
  }

  /** This process no longer owns the group: everybody who waits is told so. */
  unload(errorCode: number): readonly GroupEffect[] {
    const core = this.#core;
    if (core.isIn(groupStates.dead)) return [];
    core.transitionTo(groupStates.dead);
    for (const member of core.members.all()) {
      core.answerJoin(member, joinFailure(errorCode, member.memberId));
      core.answerSync(member, syncFailure(errorCode));
    }
    core.wakeAtMs = Infinity;
    return core.takeEffects();
  }

  toStored(): StoredGroup {
    return this.#core.toStored();
  }

  describe(): GroupDescription {
    const core = this.#core;
    const protocolName = core.isIn(groupStates.stable) ? core.protocolName : null;
    return {
      state: core.state,
      generationId: core.generationId,
      protocolType: core.protocolType ?? '',
      protocolName: protocolName ?? '',
      members: Array.from(core.members.all(), (member) => ({
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId,
        clientId: member.clientId,
        clientHost: member.clientHost,
        metadata: protocolName === null ? noBytes : metadataOf(member, protocolName),
        assignment: member.assignment,
      })),
    };
  }
}
