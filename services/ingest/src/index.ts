export { createIngestService } from './ingest-service.js';
export type { Ingest, IngestOptions } from './ingest-service.js';
export type { IngestLog, IngestMetrics } from './observability.js';
