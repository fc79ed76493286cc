/** Timers, as far as groups need them. */
export interface Scheduler {
  /** Calls `run` once after `delayMs`; the returned function prevents it. */
  after(delayMs: number, run: () => void): () => void;
}

const timeoutMsMax = 2 ** 31 - 1;

export const systemScheduler: Scheduler = {
  after(delayMs, run) {
    // A group whose wake-up was cut short is simply not due yet.
    const timer = setTimeout(run, Math.min(Math.max(delayMs, 0), timeoutMsMax));
    return () => clearTimeout(timer);
  },
};
