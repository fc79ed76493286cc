import { Metrics } from '@kafscale/telemetry';
import { expect, it } from 'vitest';
import { registerIngestMetrics } from '../src/metrics.js';

/** Name and labels → value, of what was counted at all. */
async function rendered(metrics: Metrics): Promise<Record<string, number>> {
  const { body } = await metrics.render();
  const lines = body.split('\n').filter((line) => line.startsWith('kafscale_ingest_'));
  const pairs = lines.map((line): [string, number] => {
    const space = line.lastIndexOf(' ');
    return [line.slice('kafscale_ingest_'.length, space), Number(line.slice(space + 1))];
  });
  return Object.fromEntries(
    pairs.filter(([name, value]) => value !== 0 && !name.includes('_bucket')),
  );
}

it('of every stage, by lane where it has one', async () => {
  const metrics = new Metrics({ processMetrics: false });
  const ingest = registerIngestMetrics(metrics);
  ingest.watch({
    bytesInFlight: () => 70,
    bytesWaiting: () => 80,
    laneBytes: (lane) => ({ express: 1, standard: 2, economy: 3 })[lane],
    uploadsInFlight: () => 5,
    uploadsLimit: () => 6,
  });
  ingest.produceAdmitted(3, 300);
  ingest.produceRefused(10);
  ingest.produceWaited(500);
  ingest.segmentSealed('express', { bytes: 300, batches: 3, openMs: 20 });
  const uploaded = { sizeBytes: 400, sealMs: 2, putMs: 30, totalMs: 40 };
  ingest.segmentUploaded('express', uploaded);
  ingest.segmentUploaded('economy', { ...uploaded, sizeBytes: 0 }); // nothing was put
  ingest.uploadThrottled();
  ingest.uploadFailed();
  ingest.segmentsCommitted('standard', 2, 8);
  ingest.segmentSettled('economy', 9_000);
  expect(await rendered(metrics)).toEqual({
    batches_total: 3,
    batch_bytes_total: 300,
    'batches_refused_total{error_code="10"}': 1,
    memory_wait_seconds_sum: 0.5,
    memory_wait_seconds_count: 1,
    'segment_bytes_sum{lane="express"}': 300,
    'segment_bytes_count{lane="express"}': 1,
    'segment_batches_sum{lane="express"}': 3,
    'segment_batches_count{lane="express"}': 1,
    'segment_open_seconds_sum{lane="express"}': 0.02,
    'segment_open_seconds_count{lane="express"}': 1,
    seal_seconds_sum: 0.004,
    seal_seconds_count: 2,
    put_seconds_sum: 0.03,
    put_seconds_count: 1,
    'upload_seconds_sum{lane="express"}': 0.04,
    'upload_seconds_count{lane="express"}': 1,
    'upload_seconds_sum{lane="economy"}': 0.04,
    'upload_seconds_count{lane="economy"}': 1,
    'puts_total{result="stored"}': 1,
    'puts_total{result="throttled"}': 1,
    put_bytes_total: 400,
    uploads_failed_total: 1,
    segments_committed_total: 2,
    'commit_seconds_sum{lane="standard"}': 0.008,
    'commit_seconds_count{lane="standard"}': 1,
    'ack_seconds_sum{lane="economy"}': 9,
    'ack_seconds_count{lane="economy"}': 1,
    'queue_bytes{lane="express"}': 1,
    'queue_bytes{lane="standard"}': 2,
    'queue_bytes{lane="economy"}': 3,
    in_flight_bytes: 70,
    waiting_bytes: 80,
    uploads_in_flight: 5,
    uploads_limit: 6,
  });
});
