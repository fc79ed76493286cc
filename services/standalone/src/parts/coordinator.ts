import type { Config } from '@kafscale/config';
import {
  createCoordinator,
  registerBackgroundMetrics,
  registerCompactionMetrics,
  registerCoordinatorMetrics,
  registerIndexMetrics,
} from '@kafscale/coordinator';
import type { Coordinator } from '@kafscale/coordinator';
import { limits, systemClock } from '@kafscale/core';
import { openObjectStore } from '@kafscale/storage';
import type { Logger, Metrics } from '@kafscale/telemetry';
import type { Closers } from '../process/closers.js';
import { objectStoreOptions, softwareVersion } from '../cli/index.js';
import { openMetadata } from './metadata.js';

export async function startCoordinator(options: {
  config: Config;
  log: Logger;
  metrics: Metrics;
  closers: Closers;
  onLost: (error: Error) => void;
}): Promise<Coordinator> {
  const { closers, config, log, metrics } = options;
  const { ownerInstanceId, store } = await openMetadata(options);
  const objectStore = openObjectStore(config.storeUrl, objectStoreOptions(config));
  closers.add('object store of the coordinator', () => objectStore.close());
  const coordinator = createCoordinator({
    store,
    instanceId: ownerInstanceId,
    autoCreateTopics: config.autoCreateTopics,
    partitionsDefault: config.numPartitions,
    groupInitialRebalanceDelayMs: config.groupInitialRebalanceDelayMs,
    messageBytesMax: limits.messageBytesMax,
    clock: systemClock,
    log,
    metrics: registerCoordinatorMetrics(metrics),
    background: { objectStore, metrics: registerBackgroundMetrics(metrics) },
    compaction: {
      storeUrl: config.storeUrl,
      storeOptions: objectStoreOptions(config),
      softwareVersion: `kafscale ${softwareVersion()}`,
      metrics: registerCompactionMetrics(metrics),
      limits: { graceMs: config.compactionGraceMs },
    },
    index: {
      objectStore,
      intervalMs: config.indexIntervalMs,
      softwareVersion: `kafscale ${softwareVersion()}`,
      metrics: registerIndexMetrics(metrics),
    },
  });
  closers.add('coordinator', () => coordinator.close());
  await coordinator.start();
  return coordinator;
}
