import { invariant } from '@kafscale/core';

/** Where all index objects are, relative to the store's own prefix. */
export const indexPrefix = 'v1/index/';

/** Whose log an index object belongs to. */
export interface IndexLogId {
  /** 22 characters of base64url. */
  readonly clusterId: string;
  readonly incarnation: number;
  readonly shardId: number;
}

export type IndexEntryKind = 'snapshot' | 'manifest';

export type IndexKey = IndexLogId & { readonly sequence: number } & (
    | { readonly kind: IndexEntryKind }
    | { readonly kind: 'part'; readonly partId: string }
  );

const digits = { incarnation: 10, shard: 5, sequence: 16 } as const;
const clusterIdPattern = /^[A-Za-z0-9_-]{1,64}$/;
const claimPattern = /^(?:.*\/)?v1\/index\/([A-Za-z0-9_-]{1,64})\/(\d{10})\/claim\.idx$/;
const keyPattern =
  /^(?:.*\/)?v1\/index\/([A-Za-z0-9_-]{1,64})\/(\d{10})\/(\d{5})\/(log\/(\d{16})-(snapshot|manifest)|parts\/(\d{16})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}))\.idx$/;

/** All logs of one cluster. */
export function indexClusterPrefix(clusterId: string): string {
  invariant(clusterIdPattern.test(clusterId), 'a cluster id is short and of base64url characters');
  return `${indexPrefix}${clusterId}/`;
}

/** Entries and parts of one log. */
export function indexLogPrefix(log: IndexLogId): string {
  const incarnation = padded(log.incarnation, digits.incarnation);
  const shard = padded(log.shardId, digits.shard);
  return `${indexClusterPrefix(log.clusterId)}${incarnation}/${shard}/`;
}

/** In key order the entries of a log are in the order of their sequences. */
export function indexEntryKey(log: IndexLogId, sequence: number, kind: IndexEntryKind): string {
  return `${indexLogPrefix(log)}log/${padded(sequence, digits.sequence)}-${kind}.idx`;
}

/** A part has a fresh id, so that an attempt that was given up is never in the way of the next. */
export function indexPartKey(log: IndexLogId, sequence: number, partId: string): string {
  return `${indexLogPrefix(log)}parts/${padded(sequence, digits.sequence)}-${partId}.idx`;
}

/** Who took an incarnation. There is one per incarnation, and it stays. */
export function indexClaimKey(clusterId: string, incarnation: number): string {
  return `${indexClusterPrefix(clusterId)}${padded(incarnation, digits.incarnation)}/claim.idx`;
}

/** Undefined when it is not the key of a claim. */
export function parseIndexClaimKey(
  key: string,
): Pick<IndexLogId, 'clusterId' | 'incarnation'> | undefined {
  const match = claimPattern.exec(key);
  if (match === null) return undefined;
  return { clusterId: match[1] ?? '', incarnation: Number(match[2]) };
}

/** Undefined when it is not the key of an entry or a part. */
export function parseIndexKey(key: string): IndexKey | undefined {
  const match = keyPattern.exec(key);
  if (match === null) return undefined;
  const [, clusterId = '', incarnation, shardId, , entrySequence, kind, partSequence, partId] =
    match;
  const log = { clusterId, incarnation: Number(incarnation), shardId: Number(shardId) };
  if (kind === 'snapshot' || kind === 'manifest') {
    return { ...log, kind, sequence: Number(entrySequence) };
  }
  return { ...log, kind: 'part', sequence: Number(partSequence), partId: partId ?? '' };
}

function padded(value: number, width: number): string {
  invariant(Number.isSafeInteger(value) && value >= 0, 'what a key is ordered by is not negative');
  const text = String(value).padStart(width, '0');
  invariant(text.length === width, 'what a key is ordered by has a fixed width');
  return text;
}
