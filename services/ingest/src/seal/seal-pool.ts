import { OperatingError, limits } from '@kafscale/core';
import { Piscina } from 'piscina';
import type { SealJob, StoredSegment } from './seal-job.js';
import type { SealWorkerData } from './seal-worker.js';

export interface SealPool {
  /** Rejects with STORE_THROTTLED when the store has too many requests; then it can be repeated. */
  seal(job: SealJob): Promise<StoredSegment>;
  close(): Promise<void>;
}

/**
 * The threads that seal and upload. A task spends most of its life waiting for the store, so one
 * thread carries many: `concurrentTasksPerWorker` is what bounds uploads, not the thread count.
 */
export function startSealPool(data: SealWorkerData, threads: number): SealPool {
  const pool = new Piscina<SealJob, StoredSegment | null>({
    filename: new URL('./seal-worker.js', import.meta.url).href,
    workerData: data,
    minThreads: threads,
    maxThreads: threads,
    concurrentTasksPerWorker: Math.ceil(limits.uploadsInFlightMax / threads),
    maxQueue: limits.sealJobsQueuedMax,
    idleTimeout: Infinity,
    recordTiming: false,
  });
  return {
    async seal(job) {
      let stored: StoredSegment | null;
      try {
        stored = await pool.run(job);
      } catch (error) {
        throw new OperatingError('SEGMENT_UPLOAD_FAILED', 'the segment could not be stored', {
          cause: error,
          outcome: 'unknown',
        });
      }
      if (stored !== null) return stored;
      throw new OperatingError('STORE_THROTTLED', 'the store has too many requests', {
        retriable: true,
        outcome: 'unknown',
      });
    },
    close: () => pool.destroy(),
  };
}
