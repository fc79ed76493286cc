import { indexPrefix, parseIndexClaimKey, parseIndexKey } from '@kafscale/codec';
import type { IndexEntry, IndexEntryKind } from '@kafscale/codec';
import { isOperatingError, OperatingError } from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';
import { IndexLog } from '../index-log.js';

/** The entries of one log that are whole, from a snapshot on, without a gap. */
export interface IndexChain {
  readonly log: IndexLog;
  readonly snapshot: IndexEntry;
  /** Sequences of the manifests behind it. */
  readonly manifestSequences: readonly number[];
  /** The last of them, or the snapshot. */
  readonly last: IndexEntry;
}

/** Something of the index that can't be used. */
export interface IndexDamage {
  readonly incarnation: number;
  readonly shardId: number;
  readonly sequence: number;
  readonly kind: IndexEntryKind;
  readonly code: string;
  readonly reason: string;
}

export interface FoundIndex {
  readonly chain: IndexChain;
  /** The greatest of the cluster, whether or not its log can be used. */
  readonly incarnationMax: number;
  /** What is newer than what is used, and why it is not. */
  readonly damage: readonly IndexDamage[];
}

interface ListedLog {
  readonly clusterId: string;
  readonly incarnation: number;
  readonly shardId: number;
}

/**
 * The newest state that the bucket can give back, of the one cluster in it, or of the one that is
 * named. Every object that it rests on has been read and checked. A damaged snapshot costs nothing
 * while the one before it is whole: manifests go on from there.
 *
 * Errors: INDEX_NOT_FOUND, INDEX_AMBIGUOUS (several clusters), INDEX_DAMAGED (nothing is whole).
 */
export async function findIndex(
  store: ObjectStore,
  clusterId: string | undefined,
): Promise<FoundIndex> {
  const listed = await listLogs(store);
  const logs = chooseCluster(listed.logs, clusterId, store.url);
  const chosen = logs[0]?.clusterId ?? '';
  const incarnations = [...logs, ...listed.claims.filter((claim) => claim.clusterId === chosen)];
  const incarnationMax = Math.max(...incarnations.map(({ incarnation }) => incarnation));
  const damage: IndexDamage[] = [];
  // Later incarnations first. One that has no whole snapshot yet was never served from for long.
  for (const id of logs.sort((left, right) => right.incarnation - left.incarnation)) {
    const chain = await findChain(new IndexLog(store, id), damage);
    if (chain !== null) return { chain, incarnationMax, damage };
  }
  const [first] = damage;
  throw new OperatingError(
    'INDEX_DAMAGED',
    `no snapshot of the index in ${store.url} can be read: ${first?.reason ?? 'there is none'}`,
  );
}

async function findChain(log: IndexLog, damage: IndexDamage[]): Promise<IndexChain | null> {
  const entries = await log.list();
  const manifests = entries.filter(({ kind }) => kind === 'manifest');
  const snapshots = entries.filter(({ kind }) => kind === 'snapshot');
  for (const { sequence } of snapshots.reverse()) {
    const snapshot = await readWhole(log, { kind: 'snapshot', sequence }, damage);
    if (snapshot === null) continue;
    const manifestSequences: number[] = [];
    let last = snapshot;
    for (const manifest of manifests.filter((entry) => entry.sequence > sequence)) {
      const expected = last.sequence + 1;
      if (manifest.sequence !== expected) {
        damage.push(damageOf(log, { kind: 'manifest', sequence: expected }, missing));
        break;
      }
      const entry = await readWhole(log, manifest, damage);
      if (entry === null) break;
      manifestSequences.push(entry.sequence);
      last = entry;
    }
    return { log, snapshot, manifestSequences, last: { ...last, parts: [] } };
  }
  return null;
}

/** Reads an entry with all of its parts, and keeps only the entry. */
async function readWhole(
  log: IndexLog,
  place: { readonly kind: IndexEntryKind; readonly sequence: number },
  damage: IndexDamage[],
): Promise<IndexEntry | null> {
  try {
    const entry = await log.readEntry(place.kind, place.sequence);
    for await (const records of log.records(entry)) void records;
    return entry;
  } catch (error) {
    if (!isOperatingError(error) || !damageCodes.test(error.code)) throw error;
    damage.push(damageOf(log, place, error));
    return null;
  }
}

const damageCodes = /^(?:INDEX_OBJECT_\w+|OBJECT_NOT_FOUND)$/;
const missing = { code: 'OBJECT_NOT_FOUND', message: 'it is not in the bucket' };

function damageOf(
  { id }: IndexLog,
  place: { readonly kind: IndexEntryKind; readonly sequence: number },
  error: { readonly code: string; readonly message: string },
): IndexDamage {
  const { incarnation, shardId } = id;
  const { kind, sequence } = place;
  return { incarnation, shardId, sequence, kind, code: error.code, reason: error.message };
}

async function listLogs(store: ObjectStore): Promise<{
  readonly logs: readonly ListedLog[];
  readonly claims: readonly Pick<ListedLog, 'clusterId' | 'incarnation'>[];
}> {
  const logs = new Map<string, ListedLog>();
  const claims: Pick<ListedLog, 'clusterId' | 'incarnation'>[] = [];
  for await (const { key } of store.list(indexPrefix)) {
    const claim = parseIndexClaimKey(key);
    if (claim !== undefined) claims.push(claim);
    const parsed = parseIndexKey(key);
    if (parsed === undefined || parsed.kind === 'part') continue;
    const { clusterId, incarnation, shardId } = parsed;
    logs.set(`${clusterId} ${incarnation} ${shardId}`, { clusterId, incarnation, shardId });
  }
  return { logs: [...logs.values()], claims };
}

function chooseCluster(
  logs: readonly ListedLog[],
  wanted: string | undefined,
  url: string,
): ListedLog[] {
  const clusterIds = [...new Set(logs.map(({ clusterId }) => clusterId))];
  const clusterId = wanted ?? clusterIds[0];
  if (clusterId === undefined || !clusterIds.includes(clusterId)) {
    const what = wanted === undefined ? 'no index' : `no index of cluster ${wanted}`;
    throw new OperatingError('INDEX_NOT_FOUND', `there is ${what} in ${url}`);
  }
  if (wanted === undefined && clusterIds.length > 1) {
    throw new OperatingError(
      'INDEX_AMBIGUOUS',
      `${url} has the index of several clusters: name one of ${clusterIds.join(', ')}`,
    );
  }
  return logs.filter((log) => log.clusterId === clusterId);
}
