/**
 * The worker thread: checks CRCs, orders the batches into extents, writes the footer, and stores the
 * object. It reads the batches where the main thread put them and copies none of them.
 */
import { isOperatingError } from '@kafscale/core';
import { openObjectStore } from '@kafscale/storage';
import type { ObjectStoreOptions } from '@kafscale/storage';
import { workerData } from 'node:worker_threads';
import { buildSegment } from './build-segment.js';
import type { SealJob, StoredSegment } from './seal-job.js';

/** What the pool gives every worker. */
export interface SealWorkerData {
  readonly storeUrl: string;
  readonly storeOptions: ObjectStoreOptions;
}

const { storeUrl, storeOptions } = workerData as SealWorkerData;
const store = openObjectStore(storeUrl, {
  ...storeOptions,
  blockingPuts: true,
  callerRepeatsPuts: true,
});

/** Null: the store throttles. As a value, because an error loses its code between threads. */
export default async function seal(job: SealJob): Promise<StoredSegment | null> {
  const startedAtMs = performance.now();
  const { chunks, crc32c, result } = buildSegment(job, store.sizeMultiple);
  const sealedAtMs = performance.now();
  try {
    if (chunks.length > 0) await store.put(job.key, chunks, crc32c);
  } catch (error) {
    if (isOperatingError(error) && error.code === 'STORE_THROTTLED') return null;
    throw error;
  }
  const putMs = performance.now() - sealedAtMs;
  return { ...result, sealMs: sealedAtMs - startedAtMs, putMs };
}
