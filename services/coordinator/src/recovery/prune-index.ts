import { indexClusterPrefix, indexEntryKey, indexPartKey, parseIndexKey } from '@kafscale/codec';
import type { IndexKey } from '@kafscale/codec';
import { invariant, limits } from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';

/**
 * Removes what is older than the oldest of the snapshots that are kept, in this shard's logs of all
 * incarnations. What begins at a kept snapshot stays whole, so from each of them everything up to
 * now can be read. Returns how many objects went.
 */
export async function pruneIndex(
  store: ObjectStore,
  shard: { readonly clusterId: string; readonly shardId: number },
): Promise<number> {
  const snapshots: Place[] = [];
  for await (const key of keysOf(store, shard)) {
    if (key.kind === 'snapshot') snapshots.push(key);
  }
  snapshots.sort(comparePlaces);
  const oldest = snapshots[snapshots.length - limits.indexSnapshotsKept];
  if (oldest === undefined) return 0;
  let deleted = 0;
  let doomed: string[] = [];
  const flush = async (): Promise<void> => {
    const failed = await store.delete(doomed);
    deleted += doomed.length - failed.length;
    doomed = [];
  };
  for await (const key of keysOf(store, shard)) {
    if (comparePlaces(key, oldest) >= 0) continue;
    doomed.push(keyText(key));
    if (doomed.length === limits.storeDeleteKeysPerRequestMax) await flush();
  }
  if (doomed.length > 0) await flush();
  return deleted;
}

type Place = Pick<IndexKey, 'incarnation' | 'sequence'>;

function comparePlaces(left: Place, right: Place): number {
  return left.incarnation - right.incarnation || left.sequence - right.sequence;
}

async function* keysOf(
  store: ObjectStore,
  shard: { readonly clusterId: string; readonly shardId: number },
): AsyncGenerator<IndexKey, void> {
  for await (const { key } of store.list(indexClusterPrefix(shard.clusterId))) {
    const parsed = parseIndexKey(key);
    if (parsed?.clusterId === shard.clusterId && parsed.shardId === shard.shardId) yield parsed;
  }
}

function keyText(key: IndexKey): string {
  const text =
    key.kind === 'part'
      ? indexPartKey(key, key.sequence, key.partId)
      : indexEntryKey(key, key.sequence, key.kind);
  invariant(parseIndexKey(text)?.sequence === key.sequence, 'a key is read as it is written');
  return text;
}
