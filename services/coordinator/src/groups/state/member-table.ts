import { errorCodes } from '@kafscale/codec';
import { invariant } from '@kafscale/core';
import type { StoredProtocol } from '@kafscale/metadata';
import type { Member } from './member.js';
import { protocolsBytes, voteOf } from './member.js';

/**
 * The members of a group with the counts that would otherwise need a walk over all of them. Every
 * change of a member's protocols or join waiter goes through here.
 */
export class MemberTable {
  /** In order of joining: the first is the next leader. */
  readonly #members = new Map<string, Member>();
  /** Static members: member id by instance id. */
  readonly #memberIdsByInstance = new Map<string, string>();
  /** How many members support a protocol. */
  readonly #supporters = new Map<string, number>();
  /** Members that were told their id and have not come back with it: deadlines by member id. */
  readonly pendingJoins = new Map<string, number>();
  /** Members of the current generation that have not sent SyncGroup. */
  readonly pendingSyncs = new Set<string>();
  leaderId: string | null = null;
  #awaitingJoinCount = 0;
  #protocolsBytes = 0;

  get size(): number {
    return this.#members.size;
  }

  get awaitingJoinCount(): number {
    return this.#awaitingJoinCount;
  }

  /** Bytes of all subscriptions. */
  get protocolsBytes(): number {
    return this.#protocolsBytes;
  }

  get(memberId: string): Member | undefined {
    return this.#members.get(memberId);
  }

  has(memberId: string): boolean {
    return this.#members.has(memberId);
  }

  all(): IterableIterator<Member> {
    return this.#members.values();
  }

  staticMemberId(groupInstanceId: string): string | undefined {
    return this.#memberIdsByInstance.get(groupInstanceId);
  }

  /** UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID or 0 (Kafka's ClassicGroup.validateMember). */
  validate(memberId: string, groupInstanceId: string | null): number {
    if (groupInstanceId !== null) {
      const known = this.staticMemberId(groupInstanceId);
      if (known === undefined) return errorCodes.UNKNOWN_MEMBER_ID;
      if (known !== memberId) return errorCodes.FENCED_INSTANCE_ID;
    }
    return this.has(memberId) ? errorCodes.NONE : errorCodes.UNKNOWN_MEMBER_ID;
  }

  add(member: Member): void {
    invariant(!this.#members.has(member.memberId), `member ${member.memberId} is added once`);
    if (member.groupInstanceId !== null) {
      const taken = this.#memberIdsByInstance.has(member.groupInstanceId);
      invariant(!taken, `instance ${member.groupInstanceId} is added once`);
      this.#memberIdsByInstance.set(member.groupInstanceId, member.memberId);
    }
    this.leaderId ??= member.memberId;
    this.#members.set(member.memberId, member);
    this.#count(member.protocols, 1);
    if (member.joinWaiter !== null) this.#awaitingJoinCount += 1;
    this.pendingJoins.delete(member.memberId);
  }

  /** Takes a member or a pending member out. The caller has answered its waiters. */
  remove(memberId: string): void {
    const member = this.#members.get(memberId);
    if (member !== undefined) {
      invariant(member.syncWaiter === null, 'a removed member waits for nothing');
      invariant(member.joinWaiter === null, 'a removed member waits for nothing');
      this.#members.delete(memberId);
      this.#count(member.protocols, -1);
      if (member.groupInstanceId !== null) this.#memberIdsByInstance.delete(member.groupInstanceId);
    }
    if (this.leaderId === memberId) {
      const first = this.#members.keys().next();
      this.leaderId = first.done === true ? null : first.value;
    }
    this.pendingJoins.delete(memberId);
    this.pendingSyncs.delete(memberId);
  }

  /** Puts `member` in the place of another one with the same instance id. */
  replaceStatic(replaced: Member, member: Member): void {
    invariant(replaced.groupInstanceId !== null, 'only a static member is replaced');
    invariant(replaced.groupInstanceId === member.groupInstanceId, 'by the same instance');
    invariant(replaced.joinWaiter === null && replaced.syncWaiter === null, 'it waits for nothing');
    const wasLeader = this.leaderId === replaced.memberId;
    this.#members.delete(replaced.memberId);
    this.#count(replaced.protocols, -1);
    this.pendingSyncs.delete(replaced.memberId);
    this.#members.set(member.memberId, member);
    this.#count(member.protocols, 1);
    if (member.joinWaiter !== null) this.#awaitingJoinCount += 1;
    this.#memberIdsByInstance.set(replaced.groupInstanceId, member.memberId);
    if (wasLeader) this.leaderId = member.memberId;
  }

  setProtocols(member: Member, protocols: readonly StoredProtocol[]): void {
    this.#count(member.protocols, -1);
    member.protocols = protocols;
    this.#count(protocols, 1);
  }

  setJoinWaiter(member: Member, waiter: number | null): void {
    invariant(this.#members.get(member.memberId) === member, 'the member is in the table');
    if (member.joinWaiter !== null) this.#awaitingJoinCount -= 1;
    member.joinWaiter = waiter;
    if (waiter !== null) this.#awaitingJoinCount += 1;
    invariant(this.#awaitingJoinCount >= 0, 'no more joins are answered than wait');
  }

  get allJoined(): boolean {
    return this.#members.size === this.#awaitingJoinCount && this.pendingJoins.size === 0;
  }

  /** The group waits as long as its slowest member asked for. */
  get rebalanceTimeoutMs(): number {
    let timeoutMs = 0;
    for (const member of this.all()) timeoutMs = Math.max(timeoutMs, member.rebalanceTimeoutMs);
    return timeoutMs;
  }

  /** If the leader has not rejoined, one of those that have takes over. False: nobody has. */
  electJoinedLeader(): boolean {
    if (this.leaderId === null) return false;
    const leader = this.#members.get(this.leaderId);
    invariant(leader, 'the leader is a member');
    if (leader.joinWaiter !== null) return true;
    for (const member of this.all()) {
      if (member.joinWaiter === null) continue;
      this.leaderId = member.memberId;
      return true;
    }
    return false;
  }

  /** Whether every member supports at least one of these. */
  supportsAny(protocols: readonly StoredProtocol[]): boolean {
    return protocols.some(({ name }) => this.#supporters.get(name) === this.#members.size);
  }

  /** One vote a member among the protocols that all support; the first to have the most wins. */
  selectProtocol(): string {
    invariant(this.#members.size > 0, 'an empty group selects no protocol');
    const candidates = new Set<string>();
    for (const [name, supporters] of this.#supporters) {
      if (supporters === this.#members.size) candidates.add(name);
    }
    const votes = new Map<string, number>();
    for (const member of this.all()) {
      const name = voteOf(member, candidates);
      votes.set(name, (votes.get(name) ?? 0) + 1);
    }
    let selected = '';
    let votesMax = 0;
    for (const [name, count] of votes) {
      if (count <= votesMax) continue;
      selected = name;
      votesMax = count;
    }
    invariant(votesMax > 0, 'every member has voted');
    return selected;
  }

  #count(protocols: readonly StoredProtocol[], change: 1 | -1): void {
    for (const { name } of protocols) {
      const supporters = (this.#supporters.get(name) ?? 0) + change;
      invariant(supporters >= 0, 'no protocol has fewer than no supporters');
      if (supporters === 0) this.#supporters.delete(name);
      else this.#supporters.set(name, supporters);
    }
    this.#protocolsBytes += change * protocolsBytes(protocols);
  }
}
