import type { MergeBacklog, MergePlan } from '@kafscale/metadata';
import { durationBuckets } from '@kafscale/telemetry';
import type { Metrics } from '@kafscale/telemetry';

/** What segment compaction counts. Durations in milliseconds. */
export interface CompactionMetrics {
  merged(merge: {
    kind: MergePlan['kind'];
    rowsBefore: number;
    rowsAfter: number;
    bytes: number;
  }): void;
  mergeSeconds(durationMs: number): void;
  superseded(): void;
  failed(): void;
  unreadable(): void;
  backlog(backlog: MergeBacklog): void;
  /** Once; called when the metrics are collected. */
  badSegments(read: () => number): void;
}

/** Registers all of them, once per process. */
export function registerCompactionMetrics(metrics: Metrics): CompactionMetrics {
  const counter = (name: string, help: string) =>
    metrics.counter<'kind'>({ name: `coordinator_compaction_${name}`, help, labels: ['kind'] });
  const rowsBefore = counter('rows_merged_total', 'Index rows that merged ones replaced.');
  const rowsAfter = counter('rows_written_total', 'Index rows of merged segments.');
  const bytes = counter('bytes_written_total', 'Bytes of merged segments.');
  const merges = counter('merges_total', 'Merged segments that are in the index.');
  const ends = metrics.counter<'outcome'>({
    name: 'coordinator_compaction_abandoned_total',
    help: 'Merges that changed nothing: superseded by retention or a deletion, failed, unreadable.',
    labels: ['outcome'],
  });
  const seconds = metrics.histogram({
    name: 'coordinator_compaction_merge_seconds',
    help: 'One merge: reading, checking, storing, and the swap of its index rows.',
    buckets: durationBuckets,
  });
  const backlog = metrics.gauge<'unit'>({
    name: 'coordinator_compaction_backlog',
    help: 'Fresh segments older than the grace, their index rows and bytes; up to 20,000 segments.',
    labels: ['unit'],
  });
  return {
    merged(merge) {
      const { kind } = merge;
      merges.inc({ kind });
      rowsBefore.inc({ kind }, merge.rowsBefore);
      rowsAfter.inc({ kind }, merge.rowsAfter);
      bytes.inc({ kind }, merge.bytes);
    },
    mergeSeconds: (durationMs) => seconds.observe(durationMs / 1000),
    superseded: () => ends.inc({ outcome: 'superseded' }),
    failed: () => ends.inc({ outcome: 'failed' }),
    unreadable: () => ends.inc({ outcome: 'unreadable' }),
    backlog(waiting) {
      backlog.set({ unit: 'segments' }, waiting.segments);
      backlog.set({ unit: 'rows' }, waiting.rows);
      backlog.set({ unit: 'bytes' }, waiting.bytes);
    },
    badSegments(read) {
      metrics.gauge({
        name: 'coordinator_compaction_bad_segments',
        help: 'Segments that compaction could not read and leaves alone.',
        read,
      });
    },
  };
}
