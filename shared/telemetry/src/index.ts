export { HealthState } from './health.js';
export type { Readiness, ReadinessCheck } from './health.js';
export { observabilityRoutes, startHttpServer } from './http-server.js';
export type { HttpServerOptions } from './http-server.js';
export { createLogger } from './logger.js';
export type { Logger, LoggerOptions } from './logger.js';
export { durationBuckets, Metrics, sizeBuckets } from './metrics.js';
export type { GaugeDefinition, HistogramDefinition, MetricDefinition } from './metrics.js';
