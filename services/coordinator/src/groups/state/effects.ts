import type { StoredGroup } from '@kafscale/metadata';
import type { GroupState } from './group-state.js';
import type { Member } from './member.js';

/**
 * What goes into the state machine and what comes out. A request that may wait carries a `waiter`, a
 * number that its answer names; the machine holds no callbacks and no promises.
 */

export interface JoinAnswer {
  readonly errorCode: number;
  readonly generationId: number;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly leaderId: string;
  readonly skipAssignment: boolean;
  readonly memberId: string;
  /** For the leader only, else empty. */
  readonly members: readonly JoinedMember[];
}

export interface JoinedMember {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly metadata: Buffer;
}

/** A JoinGroup answer that is only an error. */
export function joinFailure(errorCode: number, memberId: string): JoinAnswer {
  return {
    errorCode,
    generationId: -1,
    protocolType: null,
    protocolName: null,
    leaderId: '',
    skipAssignment: false,
    memberId,
    members: [],
  };
}

export interface MemberRequest {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly generationId: number;
}

export interface SyncRequest extends MemberRequest {
  readonly waiter: number;
  /** null when the request's version does not carry it. */
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  /** By member id; only the leader sends any. */
  readonly assignments: ReadonlyMap<string, Buffer>;
}

export interface SyncAnswer {
  readonly errorCode: number;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly assignment: Buffer;
}

const noBytes = Buffer.alloc(0);

/** A SyncGroup answer that is only an error. */
export function syncFailure(errorCode: number): SyncAnswer {
  return { errorCode, protocolType: null, protocolName: null, assignment: noBytes };
}

export interface LeaveRequest {
  readonly waiter: number;
  readonly members: readonly LeavingMember[];
}

export interface LeavingMember {
  /** Empty: an administrator removes the static member named by groupInstanceId. */
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly reason: string | null;
}

export interface LeaveAnswer {
  readonly errorCode: number;
  readonly members: readonly LeftMember[];
}

export interface LeftMember {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly errorCode: number;
}

/**
 * What is to happen when a group has been written, or could not be. Handed back to the machine as it
 * is: by then the group may have moved on, so each says what it was made for.
 */
export type PersistTicket =
  | {
      readonly kind: 'assignment';
      readonly generationId: number;
      readonly assignments: ReadonlyMap<string, Buffer>;
    }
  | {
      readonly kind: 'staticReplacement';
      readonly generationId: number;
      readonly waiter: number;
      readonly assignmentSkippable: boolean;
      readonly leaderIdBefore: string;
      readonly replaced: Member;
      readonly member: Member;
    }
  | {
      readonly kind: 'empty';
      /** The LeaveGroup that emptied the group, answered when that is durable. */
      leave: { readonly waiter: number; readonly answer: LeaveAnswer } | null;
    };

/** For the log. */
export interface GroupEvent {
  readonly name: 'rebalance started' | 'rebalance completed' | 'group stable' | 'group empty';
  readonly generationId: number;
  readonly state: GroupState;
  readonly memberCount: number;
  readonly reason: string;
}

/** What the caller of the machine must do, in this order. */
export type GroupEffect =
  | { readonly kind: 'joined'; readonly waiter: number; readonly answer: JoinAnswer }
  | { readonly kind: 'synced'; readonly waiter: number; readonly answer: SyncAnswer }
  | { readonly kind: 'left'; readonly waiter: number; readonly answer: LeaveAnswer }
  | { readonly kind: 'persist'; readonly record: StoredGroup; readonly ticket: PersistTicket }
  | { readonly kind: 'event'; readonly event: GroupEvent };
