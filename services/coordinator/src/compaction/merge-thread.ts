import { describeError, limits } from '@kafscale/core';
import { Piscina } from 'piscina';
import type { MergeExecutor, MergeJob, MergeOutcome } from './merge-job.js';
import type { MergeWorkerData } from './merge-worker.js';

/** Merges on a thread that exists only while there is something to merge. */
export function startMergeThread(data: MergeWorkerData): MergeExecutor {
  const pool = new Piscina<MergeJob, MergeOutcome>({
    filename: new URL('./merge-worker.js', import.meta.url).href,
    workerData: data,
    minThreads: 0,
    maxThreads: 1,
    // Two: one reads while the other one's CPU work or upload goes on.
    concurrentTasksPerWorker: limits.compactionJobsInFlightMax,
    maxQueue: limits.compactionJobsInFlightMax,
    idleTimeout: limits.compactionThreadIdleMs,
    recordTiming: false,
  });
  return {
    async merge(job) {
      try {
        return await pool.run(job);
      } catch (error) {
        // The thread died, or is being closed.
        return { kind: 'failed', code: 'MERGE_THREAD_FAILED', reason: describeError(error) };
      }
    },
    close: () => pool.destroy(),
  };
}
