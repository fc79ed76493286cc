import { limits } from '@kafscale/core';

/** `now`: at the end of this turn of the event loop. `later`: unless more comes within the gap. */
export type EarlySeal = 'now' | 'later' | 'no';

/**
 * When a segment need not wait out its flush interval, because nothing more can come: producers with
 * all of their requests in flight send nothing until they are answered. One producer with five
 * requests at 250 ms, with a PUT of 30 ms, gets five requests per 290 ms if every segment waits, and
 * five per 45 ms if not. A flush costs the same either way: it carries what was in flight.
 *
 * It is not known how many requests a producer may have in flight, but it shows: what is answered
 * comes back at once, as much as before. So there is a burst after each answer, and when it has brought
 * back what was answered, it is over:
 *
 * 1. A segment settles; 320 KiB are answered, and 320 KiB are expected.
 * 2. Batches follow, each within the gap after the answer or the one before it.
 * 3. With 320 KiB the burst is complete: now. With three quarters of it, since batches differ in size,
 *    it is taken to be complete once the gap passes without another: later.
 * 4. Producers that fill segment after segment stop in the middle of one. When nothing comes behind the last
 *    answer either, what is open behind a full segment is taken to be their rest: later. So there is at
 *    most one such object per full one. Of 600 MB with 34 MB in flight in 1.41 s, 0.2 s were the wait for
 *    the interval of the rest.
 *
 * Producers that send when they have something to send, and not when they are answered, don't bring
 * back in a moment what came in over an interval: their segments wait as before. Nor do segments of
 * less than `flushReturnBytesMin`, so that an object is worth its price, nor any while another is under
 * way: the next answer brings more.
 */
export class FlushPolicy {
  #expectedBytes = 0;
  #returnedBytes = 0;
  /** The segment before the open one was full. */
  #isBehindFull = false;
  /** Of the last answer, or the last batch of the burst behind it. */
  #lastAtMs = -Infinity;

  /** A segment was settled. Those that settle while the burst goes on are expected together. */
  answered(bytes: number, nowMs: number): void {
    if (this.#isOver(nowMs)) this.#endBurst();
    this.#expectedBytes += bytes;
    this.#lastAtMs = nowMs;
  }

  /** A batch was appended to the open segment. */
  appended(bytes: number, nowMs: number): void {
    if (this.#isOver(nowMs)) this.#endBurst();
    else {
      this.#returnedBytes += bytes;
      this.#lastAtMs = nowMs;
    }
  }

  /** What came back is on its way; the next burst begins with the next answer. */
  sealed(): void {
    this.#isBehindFull = false;
    this.#endBurst();
  }

  /** Sealed because it was full: the burst goes on in the next segment. */
  filled(): void {
    this.#isBehindFull = true;
    this.#expectedBytes = Math.max(0, this.#expectedBytes - this.#returnedBytes);
    this.#returnedBytes = 0;
  }

  /** What to do with an open segment of so many bytes while no other is under way. */
  earlySeal(openBytes: number): EarlySeal {
    if (this.#expectedBytes === 0 || openBytes < limits.flushReturnBytesMin) return 'no';
    if (this.#returnedBytes >= this.#expectedBytes) return 'now';
    const isMost = this.#returnedBytes >= this.#expectedBytes * limits.flushReturnShareMin;
    return isMost || this.#isBehindFull ? 'later' : 'no';
  }

  /** How long `later` still is; 0 or less when the gap has passed. */
  quietLeftMs(nowMs: number): number {
    return this.#lastAtMs + limits.flushReturnGapMsMax - nowMs;
  }

  #endBurst(): void {
    this.#expectedBytes = 0;
    this.#returnedBytes = 0;
    this.#lastAtMs = -Infinity;
  }

  #isOver(nowMs: number): boolean {
    return nowMs - this.#lastAtMs > limits.flushReturnGapMsMax;
  }
}
