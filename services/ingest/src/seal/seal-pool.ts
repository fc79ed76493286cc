import { OperatingError, limits } from '@kafscale/core';
import { Piscina } from 'piscina';
import type { SealJob, SealResult } from './seal-job.js';
import type { SealWorkerData } from './seal-worker.js';

export interface SealPool {
  seal(job: SealJob): Promise<SealResult>;
  close(): Promise<void>;
}

/**
 * The threads that seal and upload. A task spends most of its life waiting for the store, so one
 * thread carries many: `concurrentTasksPerWorker` is what bounds uploads, not the thread count.
 */
export function startSealPool(data: SealWorkerData, threads: number): SealPool {
  const pool = new Piscina<SealJob, SealResult>({
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
      try {
        return await pool.run(job);
      } catch (error) {
        throw new OperatingError('SEGMENT_UPLOAD_FAILED', 'the segment could not be stored', {
          cause: error,
          outcome: 'unknown',
        });
      }
    },
    close: () => pool.destroy(),
  };
}
