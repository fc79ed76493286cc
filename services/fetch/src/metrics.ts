import { durationBuckets, type Metrics } from '@kafscale/telemetry';

// What the fetch service measures, by its name in Prometheus without the program's prefix.

export const fetchCounters = {
  fetch_bytes_served_total: 'Bytes of record batches in Fetch responses',
  fetch_requests_total: 'Requests answered by the fetch service',
  fetch_long_polls_total: 'Fetch requests that waited for data',
  fetch_out_of_range_total: 'Partitions answered with OFFSET_OUT_OF_RANGE',
  fetch_partition_errors_total: 'Partitions answered with KAFKA_STORAGE_ERROR',
  fetch_block_hits_total: 'Extents that were in the block cache when a reader wanted them',
  fetch_block_misses_total: 'Extents that had to be loaded for a reader',
  fetch_blocks_read_ahead_total: 'Extents that were asked for before a reader wanted them',
  fetch_extents_damaged_total: 'Extents that failed their verification twice',
  fetch_index_lookups_total: 'Index lookups sent to the coordinator',
  fetch_writer_views_total: 'Loads that took what the writer in the same process had in memory',
  fetch_writer_reads_total: 'Reads answered from the memory of the writing ingest node',
  fetch_store_reads_total: 'Ranged reads of the object store (GETs)',
  fetch_store_read_bytes_total: 'Bytes read from the object store',
  fetch_store_read_errors_total: 'Reads of the object store that failed',
  fetch_reads_hedged_total: 'Reads of the object store that were sent a second time for being late',
  fetch_hedges_won_total: 'Second reads that answered before the first',
  fetch_owner_reads_total: 'Reads answered by the fetch nodes that own the blocks',
  fetch_owner_read_bytes_total: 'Bytes of extents read from the fetch nodes that own them',
  fetch_owner_fallbacks_total: 'Extents of other owners that were loaded here after all',
  fetch_owner_answers_wrong_total: 'Extents from their owners that failed their verification',
  fetch_peer_extents_total: 'Extents handed to other fetch nodes',
  fetch_peer_bytes_total: 'Bytes of extents handed to other fetch nodes',
  fetch_sessions_evicted_total: 'Fetch sessions that made room for others',
  fetch_session_errors_total: 'Requests of sessions that are unknown or somewhere else',
} as const;

export const fetchHistograms = {
  fetch_request_seconds: 'Request to response, the long poll included',
  fetch_barrier_seconds: 'Wait for the read index',
  fetch_load_seconds: 'A read of the writer or of the object store, verification included',
} as const;

export const fetchGauges = {
  fetch_waiting_requests: 'Long polls that wait right now',
  fetch_block_cache_bytes: 'Memory of the block cache, loads under way included',
  fetch_block_memory_idle_bytes: 'Memory of evicted blocks that waits for the next reads',
  fetch_hot_index_extents: 'Extents in the hot index',
  fetch_cached_index_extents: 'Looked-up extents kept in memory',
  fetch_batch_index_parts: 'Parts of large extents that are known by their footers',
  fetch_loads_queued: 'Extents that wait to be read',
  fetch_borrowed_bytes: 'Memory of blocks that other fetch nodes own',
  fetch_sessions: 'Fetch sessions',
  fetch_session_partitions: 'Partitions over all fetch sessions',
} as const;

export type FetchCounter = keyof typeof fetchCounters;
export type FetchHistogram = keyof typeof fetchHistograms;
export type FetchGauge = keyof typeof fetchGauges;

export interface FetchMetrics {
  count(name: FetchCounter, by?: number): void;
  observe(name: FetchHistogram, durationMs: number): void;
  /** At most once for each gauge; `read` is called when the metrics are collected. */
  gauge(name: FetchGauge, read: () => number): void;
}

/** Registers all of them, once per process. */
export function registerFetchMetrics(metrics: Metrics): FetchMetrics {
  const counters = mapNames(fetchCounters, (name, help) => metrics.counter({ name, help }));
  const histograms = mapNames(fetchHistograms, (name, help) =>
    metrics.histogram({ name, help, buckets: durationBuckets }),
  );
  return {
    count: (name, by = 1) => counters[name].inc(by),
    observe: (name, durationMs) => histograms[name].observe(durationMs / 1000),
    gauge(name, read) {
      metrics.gauge({ name, help: fetchGauges[name], read });
    },
  };
}

function mapNames<Name extends string, Value>(
  helps: Readonly<Record<Name, string>>,
  make: (name: Name, help: string) => Value,
): Readonly<Record<Name, Value>> {
  const names = Object.keys(helps) as Name[];
  return Object.fromEntries(names.map((name) => [name, make(name, helps[name])])) as Record<
    Name,
    Value
  >;
}
