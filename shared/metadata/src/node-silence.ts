import type { Clock } from '@kafscale/core';

/**
 * Tells silent nodes from a deaf registry. When the database, or the coordinator in front of it, was
 * away for a while, nobody's heartbeat was written, and the first one afterwards would declare
 * everybody else dead. So a store declares deaths only after it has itself passed on heartbeats,
 * without a gap, for as long as a node may be silent.
 */
export class NodeSilence {
  readonly #clock: Clock;
  readonly #nodeDeadAfterMs: number;
  #listeningSinceMs: number | null = null;
  #lastHeartbeatMs = 0;

  constructor(clock: Clock, nodeDeadAfterMs: number) {
    this.#clock = clock;
    this.#nodeDeadAfterMs = nodeDeadAfterMs;
  }

  mayDeclareDead(): boolean {
    const nowMs = this.#clock.monotonicMs();
    return (
      this.#listeningSinceMs !== null &&
      nowMs - this.#listeningSinceMs > this.#nodeDeadAfterMs &&
      nowMs - this.#lastHeartbeatMs < this.#nodeDeadAfterMs
    );
  }

  /** A heartbeat, of any node, was written. */
  onHeartbeat(): void {
    const nowMs = this.#clock.monotonicMs();
    const gap = nowMs - this.#lastHeartbeatMs >= this.#nodeDeadAfterMs / 2;
    if (this.#listeningSinceMs === null || gap) this.#listeningSinceMs = nowMs;
    this.#lastHeartbeatMs = nowMs;
  }
}
