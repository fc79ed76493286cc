import { limits } from '@kafscale/core';
import type { Clock } from '@kafscale/core';

/**
 * `throttle_time_ms` of Produce responses (KIP-219: the client sends nothing on the connection for so
 * long): how long it will take, at the rate of the present jam, until the requests that wait now have
 * been let in. At that moment the memory is still full, so a client that comes back then finds the
 * pipeline busy, and nothing is lost by its silence; if it came back earlier, it would only wait here.
 *
 * A jam begins with the first request that has to wait for memory and ends when none waits. Outside
 * of one the time is 0, however busy the pipeline is.
 */
export class ProduceThrottle {
  readonly #clock: Clock;
  #isJammed = false;
  #waitingBytes = 0;
  /** In the time since. */
  #drainedBytes = 0;
  #sinceMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Of requests that were not admitted at once: those behind one that waits are among them. */
  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  waits(bytes: number): void {
    this.#waitingBytes += bytes;
  }

  admitted(bytes: number): void {
    this.#waitingBytes -= bytes;
  }

  /** A request has to wait for it. */
  memoryIsShort(): void {
    if (this.#isJammed) return;
    this.#isJammed = true;
    this.#sinceMs = this.#clock.monotonicMs();
    this.#drainedBytes = 0;
  }

  /** Memory was given back. */
  drained(bytes: number): void {
    if (!this.#isJammed) return;
    if (this.#waitingBytes === 0) {
      this.#isJammed = false;
      return;
    }
    this.#drainedBytes += bytes;
    const nowMs = this.#clock.monotonicMs();
    const elapsedMs = nowMs - this.#sinceMs;
    if (elapsedMs < limits.produceDrainWindowMs) return;
    // What is older counts half: the rate follows the store's.
    this.#drainedBytes /= 2;
    this.#sinceMs = nowMs - elapsedMs / 2;
  }

  /** For the response to a request that had to wait. */
  timeMs(): number {
    if (!this.#isJammed || this.#drainedBytes === 0) return 0;
    const elapsedMs = this.#clock.monotonicMs() - this.#sinceMs;
    const neededMs = (this.#waitingBytes * elapsedMs) / this.#drainedBytes;
    return Math.min(limits.produceThrottleMsMax, Math.floor(neededMs));
  }
}
