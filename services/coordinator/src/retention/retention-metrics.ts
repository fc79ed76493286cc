import type { Metrics } from '@kafscale/telemetry';

/** What retention tells of itself. Durations in milliseconds. */
export interface RetentionMetrics {
  /** Index rows that are gone, and the bytes that they named. */
  trimmed(extents: number, bytes: number): void;
  /** Partitions that have something to give up, and how long ago the first record of it expired. */
  behind(partitions: number, overdueMs: number): void;
  /** Everything that was due has been looked at. */
  passCompleted(atWallMs: number): void;
  producersExpired(count: number): void;
}

const msPerSecond = 1000;

export function registerRetentionMetrics(metrics: Metrics): RetentionMetrics {
  const extents = metrics.counter({
    name: 'retention_extents_total',
    help: 'Index rows that retention and DeleteRecords have removed.',
  });
  const bytes = metrics.counter({
    name: 'retention_bytes_total',
    help: 'Bytes of records that retention and DeleteRecords have removed from the index.',
  });
  const partitions = metrics.gauge({
    name: 'retention_partitions_behind',
    help: 'Partitions that keep more than they should, right now.',
  });
  const overdue = metrics.gauge({
    name: 'retention_overdue_seconds',
    help: 'How long ago the oldest record that is still kept should have gone by retention.ms.',
  });
  const completed = metrics.gauge({
    name: 'retention_completed_timestamp_seconds',
    help: 'When a check of all topics last ended with nothing left to do.',
  });
  const producers = metrics.counter({
    name: 'retention_producers_expired_total',
    help: 'Producers of partitions that were forgotten because they had been idle.',
  });
  return {
    trimmed(extentCount, byteCount) {
      extents.inc(extentCount);
      bytes.inc(byteCount);
    },
    behind(partitionCount, overdueMs) {
      partitions.set(partitionCount);
      overdue.set(overdueMs / msPerSecond);
    },
    passCompleted: (atWallMs) => completed.set(atWallMs / msPerSecond),
    producersExpired: (count) => producers.inc(count),
  };
}
