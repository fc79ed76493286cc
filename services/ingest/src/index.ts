export { createIngestService } from './ingest-service.js';
export type { Ingest, IngestOptions } from './ingest-service.js';
export { registerIngestMetrics } from './metrics.js';
export type { IngestLog, IngestMetrics } from './observability.js';
