import { durationBuckets, sizeBuckets } from '@kafscale/telemetry';
import type { Metrics } from '@kafscale/telemetry';
import type { IngestMetrics } from './observability.js';

const msPerSecond = 1000;

/** Registers all of them, once per process. */
export function registerIngestMetrics(metrics: Metrics): IngestMetrics {
  const seconds = (name: string, help: string) =>
    metrics.histogram({ name: `ingest_${name}_seconds`, help, buckets: durationBuckets });
  const bytes = (name: string, help: string) =>
    metrics.histogram({ name: `ingest_${name}_bytes`, help, buckets: sizeBuckets });
  const batches = metrics.counter({
    name: 'ingest_batches_total',
    help: 'Record batches taken into segments.',
  });
  const batchBytes = metrics.counter({
    name: 'ingest_batch_bytes_total',
    help: 'Bytes of record batches taken into segments.',
  });
  const refused = metrics.counter({
    name: 'ingest_batches_refused_total',
    help: 'Record batches refused before they were taken, by Kafka error code.',
    labels: ['error_code'],
  });
  const uploadsFailed = metrics.counter({
    name: 'ingest_uploads_failed_total',
    help: 'Segments that could not be stored.',
  });
  const segments = metrics.counter({
    name: 'ingest_segments_committed_total',
    help: 'Segments whose commit has been answered.',
  });
  const segmentBytes = bytes('segment', 'Bytes of batches in a sealed segment.');
  const openSeconds = seconds('segment_open', 'From the first batch of a segment to its sealing.');
  const uploadSeconds = seconds('upload', 'Sealing in a worker and storing of a segment.');
  const commitSeconds = seconds('commit', 'Commit calls, repeats included.');
  return {
    produceAdmitted(count, byteCount) {
      batches.inc(count);
      batchBytes.inc(byteCount);
    },
    produceRefused: (errorCode) => refused.labels(String(errorCode)).inc(),
    segmentSealed(byteCount, _batches, openMs) {
      segmentBytes.observe(byteCount);
      openSeconds.observe(openMs / msPerSecond);
    },
    segmentUploaded: (_bytes, durationMs) => uploadSeconds.observe(durationMs / msPerSecond),
    uploadFailed: () => uploadsFailed.inc(),
    segmentsCommitted(count, durationMs) {
      segments.inc(count);
      commitSeconds.observe(durationMs / msPerSecond);
    },
  };
}
