/** The latency classes of topics (design §4.3): each is written in segments of its own. */
export type LaneName = 'express' | 'standard' | 'economy';

export const laneNames: readonly LaneName[] = ['express', 'standard', 'economy'];

/**
 * Topics that wait as long as the node says are standard, those that wait less are express, those that
 * wait longer economy. Topics with different values share a lane: what is in common is that nobody in
 * it waits for the longer intervals of another.
 */
export function laneOf(flushMs: number, nodeFlushMs: number): LaneName {
  if (flushMs === nodeFlushMs) return 'standard';
  return flushMs < nodeFlushMs ? 'express' : 'economy';
}
