import { isOperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { MetadataStore } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';
import type { CoordinatorLog } from '../observability.js';
import { defaultColdLimits } from './cold-limits.js';
import type { ColdLimits } from './cold-limits.js';
import { ColdLookups } from './cold-lookups.js';
import { noColdMetrics } from './cold-metrics.js';
import type { ColdMetrics } from './cold-metrics.js';
import { ColdMover } from './cold-mover.js';
import { ColdObjects } from './cold-objects.js';
import { Freezer } from './freezer.js';
import type { FreezerOptions } from './freezer.js';

export interface ColdIndexOptions {
  readonly store: MetadataStore;
  readonly objectStore: ObjectStore;
  readonly ownership: FreezerOptions['ownership'];
  readonly unwrittenForMs: () => number;
  readonly clock: Clock;
  readonly log: CoordinatorLog;
  readonly metrics?: ColdMetrics;
  readonly limits?: Partial<ColdLimits>;
}

/** The part of the index that is in objects of the bucket: COLD-INDEX.md. */
export class ColdIndex {
  readonly lookups: ColdLookups;
  readonly freezer: Freezer;
  readonly #mover: ColdMover;
  readonly #options: ColdIndexOptions;

  constructor(options: ColdIndexOptions) {
    const { objectStore, store } = options;
    const objects = new ColdObjects(objectStore);
    const limits = { ...defaultColdLimits, ...options.limits };
    const parts = { ...options, objects, limits, metrics: options.metrics ?? noColdMetrics };
    this.#options = options;
    this.#mover = new ColdMover(parts);
    this.lookups = new ColdLookups(store, objects);
    this.freezer = new Freezer({ ...parts, mover: this.#mover });
  }

  /** Brings back a piece of a partition's oldest range; false: it could not be, for now. */
  thaw = async (partitionId: number): Promise<boolean> => {
    const { log, ownership } = this.#options;
    const { lease } = ownership;
    if (lease === null || !ownership.holds()) return false;
    try {
      return (await this.#mover.thaw(lease, partitionId)) !== 'superseded';
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      const { code, message } = error;
      log.warn(
        { code, message, partitionId },
        'a cold range of the index could not be brought back',
      );
      return false;
    }
  };
}
