import type { Metrics } from '@kafscale/telemetry';
import type { ColdCounts } from '@kafscale/metadata';

export interface ColdMetrics {
  counts(counts: ColdCounts): void;
  /** Extents that left the metadata store, and that came back. */
  moved(frozen: number, thawed: number): void;
  unreadable(): void;
}

export function registerColdMetrics(metrics: Metrics): ColdMetrics {
  const gauge = (name: string, help: string) => metrics.gauge({ name, help });
  const ranges = gauge('cold_ranges', 'Pieces of the index that are in objects of the bucket.');
  const extents = gauge('cold_extents', 'Extents in cold ranges of the index.');
  const others = gauge(
    'cold_objects_waiting',
    'Objects of cold ranges that are yet to be deleted.',
  );
  const rows = metrics.gauge({
    name: 'index_rows',
    help: 'Rows of the index in the metadata store, by its own estimate.',
    labels: ['table'],
  });
  const frozen = metrics.counter({
    name: 'cold_frozen_extents_total',
    help: 'Extents that moved from rows to cold ranges.',
  });
  const thawed = metrics.counter({
    name: 'cold_thawed_extents_total',
    help: 'Extents that moved from cold ranges back to rows.',
  });
  const unreadable = metrics.counter({
    name: 'cold_unreadable_total',
    help: 'Cold ranges that were found to be lost or damaged: run fsck.',
  });
  return {
    counts(counts) {
      ranges.set(counts.ranges);
      extents.set(counts.coldExtents);
      others.set(counts.otherObjects);
      rows.labels('extents').set(counts.extentRows);
      rows.labels('segments').set(counts.segmentRows);
    },
    moved(frozenCount, thawedCount) {
      frozen.inc(frozenCount);
      thawed.inc(thawedCount);
    },
    unreadable: () => unreadable.inc(),
  };
}

export const noColdMetrics: ColdMetrics = {
  counts: () => undefined,
  moved: () => undefined,
  unreadable: () => undefined,
};
