import { limits } from '@kafscale/core';

/** The bounds of segment compaction; tests and benchmarks set others. */
export interface CompactionLimits {
  readonly graceMs: number;
  readonly bytesMin: number;
  readonly rowsMin: number;
  readonly segmentsMin: number;
  readonly bytesMax: number;
  readonly rowsMax: number;
  readonly segmentsMax: number;
  readonly runsMax: number;
  readonly partitionsMax: number;
  readonly jobsInFlightMax: number;
  /** After so many merges of fresh segments, one of merged ones is looked for. */
  readonly freshInARowMax: number;
  readonly intervalMs: number;
  /** Of a plan at its swap. */
  readonly ageMsMax: number;
}

export const defaultCompactionLimits: CompactionLimits = {
  graceMs: limits.compactionGraceMs,
  bytesMin: limits.compactionBytesMin,
  rowsMin: limits.compactionRowsMin,
  segmentsMin: limits.compactionSegmentsMin,
  bytesMax: limits.compactionBytesMax,
  rowsMax: limits.compactionRowsMax,
  segmentsMax: limits.compactionSegmentsMax,
  runsMax: limits.compactionRunsMax,
  partitionsMax: limits.compactionPartitionsMax,
  jobsInFlightMax: limits.compactionJobsInFlightMax,
  freshInARowMax: 16,
  intervalMs: limits.compactionIntervalMs,
  ageMsMax: limits.commitAgeMsMax,
};
