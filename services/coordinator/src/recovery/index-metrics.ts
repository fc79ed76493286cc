import type { Metrics } from '@kafscale/telemetry';

/** What the writer of the index counts. */
export interface IndexMetrics {
  entryWritten(kind: 'snapshot' | 'manifest', sizeBytes: number): void;
  entryFailed(): void;
  /** For how long something has changed that the bucket does not know; 0: nothing has. */
  behind(ageMs: number): void;
}

const msPerSecond = 1000;

export function registerIndexMetrics(metrics: Metrics): IndexMetrics {
  const entries = metrics.counter({
    name: 'index_entries_total',
    help: 'Snapshots and manifests of the index that were written to the bucket.',
    labels: ['kind'],
  });
  const bytes = metrics.counter({
    name: 'index_bytes_total',
    help: 'Bytes of snapshots and manifests of the index that were written to the bucket.',
  });
  const failures = metrics.counter({
    name: 'index_failures_total',
    help: 'Snapshots and manifests that could not be written; they are tried again.',
  });
  const behind = metrics.gauge({
    name: 'index_behind_seconds',
    help: 'For how long there has been a change that the index in the bucket does not have.',
  });
  return {
    entryWritten(kind, sizeBytes) {
      entries.inc({ kind });
      bytes.inc(sizeBytes);
    },
    entryFailed: () => failures.inc(),
    behind: (ageMs) => behind.set(ageMs / msPerSecond),
  };
}

export const noIndexMetrics: IndexMetrics = {
  entryWritten: () => undefined,
  entryFailed: () => undefined,
  behind: () => undefined,
};
