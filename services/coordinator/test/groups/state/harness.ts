import { ClassicGroup } from '../../../src/groups/state/classic-group.js';
import type {
  GroupEffect,
  JoinAnswer,
  LeaveAnswer,
  LeavingMember,
  SyncAnswer,
} from '../../../src/groups/state/effects.js';
import type { JoinRequest } from '../../../src/groups/state/join-request.js';
import type { GroupSettings } from '../../../src/groups/state/group-core.js';

export const testSettings: GroupSettings = {
  initialRebalanceDelayMs: 3_000,
  membersMax: 100,
  protocolsBytesMax: 1_000_000,
  assignmentBytesMax: 1_000_000,
  newMemberJoinTimeoutMs: 300_000,
};

export interface Pending<T> {
  answer: T | null;
}

export type Persist = Extract<GroupEffect, { kind: 'persist' }>;

export function bytes(text: string): Buffer {
  return Buffer.from(text);
}

/** A group, a clock that only tests move, and the requests that wait in it. */
export class Harness {
  group: ClassicGroup;
  nowMs = 1_000;
  readonly settings: GroupSettings;
  /** Writes that have been asked for and not ended. */
  readonly persists: Persist[] = [];
  /** false: a test ends the writes itself. */
  persistsAtOnce = true;
  readonly #waiting = new Map<number, Pending<unknown>>();
  #nextWaiter = 1;
  #nextMemberId = 1;

  constructor(settings: Partial<GroupSettings> = {}) {
    this.settings = { ...testSettings, ...settings };
    this.group = new ClassicGroup('group', this.settings);
  }

  join(request: Partial<JoinRequest> = {}): Pending<JoinAnswer> {
    const [waiter, pending] = this.#wait<JoinAnswer>();
    const effects = this.group.join(
      {
        waiter,
        knownMemberIdRequired: true,
        assignmentSkippable: true,
        memberId: '',
        generatedMemberId: `${request.groupInstanceId ?? 'client'}-${this.#nextMemberId++}`,
        groupInstanceId: null,
        clientId: 'client',
        clientHost: '127.0.0.1',
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 60_000,
        protocolType: 'consumer',
        protocols: [{ name: 'range', metadata: bytes('subscription') }],
        reason: null,
        ...request,
      },
      this.nowMs,
    );
    this.#perform(effects);
    return pending;
  }

  /** Joins without the KIP-394 round trip, as versions below 4 do. */
  joinAtOnce(request: Partial<JoinRequest> = {}): Pending<JoinAnswer> {
    return this.join({ knownMemberIdRequired: false, ...request });
  }

  sync(
    member: { memberId: string; groupInstanceId?: string | null },
    assignments: Record<string, string> = {},
    rest: { generationId?: number; protocolType?: string; protocolName?: string } = {},
  ): Pending<SyncAnswer> {
    const [waiter, pending] = this.#wait<SyncAnswer>();
    const effects = this.group.sync(
      {
        waiter,
        memberId: member.memberId,
        groupInstanceId: member.groupInstanceId ?? null,
        generationId: rest.generationId ?? this.group.generationId,
        protocolType: rest.protocolType ?? null,
        protocolName: rest.protocolName ?? null,
        assignments: new Map(Object.entries(assignments).map(([id, text]) => [id, bytes(text)])),
      },
      this.nowMs,
    );
    this.#perform(effects);
    return pending;
  }

  leave(...members: Partial<LeavingMember>[]): Pending<LeaveAnswer> {
    const [waiter, pending] = this.#wait<LeaveAnswer>();
    const effects = this.group.leave(
      {
        waiter,
        members: members.map((member) => ({
          memberId: '',
          groupInstanceId: null,
          reason: null,
          ...member,
        })),
      },
      this.nowMs,
    );
    this.#perform(effects);
    return pending;
  }

  heartbeat(memberId: string, generationId = this.group.generationId, instance?: string): number {
    const request = { memberId, generationId, groupInstanceId: instance ?? null };
    return this.group.heartbeat(request, this.nowMs);
  }

  checkCommit(memberId: string, generationId: number, instance?: string): number {
    const request = { memberId, generationId, groupInstanceId: instance ?? null };
    return this.group.checkOffsetCommit(request, this.nowMs);
  }

  /** Lets time pass, stopping at every timer on the way. */
  pass(durationMs: number): void {
    const endMs = this.nowMs + durationMs;
    while (this.group.wakeAtMs <= endMs) {
      this.nowMs = Math.max(this.nowMs, this.group.wakeAtMs);
      this.#perform(this.group.advance(this.nowMs));
    }
    this.nowMs = endMs;
  }

  endPersist(errorCode = 0): void {
    const persist = this.persists.shift();
    if (!persist) throw new Error('nothing is being written');
    this.#perform(this.group.persisted(persist.ticket, errorCode, this.nowMs));
  }

  unload(errorCode: number): void {
    this.#perform(this.group.unload(errorCode));
  }

  /** `count` dynamic members in a stable group; the first leads. Their answers. */
  stable(count: number): JoinAnswer[] {
    const waiting = Array.from({ length: count }, () => this.joinAtOnce());
    this.pass(this.settings.initialRebalanceDelayMs * 2);
    const answers = waiting.map(({ answer }) => {
      if (!answer) throw new Error('the join phase has not ended');
      return answer;
    });
    this.syncAll(answers);
    return answers;
  }

  /** Every member of the generation syncs, the leader with `a-<member id>` for each. */
  syncAll(answers: readonly JoinAnswer[]): SyncAnswer[] {
    const plan = Object.fromEntries(answers.map(({ memberId }) => [memberId, `a-${memberId}`]));
    const waiting = answers.map(({ leaderId, memberId }) =>
      this.sync({ memberId }, leaderId === memberId ? plan : {}),
    );
    return waiting.map(({ answer }) => {
      if (!answer) throw new Error('the sync phase has not ended');
      return answer;
    });
  }

  #wait<T>(): [number, Pending<T>] {
    const pending: Pending<T> = { answer: null };
    const waiter = this.#nextWaiter++;
    this.#waiting.set(waiter, pending);
    return [waiter, pending];
  }

  #perform(effects: readonly GroupEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'event') continue;
      if (effect.kind === 'persist') {
        this.persists.push(effect);
        if (this.persistsAtOnce) this.endPersist();
        continue;
      }
      const pending = this.#waiting.get(effect.waiter);
      if (!pending) throw new Error(`waiter ${effect.waiter} was answered twice`);
      this.#waiting.delete(effect.waiter);
      pending.answer = effect.answer;
    }
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }
}
