import { invariant, OperatingError } from '@kafscale/core';

/** What survives a restart of a group's owner: everything that its members have been told. */
export interface StoredGroup {
  readonly groupId: string;
  readonly generationId: number;
  /** null until the first member has joined (a group that only ever committed offsets). */
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly leaderId: string | null;
  readonly members: readonly StoredMember[];
}

export interface StoredMember {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** In the member's order of preference, with its subscription for each. */
  readonly protocols: readonly StoredProtocol[];
  /** What the leader assigned, untouched. */
  readonly assignment: Buffer;
}

export interface StoredProtocol {
  readonly name: string;
  readonly metadata: Buffer;
}

/**
 * Members are stored as one JSON document per group, because a group is always written whole: an
 * array of members, byte strings in base64. JSON escapes U+0000, which PostgreSQL's text refuses and
 * which a client may well send.
 */
export function encodeMembers(members: readonly StoredMember[]): string {
  return JSON.stringify(
    members.map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      sessionTimeoutMs: member.sessionTimeoutMs,
      rebalanceTimeoutMs: member.rebalanceTimeoutMs,
      protocols: member.protocols.map(({ name, metadata }) => ({
        name,
        metadata: metadata.toString('base64'),
      })),
      assignment: member.assignment.toString('base64'),
    })),
  );
}

/** The inverse of {@link encodeMembers}. Throws GROUP_RECORD_CORRUPT for anything else. */
export function decodeMembers(text: string): readonly StoredMember[] {
  let members: unknown;
  try {
    members = JSON.parse(text);
  } catch (cause) {
    throw new OperatingError('GROUP_RECORD_CORRUPT', 'stored members are not JSON', { cause });
  }
  if (!Array.isArray(members)) throw corrupt('the members');
  return members.map(decodeMember);
}

function decodeMember(value: unknown): StoredMember {
  const fields = fieldsOf(value);
  const instanceId = fields['groupInstanceId'];
  const protocols = fields['protocols'];
  if (!Array.isArray(protocols) || protocols.length === 0) throw corrupt('protocols');
  const member = {
    memberId: stringOf(fields, 'memberId'),
    groupInstanceId: instanceId === null ? null : stringOf(fields, 'groupInstanceId'),
    clientId: stringOf(fields, 'clientId'),
    clientHost: stringOf(fields, 'clientHost'),
    sessionTimeoutMs: integerOf(fields, 'sessionTimeoutMs'),
    rebalanceTimeoutMs: integerOf(fields, 'rebalanceTimeoutMs'),
    protocols: protocols.map((protocol) => ({
      name: stringOf(fieldsOf(protocol), 'name'),
      metadata: bytesOf(fieldsOf(protocol), 'metadata'),
    })),
    assignment: bytesOf(fields, 'assignment'),
  };
  invariant(member.memberId !== '', 'a stored member has an id');
  return member;
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw corrupt('a member');
  return value as Readonly<Record<string, unknown>>;
}

function stringOf(fields: Readonly<Record<string, unknown>>, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string') throw corrupt(name);
  return value;
}

function integerOf(fields: Readonly<Record<string, unknown>>, name: string): number {
  const value = fields[name];
  if (!Number.isSafeInteger(value)) throw corrupt(name);
  return value as number;
}

function bytesOf(fields: Readonly<Record<string, unknown>>, name: string): Buffer {
  return Buffer.from(stringOf(fields, name), 'base64');
}

function corrupt(what: string): OperatingError {
  return new OperatingError('GROUP_RECORD_CORRUPT', `${what} of a stored group can not be read`);
}
