import { durationBuckets, sizeBuckets } from '@kafscale/telemetry';
import type { Metrics } from '@kafscale/telemetry';
import type { IngestGauges, IngestMetrics } from './observability.js';
import { laneNames } from './segment/latency-lane.js';
import type { LaneName } from './segment/latency-lane.js';

const msPerSecond = 1000;
const batchesBuckets = [1, 4, 16, 64, 256, 1024, 4096, 16_384] as const;

/** Registers all of them, once per process. */
export function registerIngestMetrics(metrics: Metrics): IngestMetrics {
  const counters = registerCounters(metrics);
  const histograms = registerHistograms(metrics);
  // Looked up once: a label costs a search.
  const lanes = Object.fromEntries(
    laneNames.map((lane) => [lane, histogramsOf(histograms, lane)]),
  ) as Record<LaneName, ReturnType<typeof histogramsOf>>;
  return {
    produceAdmitted(count, bytes) {
      counters.batches.inc(count);
      counters.batchBytes.inc(bytes);
    },
    produceRefused: (errorCode) => counters.refused.labels(String(errorCode)).inc(),
    produceWaited: (durationMs) => histograms.wait.observe(durationMs / msPerSecond),
    segmentSealed(lane, { batches, bytes, openMs }) {
      lanes[lane].bytes.observe(bytes);
      lanes[lane].batches.observe(batches);
      lanes[lane].open.observe(openMs / msPerSecond);
    },
    segmentUploaded(lane, { putMs, sealMs, sizeBytes, totalMs }) {
      histograms.seal.observe(sealMs / msPerSecond);
      lanes[lane].upload.observe(totalMs / msPerSecond);
      if (sizeBytes === 0) return; // nothing was put: every batch was corrupt
      counters.puts.labels('stored').inc();
      counters.putBytes.inc(sizeBytes);
      histograms.put.observe(putMs / msPerSecond);
    },
    uploadThrottled: () => counters.puts.labels('throttled').inc(),
    uploadFailed: () => counters.failed.inc(),
    segmentsCommitted(lane, count, durationMs) {
      counters.segments.inc(count);
      lanes[lane].commit.observe(durationMs / msPerSecond);
    },
    segmentSettled: (lane, ackMs) => lanes[lane].ack.observe(ackMs / msPerSecond),
    watch: (gauges) => registerGauges(metrics, gauges),
  };
}

function registerCounters(metrics: Metrics) {
  return {
    batches: metrics.counter({
      name: 'ingest_batches_total',
      help: 'Record batches taken into segments.',
    }),
    batchBytes: metrics.counter({
      name: 'ingest_batch_bytes_total',
      help: 'Bytes of record batches taken into segments.',
    }),
    refused: metrics.counter({
      name: 'ingest_batches_refused_total',
      help: 'Record batches refused before they were taken, by Kafka error code.',
      labels: ['error_code'],
    }),
    puts: metrics.counter({
      name: 'ingest_puts_total',
      help: 'Segments put into the object store, and puts that it throttled.',
      labels: ['result'],
    }),
    putBytes: metrics.counter({
      name: 'ingest_put_bytes_total',
      help: 'Bytes of stored segments, footers included.',
    }),
    failed: metrics.counter({
      name: 'ingest_uploads_failed_total',
      help: 'Segments that could not be stored.',
    }),
    segments: metrics.counter({
      name: 'ingest_segments_committed_total',
      help: 'Segments whose commit has been answered.',
    }),
  };
}

function registerHistograms(metrics: Metrics) {
  const seconds = (name: string, help: string) =>
    metrics.histogram({ name: `ingest_${name}_seconds`, help, buckets: durationBuckets });
  const laneSeconds = (name: string, help: string) =>
    metrics.histogram({
      name: `ingest_${name}_seconds`,
      help,
      labels: ['lane'],
      buckets: durationBuckets,
    });
  return {
    wait: seconds('memory_wait', 'How long requests waited for memory, of those that had to.'),
    seal: seconds('seal', 'Checksums and footer of a segment, in a worker.'),
    put: seconds('put', 'Storing of a segment, in a worker, repeats included.'),
    bytes: metrics.histogram({
      name: 'ingest_segment_bytes',
      help: 'Bytes of batches in a sealed segment.',
      labels: ['lane'],
      buckets: sizeBuckets,
    }),
    batches: metrics.histogram({
      name: 'ingest_segment_batches',
      help: 'Batches in a sealed segment.',
      labels: ['lane'],
      buckets: batchesBuckets,
    }),
    open: laneSeconds('segment_open', 'From the first batch of a segment to its sealing.'),
    upload: laneSeconds('upload', 'From the sealing of a segment to its storing, waits included.'),
    commit: laneSeconds('commit', 'Commit calls, repeats included.'),
    ack: laneSeconds('ack', 'From the first batch of a segment to the answers.'),
  };
}

function histogramsOf(histograms: ReturnType<typeof registerHistograms>, lane: LaneName) {
  return {
    bytes: histograms.bytes.labels(lane),
    batches: histograms.batches.labels(lane),
    open: histograms.open.labels(lane),
    upload: histograms.upload.labels(lane),
    commit: histograms.commit.labels(lane),
    ack: histograms.ack.labels(lane),
  };
}

function registerGauges(metrics: Metrics, gauges: IngestGauges): void {
  metrics.gauge({
    name: 'ingest_queue_bytes',
    help: 'Bytes of batches between admission and answer, by lane.',
    labels: ['lane'],
    readEach: () => laneNames.map((lane) => [lane, gauges.laneBytes(lane)] as const),
  });
  metrics.gauge({
    name: 'ingest_in_flight_bytes',
    help: 'Bytes taken of the budget for batches between admission and answer.',
    read: gauges.bytesInFlight,
  });
  metrics.gauge({
    name: 'ingest_waiting_bytes',
    help: 'Bytes of requests that wait for that budget.',
    read: gauges.bytesWaiting,
  });
  metrics.gauge({
    name: 'ingest_uploads_in_flight',
    help: 'Segments that are being stored.',
    read: gauges.uploadsInFlight,
  });
  metrics.gauge({
    name: 'ingest_uploads_limit',
    help: 'How many may be at a time; falls when the store throttles.',
    read: gauges.uploadsLimit,
  });
}
