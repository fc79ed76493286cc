import { limits } from '@kafscale/core';
import type { ByteBudget, Clock } from '@kafscale/core';

/**
 * `throttle_time_ms` of Produce responses (KIP-219: the client sends nothing on the connection for so
 * long): how long it will take, at the rate of the present jam, until the requests that wait for
 * memory now have been let in. At that moment the budget is still full, so a client that comes back
 * then finds the pipeline busy, and nothing is lost by its silence; if it came back earlier, it
 * would only wait here.
 *
 * A jam begins with the first request that has to wait and ends when none does. Outside of one the
 * time is 0, however busy the pipeline is.
 */
export class ProduceThrottle {
  readonly #budget: ByteBudget;
  readonly #clock: Clock;
  /** The time that the bytes below took. */
  #sinceMs = 0;
  #drainedBytes = 0;
  #isJammed = false;

  constructor(budget: ByteBudget, clock: Clock) {
    this.#budget = budget;
    this.#clock = clock;
  }

  /** A request waits for memory. */
  waitingBegan(): void {
    if (this.#isJammed) return;
    this.#isJammed = true;
    this.#sinceMs = this.#clock.monotonicMs();
    this.#drainedBytes = 0;
  }

  /** Memory was given back. */
  drained(bytes: number): void {
    if (!this.#isJammed) return;
    if (this.#budget.waiting === 0) {
      this.#isJammed = false;
      return;
    }
    this.#drainedBytes += bytes;
    const nowMs = this.#clock.monotonicMs();
    const elapsedMs = nowMs - this.#sinceMs;
    if (elapsedMs < limits.produceDrainWindowMs) return;
    // The older half counts half: the rate follows the store's.
    this.#drainedBytes /= 2;
    this.#sinceMs = nowMs - elapsedMs / 2;
  }

  /** For the response to a request that had to wait. */
  timeMs(): number {
    if (!this.#isJammed || this.#drainedBytes === 0) return 0;
    const elapsedMs = this.#clock.monotonicMs() - this.#sinceMs;
    const neededMs = (this.#budget.waitingBytes * elapsedMs) / this.#drainedBytes;
    return Math.min(limits.produceThrottleMsMax, Math.floor(neededMs));
  }
}
