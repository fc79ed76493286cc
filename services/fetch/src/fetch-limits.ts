import { limits } from '@kafscale/core';

/** The bounds of the fetch service that a process may set to its size. */
export interface FetchLimits {
  /** Memory of the block cache. */
  readonly blockCacheBytes: number;
  /** Memory of evicted blocks that is kept for the next reads, beside the cache. */
  readonly blockMemoryIdleBytesMax: number;
  /** The part of it, up to 1, that lagging readers keep when the others need room. */
  readonly catchUpCacheShare: number;
  /** Per kind of reader (tail, catching up): bytes being loaded and assembled for responses. */
  readonly fetchBytesInFlightMax: number;
  readonly fetchResponseBytesMax: number;
  readonly fetchWaitMsMax: number;
  /** Partitions over all long polls. */
  readonly waitersMax: number;
  /** Reads of the store or of writers at the same time. */
  readonly tailReadsMax: number;
  readonly catchUpReadsMax: number;
  readonly readAheadReadsMax: number;
  readonly readAheadBytesMax: number;
  readonly readAheadBytesPerPartitionMax: number;
  /** Longest read for several extents of a segment, and the gap that it may bridge. */
  readonly coalescedReadBytesMax: number;
  readonly coalescedReadGapBytesMax: number;
  readonly hotIndexExtentsPerPartitionMax: number;
  readonly hotIndexExtentsMax: number;
  readonly cachedIndexExtentsMax: number;
  /** Parts of large extents, as footers name them. */
  readonly batchIndexEntriesMax: number;
  /** Extents of compacted segments that are larger are loaded in parts. */
  readonly undividedBytesMax: number;
  readonly extentsPerLookupMax: number;
  readonly indexLookupsInFlightMax: number;
  /** How long a response waits for the slowest of its partitions when others are ready. */
  readonly loadGraceMs: number;
  readonly loadWaitMsMax: number;
  /** How long a lost or damaged extent is answered from memory. */
  readonly badExtentRetryMs: number;
  readonly fetchSessionsMax: number;
  /** Over all sessions. */
  readonly fetchSessionPartitionsMax: number;
  readonly ownedBlockBytes: number;
  readonly ownerReadTimeoutMs: number;
  readonly ownerPauseMs: number;
  readonly ownerReadBytesInFlightMax: number;
  readonly peerReadBytesInFlightMax: number;
  /** Memory beside the block cache, where several fetch nodes share the loading. */
  readonly borrowedBlocksBytesMax: number;
}

export const defaultFetchLimits: FetchLimits = {
  blockCacheBytes: limits.blockCacheBytes,
  blockMemoryIdleBytesMax: limits.blockMemoryIdleBytesMax,
  catchUpCacheShare: limits.catchUpCacheShare,
  fetchBytesInFlightMax: limits.fetchBytesInFlightMax,
  fetchResponseBytesMax: limits.fetchResponseBytesMax,
  fetchWaitMsMax: limits.fetchWaitMsMax,
  waitersMax: limits.fetchWaitersMax,
  tailReadsMax: limits.tailReadsMax,
  catchUpReadsMax: limits.catchUpReadsMax,
  readAheadReadsMax: limits.readAheadReadsMax,
  readAheadBytesMax: limits.readAheadBytesMax,
  readAheadBytesPerPartitionMax: limits.readAheadBytesPerPartitionMax,
  coalescedReadBytesMax: limits.coalescedReadBytesMax,
  coalescedReadGapBytesMax: limits.coalescedReadGapBytesMax,
  hotIndexExtentsPerPartitionMax: limits.hotIndexExtentsPerPartitionMax,
  hotIndexExtentsMax: limits.hotIndexExtentsMax,
  cachedIndexExtentsMax: limits.cachedIndexExtentsMax,
  undividedBytesMax: limits.batchIndexPartBytes,
  batchIndexEntriesMax: limits.batchIndexEntriesMax,
  extentsPerLookupMax: limits.extentsPerLookupMax,
  indexLookupsInFlightMax: limits.indexLookupsInFlightMax,
  loadGraceMs: limits.loadGraceMs,
  loadWaitMsMax: limits.loadWaitMsMax,
  badExtentRetryMs: limits.badExtentRetryMs,
  fetchSessionsMax: limits.fetchSessionsMax,
  fetchSessionPartitionsMax: limits.fetchSessionPartitionsMax,
  ownedBlockBytes: limits.ownedBlockBytes,
  ownerReadTimeoutMs: limits.ownerReadTimeoutMs,
  ownerPauseMs: limits.ownerPauseMs,
  ownerReadBytesInFlightMax: limits.ownerReadBytesInFlightMax,
  peerReadBytesInFlightMax: limits.peerReadBytesInFlightMax,
  borrowedBlocksBytesMax: limits.borrowedBlocksBytesMax,
};
