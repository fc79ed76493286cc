import { invariant, limits } from '@kafscale/core';
import type { FreezeBounds } from '@kafscale/metadata';

/** The bounds of cold ranges; tests and benchmarks set others. */
export interface ColdLimits extends FreezeBounds {
  /** Of a range that was merged of others. */
  readonly rangeExtentsMax: number;
  readonly fanIn: number;
  readonly waitMs: number;
  readonly plannedMsMax: number;
  /** After the shard was taken: counting rows is nothing for a server that starts. */
  readonly startDelayMs: number;
}

invariant(
  limits.coldAgeMs >= limits.commitAgeMsMax + limits.clockSkewMsMax,
  'nobody asks for the answer of a segment that leaves the metadata store',
);
invariant(
  limits.coldPlannedMsMax + limits.garbageWaitMs > limits.storeOperationTimeoutMs,
  'an object that was given up is not stored after it was deleted',
);

export const defaultColdLimits: ColdLimits = {
  extentsMin: limits.coldExtentsMin,
  rangeExtents: limits.coldExtentsPerMoveMax,
  ageMs: limits.coldAgeMs,
  unmergedAgeMs: limits.coldUnmergedAgeMs,
  rangeExtentsMax: limits.coldRangeExtentsMax,
  fanIn: limits.coldRangesPerMergeMax,
  waitMs: limits.garbageWaitMs,
  plannedMsMax: limits.coldPlannedMsMax,
  startDelayMs: limits.coldCheckIntervalMs / 2,
};
