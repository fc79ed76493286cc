import {
  coldRangeKey,
  encodeIndexClaim,
  indexClaimKey,
  segmentIdFromKey,
  segmentsPrefix,
} from '@kafscale/codec';
import type { IndexColdRange } from '@kafscale/codec';
import { isOperatingError, limits, OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import { restoreMetadata } from '@kafscale/metadata';
import type { MetadataRestore, PresentSegment, RestoreReport } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';
import { isLostOrDamaged, readColdExtents } from '../../cold/cold-objects.js';
import { describeSegments } from './came-after.js';
import type { SegmentAfter } from './came-after.js';
import { findIndex } from './find-logs.js';
import type { FoundIndex, IndexChain, IndexDamage } from './find-logs.js';

export interface RecoverOptions {
  readonly objects: ObjectStore;
  readonly metadataUrl: string;
  readonly clock: Clock;
  /** Needed when the bucket has the index of several clusters. */
  readonly clusterId?: string;
  /** Does everything, and takes it back. */
  readonly dryRun: boolean;
}

export interface RecoverReport extends Omit<RestoreReport, 'cameAfter'> {
  readonly clusterId: string;
  readonly isDryRun: boolean;
  readonly from: {
    readonly incarnation: number;
    readonly snapshotSequence: number;
    readonly lastSequence: number;
    /** What was committed before this time, by the lost database's clock, is back. */
    readonly databaseTimeMs: number;
  };
  /** Of the index itself. */
  readonly damage: readonly IndexDamage[];
  /** Pieces of the index whose objects can't be read: their offsets are among the gaps. */
  readonly lostColdRanges: readonly LostColdRange[];
  readonly cameAfter: readonly SegmentAfter[];
}

export interface LostColdRange extends Pick<
  IndexColdRange,
  'partitionId' | 'baseOffset' | 'nextOffset'
> {
  readonly key: string;
  readonly code: string;
  readonly reason: string;
}

/**
 * Rebuilds an empty metadata store from the bucket, up to the last manifest, as a new incarnation.
 * Nothing in the bucket is changed. In the store it is one transaction.
 *
 * Errors: INCARNATION_TAKEN (by another recovery), INDEX_NOT_FOUND, INDEX_AMBIGUOUS, INDEX_DAMAGED, METADATA_NOT_EMPTY, METADATA_IN_USE, and
 * those of both stores.
 */
export async function recover(options: RecoverOptions): Promise<RecoverReport> {
  const { clusterId, dryRun, metadataUrl, objects } = options;
  const found = await findIndex(objects, clusterId);
  const { log } = found.chain;
  const lostColdRanges: LostColdRange[] = [];
  const report = await restoreMetadata({ url: metadataUrl, dryRun }, async (restore) => {
    await applyChain(restore, found.chain);
    lostColdRanges.push(...(await readColdRanges(restore, objects)));
    await addPresentSegments(restore, objects);
    const restored = await restore.finish(restoredState(found));
    // Before the store is: two recoveries that run at once never begin the same incarnation.
    if (!dryRun) await claimIncarnation(options, found);
    return restored;
  });
  return {
    ...report,
    clusterId: log.id.clusterId,
    isDryRun: dryRun,
    from: {
      incarnation: log.id.incarnation,
      snapshotSequence: found.chain.snapshot.sequence,
      lastSequence: found.chain.last.sequence,
      databaseTimeMs: found.chain.last.databaseTimeMs,
    },
    damage: found.damage,
    lostColdRanges,
    cameAfter: await describeSegments(objects, report.cameAfter),
  };
}

async function claimIncarnation(
  { clock, objects }: RecoverOptions,
  { chain, incarnationMax }: FoundIndex,
): Promise<void> {
  const { clusterId, incarnation, shardId } = chain.log.id;
  const claim = encodeIndexClaim({
    clusterId,
    incarnation: incarnationMax + 1,
    claimedAtMs: Math.floor(clock.wallMs()),
    fromIncarnation: incarnation,
    fromShardId: shardId,
    fromSequence: chain.last.sequence,
  });
  const key = indexClaimKey(clusterId, incarnationMax + 1);
  try {
    await objects.put(key, claim.chunks, claim.objectCrc32c);
  } catch (error) {
    if (!isOperatingError(error) || error.code !== 'OBJECT_EXISTS') throw error;
    throw new OperatingError(
      'INCARNATION_TAKEN',
      `another recovery has begun incarnation ${incarnationMax + 1}; nothing was written`,
      { cause: error },
    );
  }
}

function restoredState({ chain, incarnationMax }: FoundIndex) {
  const { last, log } = chain;
  // Both clocks may be wrong, and a segment is stored before it is committed.
  const uncertaintyMs = limits.commitAgeMsMax + limits.clockSkewMsMax;
  return {
    clusterId: log.id.clusterId,
    shardId: log.id.shardId,
    incarnation: log.id.incarnation,
    incarnationMax,
    shardEpoch: last.shardEpoch,
    databaseTimeMs: last.databaseTimeMs,
    nextProducerId: last.nextProducerId,
    cameAfterMs: last.databaseTimeMs - uncertaintyMs,
  };
}

async function applyChain(restore: MetadataRestore, chain: IndexChain): Promise<void> {
  const { log, manifestSequences, snapshot } = chain;
  for await (const records of log.records(snapshot)) await restore.apply(records);
  await restore.endEntry(false);
  for (const sequence of manifestSequences) {
    const entry = await log.readEntry('manifest', sequence);
    for await (const records of log.records(entry)) await restore.apply(records);
    await restore.endEntry(entry.isComplete);
  }
}

/** One at a time: what it has becomes rows. */
async function readColdRanges(
  restore: MetadataRestore,
  objects: ObjectStore,
): Promise<readonly LostColdRange[]> {
  const lost: LostColdRange[] = [];
  for (const range of await restore.coldRanges()) {
    try {
      await restore.addColdExtents(range, await readColdExtents(objects, range));
    } catch (error) {
      if (!isOperatingError(error) || !isLostOrDamaged(error.code)) throw error;
      const { baseOffset, nextOffset, objectId, partitionId } = range;
      const { code, message: reason } = error;
      lost.push({ partitionId, baseOffset, nextOffset, key: coldRangeKey(objectId), code, reason });
    }
  }
  return lost;
}

async function addPresentSegments(restore: MetadataRestore, objects: ObjectStore): Promise<void> {
  let page: PresentSegment[] = [];
  for await (const { key, lastModifiedMs, sizeBytes } of objects.list(segmentsPrefix)) {
    const segmentId = segmentIdFromKey(key);
    if (segmentId === undefined) continue;
    page.push({ segmentId, sizeBytes, lastModifiedMs });
    if (page.length < limits.indexPageRowsMax) continue;
    await restore.addPresentSegments(page);
    page = [];
  }
  await restore.addPresentSegments(page);
}
