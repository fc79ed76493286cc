import type { IndexEntry, IndexEntryKind, IndexExtent } from '@kafscale/codec';
import { readShard } from '@kafscale/metadata';
import type { Lease, MetadataStore, ShardSnapshot, ShardState } from '@kafscale/metadata';
import type { Changes } from './change-tracker.js';
import { EntryBuilder } from './entry-builder.js';
import type { GroupDigests } from './group-digests.js';
import type { IndexLog } from './index-log.js';

export interface EntryTarget {
  readonly store: MetadataStore;
  readonly lease: Lease;
  readonly log: IndexLog;
  readonly sequence: number;
  /** Of the feed, a moment before the state was read: the entry has at least what came until then. */
  readonly feedSequence: number;
  readonly softwareVersion: string;
  /** Longer than a commit takes: one that was under way at the last entry has an earlier time. */
  readonly slackMs: number;
}

export interface WrittenEntry {
  readonly entry: IndexEntry;
  /** Of the entry and its parts. */
  readonly sizeBytes: number;
}

/** Everything that is live; null when there is nothing. Errors: INDEX_STOPPED when `signal` aborts. */
export async function writeSnapshot(
  target: EntryTarget,
  signal: AbortSignal,
): Promise<WrittenEntry | null> {
  return readShard(target.store, target.lease, async (shard) => {
    if (await shard.isEmpty()) return null;
    const builder = new EntryBuilder(target.log, target.sequence, signal);
    await builder.addAll('topics', shard.topics(null));
    await builder.addAll('partitions', shard.partitions(null));
    await builder.addAll('segments', shard.liveSegments());
    await builder.addAll('extents', shard.liveExtents());
    await builder.addAll('coldRanges', shard.coldRanges());
    await builder.addAll('producers', shard.liveProducers());
    await builder.addAll('groups', shard.liveGroups());
    return putEntry(target, 'snapshot', { shard, builder, isComplete: true });
  });
}

/**
 * What has changed since the last entry, which was read at `lastDatabaseTimeMs`; null: nothing that
 * the index does not say already. A new owner, who can't know, always writes one.
 */
export async function writeManifest(
  target: EntryTarget,
  changes: Changes,
  lastDatabaseTimeMs: number,
  digests: GroupDigests,
): Promise<WrittenEntry | null> {
  return readShard(target.store, target.lease, async (shard) => {
    const builder = new EntryBuilder(target.log, target.sequence);
    const sinceMs = lastDatabaseTimeMs - target.slackMs;
    if (changes.isUnknown) {
      await addUnseen(builder, shard, sinceMs);
    } else {
      await addSeen(builder, shard, { changes, sinceMs, digests });
      // Ids that nobody has written with yet are far below where a recovery goes on.
      if (builder.recordCount === 0) return null;
    }
    return putEntry(target, 'manifest', { shard, builder, isComplete: changes.isUnknown });
  });
}

async function addSeen(
  builder: EntryBuilder,
  shard: ShardSnapshot,
  request: { changes: Changes; sinceMs: number; digests: GroupDigests },
): Promise<void> {
  const { changes, digests, sinceMs } = request;
  await builder.add(
    'deletedTopics',
    changes.deletedTopicIds.map((topicId) => ({ topicId })),
  );
  await builder.addAll('topics', shard.topics(changes.topicIds));
  await builder.addAll('partitions', shard.partitions(changes.partitionIds));
  await addExtents(builder, shard, shard.extentsOfRanges(changes.ranges));
  await builder.addAll('coldRanges', shard.coldRangesOf(changes.ranges));
  await builder.addAll('producers', shard.changedProducers(changes.partitionIds, sinceMs));
  await builder.addAll('groups', digests.changedOf(shard.groupsOf(changes.groupIds)));
}

/** Heads are few, so all of them; of what there may be much, what is recent by its time. */
async function addUnseen(
  builder: EntryBuilder,
  shard: ShardSnapshot,
  sinceMs: number,
): Promise<void> {
  await builder.addAll('topics', shard.topics(null));
  await builder.addAll('partitions', shard.partitions(null));
  await addExtents(builder, shard, shard.extentsCommittedSince(sinceMs));
  const retired = await shard.coldRangesRetiredSince(sinceMs);
  await addExtents(builder, shard, shard.extentsOfRanges(retired));
  await builder.addAll('coldRanges', shard.coldRanges());
  await builder.addAll('producers', shard.changedProducers(null, sinceMs));
  await builder.addAll('groups', shard.groupsOf(await shard.groupIdsChangedSince(sinceMs)));
}

async function addExtents(
  builder: EntryBuilder,
  shard: ShardSnapshot,
  pages: AsyncIterable<readonly IndexExtent[]>,
): Promise<void> {
  let known: ReadonlySet<string> = new Set();
  for await (const page of pages) {
    const segmentIds = new Set(page.map(({ segmentId }) => segmentId));
    const unknown = [...segmentIds].filter((segmentId) => !known.has(segmentId));
    await builder.add('segments', await shard.segmentsOf(unknown));
    await builder.add('extents', page);
    known = segmentIds;
  }
}

async function putEntry(
  target: EntryTarget,
  kind: IndexEntryKind,
  content: { shard: { state: ShardState }; builder: EntryBuilder; isComplete: boolean },
): Promise<WrittenEntry> {
  const { state } = content.shard;
  const { parts, records } = content.builder.finish();
  const entry: IndexEntry = {
    clusterId: state.clusterId,
    incarnation: state.incarnation,
    shardId: target.lease.shardId,
    sequence: target.sequence,
    shardEpoch: state.shardEpoch,
    feedSequence: target.feedSequence,
    databaseTimeMs: state.databaseTimeMs,
    softwareVersion: target.softwareVersion,
    nextProducerId: state.nextProducerId,
    recoveryFloor: state.recoveryFloor,
    isComplete: content.isComplete,
    parts,
    records,
  };
  const entryBytes = await target.log.putEntry(kind, entry);
  const partBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
  return { entry, sizeBytes: entryBytes + partBytes };
}
