import { segmentKey } from '@kafscale/codec';
import { describeError, invariant, isOperatingError, limits } from '@kafscale/core';
import type { ObjectStore } from '@kafscale/storage';
import { buildMerged } from './build-merged.js';
import { copyBatches } from './copy-batches.js';
import type { MergeJob, MergeOutcome } from './merge-job.js';
import type { MergeMemory } from './merge-memory.js';
import { piecesOf, readsOf } from './merge-reads.js';
import type { MergeRead } from './merge-reads.js';

/** A segment that can not be merged, told apart from a store that does not answer. */
interface Unreadable {
  readonly segmentId: string;
  readonly reason: string;
}

/**
 * Reads the rows of a plan, puts them together, and stores the object. Holds the bytes of the rows
 * once, and what is being read beside them.
 */
export async function mergeSegments(
  store: Pick<ObjectStore, 'put' | 'read'>,
  job: MergeJob,
  memories: MergeMemory,
): Promise<MergeOutcome> {
  const { plan } = job;
  const pieces = piecesOf(plan);
  const memory = memories.take(plan.bytes);
  try {
    const damage = await readAll(store, plan.segmentIds, { reads: readsOf(pieces), memory });
    if (damage !== null) return { kind: 'unreadable', ...damage };
    const built = buildMerged(job, pieces, memory);
    await store.put(segmentKey(job.segmentId), built.chunks, built.crc32c);
    memories.give(memory);
    return { kind: 'merged', merged: built.merged };
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    return { kind: 'failed', code: error.code, reason: describeError(error) };
  }
}

/** A bounded number of reads at a time. Returns the first segment that is lost or damaged, or null. */
async function readAll(
  store: Pick<ObjectStore, 'read'>,
  segmentIds: readonly string[],
  work: { readonly reads: readonly MergeRead[]; readonly memory: Buffer },
): Promise<Unreadable | null> {
  const { memory, reads } = work;
  let next = 0;
  let damage: Unreadable | null = null;
  const readSome = async (): Promise<void> => {
    for (let read = reads[next++]; read !== undefined && !damage; read = reads[next++]) {
      const segmentId = segmentIds[read.segment];
      invariant(segmentId !== undefined, 'a row names a segment of its plan');
      // oxlint-disable-next-line no-await-in-loop
      const reason = await readOne(store, segmentId, read, memory);
      if (reason !== null) damage ??= { segmentId, reason };
    }
  };
  const lanes = Math.min(limits.compactionReadsInFlightMax, reads.length);
  await Promise.all(Array.from({ length: lanes }, readSome));
  return damage;
}

async function readOne(
  store: Pick<ObjectStore, 'read'>,
  segmentId: string,
  read: MergeRead,
  memory: Buffer,
): Promise<string | null> {
  let bytes: Buffer;
  try {
    bytes = await store.read(segmentKey(segmentId), read.position, read.length);
  } catch (error) {
    if (!isOperatingError(error) || !lostCodes.has(error.code)) throw error;
    return describeError(error);
  }
  for (const piece of read.pieces) {
    const from = piece.position - read.position;
    const reason = copyBatches(bytes.subarray(from, from + piece.length), piece, memory);
    if (reason !== null) return reason;
  }
  return null;
}

const lostCodes = new Set(['OBJECT_NOT_FOUND', 'RANGE_NOT_SATISFIABLE']);
