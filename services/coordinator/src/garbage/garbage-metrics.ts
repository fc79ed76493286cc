import type { Metrics } from '@kafscale/telemetry';

/** Why an object without a row was not deleted. */
export const keptReasons = [
  /** Not to be read as a segment, or not the one that its key names. */
  'unrecognized',
  /** Of before a recovery, or of after a restored backup: not this index's to judge. */
  'incarnation',
  /** Its node is not known here: the index is older than the bucket. */
  'node',
] as const;

export type KeptReason = (typeof keptReasons)[number];

/** What garbage collection tells of itself. Durations in milliseconds. */
export interface GarbageMetrics {
  /** Marked segments, their bytes, and how long ago the first should have been deleted. */
  waiting(segments: number, bytes: number, overdueMs: number): void;
  deleted(objects: number, bytes: number): void;
  deletesFailed(objects: number): void;
  /** Segments that counted as unreferenced although an index row names them. */
  refused(segments: number): void;
  orphansDeleted(objects: number, bytes: number): void;
  /** Of a sweep so far. */
  orphansKept(kept: Readonly<Record<KeptReason, number>>): void;
  sweepCompleted(atWallMs: number): void;
}

const msPerSecond = 1000;

export function registerGarbageMetrics(metrics: Metrics): GarbageMetrics {
  const gauge = (name: string, help: string) => metrics.gauge({ name: `garbage_${name}`, help });
  const counter = (name: string, help: string) =>
    metrics.counter({ name: `garbage_${name}_total`, help });
  const segments = gauge(
    'waiting_segments',
    'Segments without records that are yet to be deleted.',
  );
  const bytes = gauge('waiting_bytes', 'Bytes of the segments that are yet to be deleted.');
  const overdue = gauge(
    'overdue_seconds',
    'How long ago the first segment that waits should have been deleted.',
  );
  const deleted = counter('deleted_objects', 'Objects that were deleted, orphans included.');
  const deletedBytes = counter('deleted_bytes', 'Bytes of the objects that were deleted.');
  const failed = counter('deletes_failed', 'Objects that the store did not delete; tried again.');
  const refused = counter(
    'refused_segments',
    'Segments that were to be deleted although the index names them: run fsck.',
  );
  const orphans = counter('orphans_deleted', 'Objects that were uploaded and never committed.');
  const kept = metrics.gauge({
    name: 'garbage_orphans_kept',
    help: 'Objects without a row that the last sweep left alone, by reason.',
    labels: ['reason'],
  });
  const swept = gauge(
    'sweep_completed_timestamp_seconds',
    'When the last sweep for orphans ended.',
  );
  return {
    waiting(segmentCount, byteCount, overdueMs) {
      segments.set(segmentCount);
      bytes.set(byteCount);
      overdue.set(overdueMs / msPerSecond);
    },
    deleted(objectCount, byteCount) {
      deleted.inc(objectCount);
      deletedBytes.inc(byteCount);
    },
    deletesFailed: (objectCount) => failed.inc(objectCount),
    refused: (segmentCount) => refused.inc(segmentCount),
    orphansDeleted(objectCount, byteCount) {
      orphans.inc(objectCount);
      deleted.inc(objectCount);
      deletedBytes.inc(byteCount);
    },
    orphansKept(counts) {
      for (const reason of keptReasons) kept.labels(reason).set(counts[reason]);
    },
    sweepCompleted: (atWallMs) => swept.set(atWallMs / msPerSecond),
  };
}
