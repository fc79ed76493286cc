import type { LaneName } from './segment/latency-lane.js';

/** The few calls that ingest makes of a logger; pino has this shape. */
export interface IngestLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What ingest counts: per request or per segment, never per batch. Durations in milliseconds. */
export interface IngestMetrics {
  produceAdmitted(batches: number, bytes: number): void;
  produceRefused(errorCode: number): void;
  /** A request had to wait for memory, and has it now. */
  produceWaited(durationMs: number): void;
  segmentSealed(lane: LaneName, sealed: SealedFigures): void;
  segmentUploaded(lane: LaneName, uploaded: UploadedFigures): void;
  /** The store refused a segment for now. */
  uploadThrottled(): void;
  /** A segment is given up. */
  uploadFailed(): void;
  /** `segments`: those whose commit was answered; 0 when the call was given up. */
  segmentsCommitted(lane: LaneName, segments: number, durationMs: number): void;
  /** `ackMs`: from the arrival of its first batch to the answers. */
  segmentSettled(lane: LaneName, ackMs: number): void;
  /** Told once, asked at each scrape. */
  watch(gauges: IngestGauges): void;
}

export interface SealedFigures {
  readonly bytes: number;
  readonly batches: number;
  readonly openMs: number;
}

export interface UploadedFigures {
  readonly sizeBytes: number;
  /** Of the worker: checksums and footer; the PUT. */
  readonly sealMs: number;
  readonly putMs: number;
  /** From the sealing on the main thread, with the waits for an upload and for a worker. */
  readonly totalMs: number;
}

export interface IngestGauges {
  /** Of batches between admission and answer. */
  readonly bytesInFlight: () => number;
  /** Of requests that wait for memory. */
  readonly bytesWaiting: () => number;
  readonly laneBytes: (lane: LaneName) => number;
  readonly uploadsInFlight: () => number;
  readonly uploadsLimit: () => number;
}
