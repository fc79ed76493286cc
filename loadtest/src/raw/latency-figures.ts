import { invariant } from '@kafscale/core';

/** In milliseconds, by nearest rank: a latency that was measured, never one between two. */
export interface LatencyFigures {
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export function latencyFigures(latenciesMs: Float64Array): LatencyFigures {
  invariant(latenciesMs.length > 0, 'something was measured');
  const sorted = latenciesMs.toSorted();
  const at = (fraction: number): number =>
    sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}
