import { decodeSegmentFooter } from '@kafscale/codec';
import type { SegmentFooter } from '@kafscale/codec';
import { isOperatingError, limits } from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';
import type { KeptReason } from './garbage-metrics.js';

export interface ListedSegment {
  readonly segmentId: string;
  readonly key: string;
  readonly sizeBytes: number;
  readonly lastModifiedMs: number;
}

export interface OrphanBounds {
  /** Database time: what is younger may still be committed. */
  readonly youngestMs: number;
  readonly incarnation: number;
  readonly nodeIdMax: number;
}

export interface Orphan extends ListedSegment {
  /** As its footer has it. */
  readonly birthMs: number;
}

export type OrphanVerdict =
  | { readonly kind: 'orphan'; readonly orphan: Orphan }
  /** Its time has not come, or somebody else deleted it. */
  | { readonly kind: 'notYet' }
  | { readonly kind: 'kept'; readonly reason: KeptReason };

/**
 * Whether an object that no row knows can go. The younger of its birth and its LastModified counts:
 * a commit is refused by the age of the birth, which the object says itself; the store's time is the
 * one that the writer had no part in.
 */
export async function judgeOrphan(
  store: ObjectStore,
  listed: ListedSegment,
  bounds: OrphanBounds,
): Promise<OrphanVerdict> {
  if (listed.lastModifiedMs > bounds.youngestMs) return { kind: 'notYet' };
  try {
    return judgeFooter(await readFooter(store, listed.key), listed, bounds);
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    if (error.code === 'OBJECT_NOT_FOUND') return { kind: 'notYet' };
    if (error.code.startsWith('SEGMENT_')) return { kind: 'kept', reason: 'unrecognized' };
    throw error;
  }
}

function judgeFooter(
  footer: SegmentFooter | null,
  listed: ListedSegment,
  bounds: OrphanBounds,
): OrphanVerdict {
  if (footer === null || footer.writer.segmentId !== listed.segmentId) {
    return { kind: 'kept', reason: 'unrecognized' };
  }
  const { birthMs, incarnation, nodeId } = footer.writer;
  if (birthMs > bounds.youngestMs) return { kind: 'notYet' };
  if (incarnation !== bounds.incarnation) return { kind: 'kept', reason: 'incarnation' };
  if (nodeId > bounds.nodeIdMax) return { kind: 'kept', reason: 'node' };
  return { kind: 'orphan', orphan: { ...listed, birthMs } };
}

/** Null: a footer that is longer than it says. */
async function readFooter(store: ObjectStore, key: string): Promise<SegmentFooter | null> {
  let tailBytes: number = limits.segmentTailBytes;
  const attemptsMax = 2;
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const { bytes, sizeBytes } = await store.readTail(key, tailBytes);
    const decoded = decodeSegmentFooter(bytes, sizeBytes);
    if (decoded.kind === 'footer') return decoded.footer;
    tailBytes = decoded.tailBytes;
  }
  return null;
}
