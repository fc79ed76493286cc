/**
 * The worker thread: checks CRCs, orders the batches into extents, writes the footer, and stores the
 * object. It reads the batches where the main thread put them and copies none of them.
 */
import { openObjectStore } from '@kafscale/storage';
import type { ObjectStoreOptions } from '@kafscale/storage';
import { workerData } from 'node:worker_threads';
import { buildSegment } from './build-segment.js';
import type { SealJob, SealResult } from './seal-job.js';

/** What the pool gives every worker. */
export interface SealWorkerData {
  readonly storeUrl: string;
  readonly storeOptions: ObjectStoreOptions;
}

const { storeUrl, storeOptions } = workerData as SealWorkerData;
const store = openObjectStore(storeUrl, { ...storeOptions, blockingPuts: true });

export default async function seal(job: SealJob): Promise<SealResult> {
  const { chunks, crc32c, result } = buildSegment(job, store.sizeMultiple);
  if (chunks.length > 0) await store.put(job.key, chunks, crc32c);
  return result;
}
