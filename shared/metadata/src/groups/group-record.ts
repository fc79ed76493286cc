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

/** What {@link encodeGroupState} keeps; the rest of the record has columns of its own. */
export type StoredGroupState = Pick<StoredGroup, 'protocolName' | 'leaderId' | 'members'>;

/**
 * A group is always written whole, so what nobody searches by is one JSON document, with byte strings
 * in base64. JSON escapes U+0000, which PostgreSQL's text refuses and which a client may well send.
 */
export function encodeGroupState(state: StoredGroupState): string {
  return JSON.stringify({
    protocolName: state.protocolName,
    leaderId: state.leaderId,
    members: state.members.map((member) => ({
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
  });
}

/** The inverse of {@link encodeGroupState}. Throws GROUP_RECORD_CORRUPT for anything else. */
export function decodeGroupState(document: string): StoredGroupState {
  let value: unknown;
  try {
    value = JSON.parse(document);
  } catch (cause) {
    throw new OperatingError('GROUP_RECORD_CORRUPT', 'a stored group is not JSON', { cause });
  }
  const fields = fieldsOf(value);
  const { members } = fields;
  if (!Array.isArray(members)) throw corrupt('members');
  const state = {
    protocolName: nullableStringOf(fields, 'protocolName'),
    leaderId: nullableStringOf(fields, 'leaderId'),
    members: members.map(decodeMember),
  };
  invariant(
    (state.leaderId === null) === (members.length === 0),
    'a group with members has a leader',
  );
  return state;
}

function decodeMember(value: unknown): StoredMember {
  const fields = fieldsOf(value);
  const { protocols } = fields;
  if (!Array.isArray(protocols) || protocols.length === 0) throw corrupt('protocols');
  const member = {
    memberId: stringOf(fields, 'memberId'),
    groupInstanceId: nullableStringOf(fields, 'groupInstanceId'),
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
  if (typeof value !== 'object' || value === null) throw corrupt('a part');
  return value as Readonly<Record<string, unknown>>;
}

function stringOf(fields: Readonly<Record<string, unknown>>, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string') throw corrupt(name);
  return value;
}

function nullableStringOf(fields: Readonly<Record<string, unknown>>, name: string): string | null {
  return fields[name] === null ? null : stringOf(fields, name);
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
