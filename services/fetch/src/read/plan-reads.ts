import type { ExtentFinding, FoundExtent } from '../extents/extent-index.js';

/** One partition that has records at or behind the wanted offset. */
export interface PartitionRead {
  readonly partitionId: number;
  readonly offset: number;
  readonly bytesMax: number;
  /** As the response will say; nothing at or behind it is read. */
  readonly highWatermark: number;
  readonly leaderEpoch: number;
}

export interface PartitionPlan {
  readonly read: PartitionRead;
  readonly extents: readonly FoundExtent[];
}

export interface MissingExtent {
  readonly read: PartitionRead;
  readonly offset: number;
}

export interface ReadPlan {
  /** In the order in which they are served. */
  readonly plans: readonly PartitionPlan[];
  /** What the response will hold, within its limits, as far as is known before the bytes are. */
  readonly bytes: number;
  /** Index rows that memory does not have; the plan is whole when there are none. */
  readonly missing: readonly MissingExtent[];
  /** The first partition that the response has no room for. */
  readonly starvedPartitionId: number | null;
}

/** Extents of that partition from its offset on, enough for so many bytes. */
export type Collect = (read: PartitionRead, bytes: number) => ExtentFinding;

/**
 * Spreads the bytes of one response over its partitions, in order, each up to its own limit.
 * The first one gets an extent in any case (KIP-74), so that every response makes progress.
 */
export function planReads(
  reads: readonly PartitionRead[],
  bytesMax: number,
  collect: Collect,
): ReadPlan {
  const plans: PartitionPlan[] = [];
  const missing: MissingExtent[] = [];
  let bytes = 0;
  for (const read of reads) {
    const bytesLeft = bytesMax - bytes;
    if (plans.length > 0 && bytesLeft <= 0) {
      return { plans, bytes, missing, starvedPartitionId: read.partitionId };
    }
    const bytesWanted = Math.max(1, Math.min(read.bytesMax, bytesLeft));
    const finding = collect(read, bytesWanted);
    plans.push({ read, extents: finding.extents });
    if (finding.missingOffset === null) {
      bytes += Math.min(finding.bytes, bytesWanted);
    } else {
      missing.push({ read, offset: finding.missingOffset });
      bytes += bytesWanted;
    }
  }
  return { plans, bytes, missing, starvedPartitionId: null };
}

/** Turns the list so that it begins with that partition, if it is in it. */
export function startWith<T extends { readonly partitionId: number }>(
  reads: readonly T[],
  partitionId: number | null,
): readonly T[] {
  if (partitionId === null) return reads;
  const start = reads.findIndex((read) => read.partitionId === partitionId);
  return start <= 0 ? reads : [...reads.slice(start), ...reads.slice(0, start)];
}
