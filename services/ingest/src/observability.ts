/** The few calls that ingest makes of a logger; pino has this shape. */
export interface IngestLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What ingest counts. Durations in milliseconds. */
export interface IngestMetrics {
  produceAdmitted(batches: number, bytes: number): void;
  produceRefused(errorCode: number): void;
  segmentSealed(bytes: number, batches: number, openMs: number): void;
  segmentUploaded(bytes: number, durationMs: number): void;
  uploadFailed(): void;
  segmentsCommitted(segments: number, durationMs: number): void;
}
