import { limits, systemClock } from '@kafscale/core';
import { createFetchService, registerFetchMetrics } from '@kafscale/fetch';
import type { ClosableFetchService } from '@kafscale/fetch';
import { createIngestService, registerIngestMetrics } from '@kafscale/ingest';
import type { Ingest } from '@kafscale/ingest';
import { openObjectStore } from '@kafscale/storage';
import { objectStoreOptions, softwareVersion } from '../cli/index.js';
import type { PartContext } from './part-context.js';

/** Fails when the object store can't be used. */
export async function startIngest(context: PartContext): Promise<Ingest> {
  const { config, coordinator, identity, log, metrics, replica } = context;
  const storeOptions = objectStoreOptions(config);
  const store = openObjectStore(config.storeUrl, storeOptions);
  await store.check();
  await store.close();
  return createIngestService({
    coordinator,
    topics: {
      topicByName: (name) => replica.topicByName(name),
      barrier: () => replica.barrier(),
    },
    writer: () => identity.writer,
    databaseNowMs: () => identity.databaseNowMs(),
    storeUrl: config.storeUrl,
    storeOptions,
    flushIntervalMs: config.flushIntervalMs,
    flushInFlightMax: config.flushInFlightMax,
    segmentBytes: config.segmentBytes,
    bytesInFlightMax: limits.ingestBytesInFlightMax,
    recentBytesMax: limits.recentSegmentsBytesMax,
    sealThreads: limits.sealThreads,
    softwareVersion: `kafscale ${softwareVersion()}`,
    clock: systemClock,
    log,
    metrics: registerIngestMetrics(metrics),
  });
}

/** Fails when the object store can't be used. */
export async function startFetch(context: PartContext): Promise<ClosableFetchService> {
  const { config, coordinator, log, metrics, neighbours, replica } = context;
  const store = openObjectStore(config.storeUrl, objectStoreOptions(config));
  await store.check();
  return createFetchService({
    replica,
    coordinator,
    store,
    isStoreRemote: !config.storeUrl.startsWith('file:'),
    recentSegments: (nodeId) => neighbours.recentSegmentsOf(nodeId),
    ...(neighbours.sharesBlocks ? { blockPeers: neighbours } : {}),
    log,
    metrics: registerFetchMetrics(metrics),
    limits: { blockCacheBytes: config.blockCacheBytes },
  });
}
