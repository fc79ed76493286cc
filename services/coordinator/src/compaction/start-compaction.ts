import type { Clock } from '@kafscale/core';
import { openCompactionStore } from '@kafscale/metadata';
import type { MetadataStore } from '@kafscale/metadata';
import type { ObjectStoreOptions } from '@kafscale/storage';
import type { CoordinatorLog } from '../observability.js';
import type { CompactionLimits } from './compaction-limits.js';
import type { CompactionMetrics } from './compaction-metrics.js';
import { Compactor } from './compactor.js';
import type { CompactionOwnership } from './compactor.js';
import { startMergeThread } from './merge-thread.js';

/** What a coordinator must know to merge segments; without it none are. */
export interface CompactionOptions {
  readonly storeUrl: string;
  readonly storeOptions: ObjectStoreOptions;
  /** Name and version of the program, written into merged segments. */
  readonly softwareVersion: string;
  readonly metrics: CompactionMetrics;
  readonly limits?: Partial<CompactionLimits>;
}

export function startCompaction(
  options: CompactionOptions,
  parts: {
    readonly store: MetadataStore;
    readonly ownership: CompactionOwnership;
    readonly clock: Clock;
    readonly log: CoordinatorLog;
  },
): Compactor {
  const { limits, metrics, softwareVersion, storeOptions, storeUrl } = options;
  return new Compactor({
    ...parts,
    store: openCompactionStore(parts.store),
    executor: startMergeThread({ storeUrl, storeOptions }),
    softwareVersion,
    metrics,
    ...(limits && { limits }),
  });
}
