export { createFetchService } from './fetch-service.js';
export type { ClosableFetchService, FetchServiceOptions } from './fetch-service.js';
export { defaultFetchLimits } from './fetch-limits.js';
export type { FetchLimits } from './fetch-limits.js';
export type { FetchLog } from './fetch-log.js';
export { fetchCounters, fetchGauges, fetchHistograms, registerFetchMetrics } from './metrics.js';
export type { FetchCounter, FetchGauge, FetchHistogram, FetchMetrics } from './metrics.js';
export type { FetchCoordinator, FetchReplica } from './replica.js';
export type { RecentSegmentReader } from './blocks/segment-source.js';
