import { performance } from 'node:perf_hooks';

/**
 * The only clocks in the program. Leases, deadlines and ages use `monotonicMs`; `wallMs` is for
 * people and for record timestamps, never for deciding what is safe.
 */
export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back; fractional. */
  monotonicMs(): number;
  /** Milliseconds since the Unix epoch; may jump. */
  wallMs(): number;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
};

/** Resolves after `delayMs`, or at once when `signal` aborts. Never rejects. */
export function sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, delayMs);
    signal?.addEventListener('abort', done, { once: true });
  });
}
