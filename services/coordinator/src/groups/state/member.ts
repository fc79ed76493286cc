import { invariant } from '@kafscale/core';
import type { StoredMember, StoredProtocol } from '@kafscale/metadata';
import type { JoinRequest } from './join-request.js';

/** One member of a classic group (Kafka's ClassicGroupMember). */
export interface Member {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly protocolType: string;
  sessionTimeoutMs: number;
  rebalanceTimeoutMs: number;
  /** In order of preference; names are unique. */
  protocols: readonly StoredProtocol[];
  assignment: Buffer;
  /** Has not yet been part of a generation: a waiting JoinGroup does not keep it alive. */
  isNew: boolean;
  /** The JoinGroup or SyncGroup request that waits for this member, null if none does. */
  joinWaiter: number | null;
  syncWaiter: number | null;
  /** When it is removed unless it is heard of; Infinity: not counted at present. */
  sessionDeadlineMs: number;
}

export const emptyAssignment = Buffer.alloc(0);

export function memberFromRequest(request: JoinRequest, memberId: string): Member {
  return {
    memberId,
    groupInstanceId: request.groupInstanceId,
    clientId: request.clientId,
    clientHost: request.clientHost,
    protocolType: request.protocolType,
    sessionTimeoutMs: request.sessionTimeoutMs,
    rebalanceTimeoutMs: request.rebalanceTimeoutMs,
    protocols: uniqueProtocols(request.protocols),
    assignment: emptyAssignment,
    isNew: true,
    joinWaiter: null,
    syncWaiter: null,
    sessionDeadlineMs: Infinity,
  };
}

export function memberFromStore(stored: StoredMember, protocolType: string): Member {
  return {
    ...stored,
    protocolType,
    isNew: false,
    joinWaiter: null,
    syncWaiter: null,
    sessionDeadlineMs: Infinity,
  };
}

export function memberToStore(member: Member, assignment: Buffer): StoredMember {
  return {
    memberId: member.memberId,
    groupInstanceId: member.groupInstanceId,
    clientId: member.clientId,
    clientHost: member.clientHost,
    sessionTimeoutMs: member.sessionTimeoutMs,
    rebalanceTimeoutMs: member.rebalanceTimeoutMs,
    protocols: member.protocols,
    assignment,
  };
}

/** Whether the request would change nothing of the member's subscription. */
export function protocolsEqual(
  left: readonly StoredProtocol[],
  right: readonly StoredProtocol[],
): boolean {
  return (
    left.length === right.length &&
    left.every(({ name, metadata }, position) => {
      const other = right[position];
      return other !== undefined && other.name === name && metadata.equals(other.metadata);
    })
  );
}

/** The member's subscription in a protocol. */
export function metadataOf(member: Member, protocolName: string): Buffer {
  const protocol = member.protocols.find(({ name }) => name === protocolName);
  invariant(protocol, `member ${member.memberId} has no protocol ${protocolName}`);
  return protocol.metadata;
}

/** The candidate that the member likes best. */
export function voteOf(member: Member, candidates: ReadonlySet<string>): string {
  const protocol = member.protocols.find(({ name }) => candidates.has(name));
  invariant(protocol, `member ${member.memberId} supports none of the candidate protocols`);
  return protocol.name;
}

/** A name that comes twice counts once, else it would have two votes in the support counts. */
export function uniqueProtocols(protocols: readonly StoredProtocol[]): readonly StoredProtocol[] {
  const names = new Set<string>();
  const unique = protocols.filter(({ name }) => {
    if (names.has(name)) return false;
    names.add(name);
    return true;
  });
  return unique.length === protocols.length ? protocols : unique;
}

export function protocolsBytes(protocols: readonly StoredProtocol[]): number {
  let bytes = 0;
  for (const { name, metadata } of protocols) bytes += name.length + metadata.length;
  return bytes;
}
