import { durationBuckets } from '@kafscale/telemetry';
import type { Metrics } from '@kafscale/telemetry';
import type { CoordinatorMetrics } from './observability.js';

const msPerSecond = 1000;

/** Registers all of them, once per process. */
export function registerCoordinatorMetrics(metrics: Metrics): CoordinatorMetrics {
  const transactions = metrics.histogram({
    name: 'coordinator_commit_seconds',
    help: 'Commit transactions.',
    buckets: durationBuckets,
  });
  const segments = metrics.counter({
    name: 'coordinator_segments_committed_total',
    help: 'Segments in commit transactions, repeats included.',
  });
  const extents = metrics.counter({
    name: 'coordinator_extents_total',
    help: 'Index rows added by commits.',
  });
  const lease = metrics.gauge({
    name: 'coordinator_lease_held',
    help: '1 while this process owns its shard and may answer from memory.',
  });
  return {
    commitTransaction(segmentCount, extentCount, durationMs) {
      transactions.observe(durationMs / msPerSecond);
      segments.inc(segmentCount);
      extents.inc(extentCount);
    },
    leaseHeld: (held) => lease.set(held ? 1 : 0),
  };
}
