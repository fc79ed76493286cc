/** The thread that reads, checks and copies for segment compaction, with a store of its own. */
import { openObjectStore } from '@kafscale/storage';
import type { ObjectStoreOptions } from '@kafscale/storage';
import { workerData } from 'node:worker_threads';
import type { MergeJob, MergeOutcome } from './merge-job.js';
import { MergeMemory } from './merge-memory.js';
import { mergeSegments } from './merge-segments.js';

/** What the pool gives the thread. */
export interface MergeWorkerData {
  readonly storeUrl: string;
  readonly storeOptions: ObjectStoreOptions;
}

const { storeUrl, storeOptions } = workerData as MergeWorkerData;
const store = openObjectStore(storeUrl, storeOptions);
const memories = new MergeMemory();

export default function merge(job: MergeJob): Promise<MergeOutcome> {
  return mergeSegments(store, job, memories);
}
