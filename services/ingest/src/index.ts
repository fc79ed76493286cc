export { createIngestService } from './ingest-service.js';
export type { Ingest, IngestOptions } from './ingest-service.js';
export { registerIngestMetrics } from './metrics.js';
export type { IngestGauges, IngestLog, IngestMetrics } from './observability.js';
