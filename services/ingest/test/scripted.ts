import { emptyBatchHeader, encodePlainBatch, readBatchHeader } from '@kafscale/codec';
import type { SegmentAnswer, SegmentCommit } from '@kafscale/cluster';
import { OperatingError, systemClock } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { IngestMetrics } from '../src/observability.js';
import { buildSegment } from '../src/seal/build-segment.js';
import type { SealJob, SealResult, StoredSegment } from '../src/seal/seal-job.js';
import { ChunkPool } from '../src/segment/chunk-pool.js';
import type { BatchOutcome } from '../src/segment/open-segment.js';
import { RecentSegments } from '../src/segment/recent-segments.js';
import { SegmentPipeline } from '../src/segment/segment-pipeline.js';

export const silentLog = { info: () => {}, warn: () => {}, error: () => {} };
export const noMetrics = {
  produceAdmitted: () => {},
  produceRefused: () => {},
  produceWaited: () => {},
  segmentSealed: () => {},
  segmentUploaded: () => {},
  uploadThrottled: () => {},
  uploadFailed: () => {},
  segmentsCommitted: () => {},
  segmentSettled: () => {},
  watch: () => {},
};

/** An upload that the test lets succeed or fail, in the order it likes. */
export class ScriptedUpload {
  readonly job: SealJob;
  readonly bytes: Buffer;
  readonly result: SealResult;
  readonly done: Promise<StoredSegment>;
  succeed: () => void = () => {};
  fail: () => void = () => {};
  throttle: () => void = () => {};

  constructor(job: SealJob) {
    this.job = job;
    const { chunks, result } = buildSegment(job);
    this.bytes = Buffer.concat(chunks);
    this.result = result;
    this.done = new Promise((resolve, reject) => {
      this.succeed = () => resolve({ ...result, sealMs: 0, putMs: 0 });
      this.fail = () => reject(new OperatingError('STORE_UNREACHABLE', 'scripted'));
      this.throttle = () => reject(new OperatingError('STORE_THROTTLED', 'scripted'));
    });
  }
}

/** A pipeline whose object store and coordinator are played by the test. */
export function scriptedPipeline(
  options: {
    flushIntervalMs?: number;
    flushInFlightMax?: number;
    flushOverlapBytesMin?: number;
    flushGatherMsMax?: number;
    segmentBytes?: number;
    uploadsMax?: number;
    metrics?: Partial<IngestMetrics>;
    clock?: Clock;
    commit?: (segments: readonly SegmentCommit[]) => Promise<readonly SegmentAnswer[]>;
  } = {},
) {
  const uploads: ScriptedUpload[] = [];
  const commits: SegmentCommit[][] = [];
  const recent = new RecentSegments(64 * 1024 * 1024);
  let settledBytes = 0;
  let nextOffset = 0;
  const acceptAll = (segments: readonly SegmentCommit[]): Promise<readonly SegmentAnswer[]> =>
    Promise.resolve(
      segments.map(({ extents }) => ({
        kind: 'committed',
        extents: extents.map(({ batches }) =>
          batches.map(({ excluded, recordCount }) => {
            if (excluded) return { errorCode: 56, baseOffset: -1, logStartOffset: 0 };
            const baseOffset = nextOffset;
            nextOffset += recordCount;
            return { errorCode: 0, baseOffset, logStartOffset: 0 };
          }),
        ),
      })),
    );
  const pipeline = new SegmentPipeline({
    coordinator: {
      commitSegments(segments) {
        commits.push([...segments]);
        return (options.commit ?? acceptAll)(segments);
      },
    },
    upload(job) {
      const upload = new ScriptedUpload(job);
      uploads.push(upload);
      return upload.done;
    },
    uploadsMax: options.uploadsMax ?? 100,
    segmentKey: (segmentId) => segmentId,
    writer: () => ({ nodeId: 7, incarnation: 1 }),
    databaseNowMs: () => 1_000,
    clock: options.clock ?? systemClock,
    pool: new ChunkPool(8 * 1024 * 1024),
    recent,
    flushIntervalMs: options.flushIntervalMs ?? 0,
    flushInFlightMax: options.flushInFlightMax ?? 8,
    flushOverlapBytesMin: options.flushOverlapBytesMin ?? 0,
    flushGatherMsMax: options.flushGatherMsMax ?? 0,
    segmentBytes: options.segmentBytes ?? 1024 * 1024,
    softwareVersion: 'test',
    log: silentLog,
    metrics: { ...noMetrics, ...options.metrics },
    onSettled: (bytes) => {
      settledBytes += bytes;
    },
  });
  return { pipeline, uploads, commits, recent, acceptAll, settledBytes: () => settledBytes };
}

export interface Sent {
  readonly records: Buffer;
  readonly outcome: Promise<BatchOutcome>;
}

/** Appends one batch of `recordCount` records and returns what will become of it. */
export function send(
  pipeline: SegmentPipeline,
  batch: {
    partition?: number;
    producerId?: number;
    sequence?: number;
    recordCount?: number;
    corrupt?: boolean;
    value?: Buffer;
    logAppendTimeMs?: number;
    flushMs?: number;
    timeoutMs?: number;
    arrivedAtMs?: number;
  } = {},
): Sent {
  const { partition = 0, producerId = -1, sequence = 0, recordCount = 1 } = batch;
  const records = encodePlainBatch({
    records: Array.from({ length: recordCount }, () => ({
      key: null,
      value: batch.value ?? Buffer.from(`p${partition} s${sequence}`),
      timestampMs: 1_700_000_000_000,
    })),
    producerId,
    producerEpoch: producerId < 0 ? -1 : 0,
    baseSequence: producerId < 0 ? -1 : sequence,
  });
  if (batch.corrupt)
    records.writeUInt8(records.readUInt8(records.length - 1) ^ 1, records.length - 1);
  const outcome = new Promise<BatchOutcome>((resolve) => {
    pipeline.append({
      target: { partitionId: partition, topicId: topicId(0), partitionIndex: partition },
      records,
      memory: undefined,
      header: readBatchHeader(records, 0, emptyBatchHeader()),
      logAppendTimeMs: batch.logAppendTimeMs ?? -1,
      listener: { settled: resolve },
      flushMs: batch.flushMs ?? -1,
      timeoutMs: batch.timeoutMs ?? 30_000,
      arrivedAtMs: batch.arrivedAtMs ?? systemClock.monotonicMs(),
    });
  });
  return { records, outcome };
}

export function topicId(n: number): string {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}`;
}

/** Lets timers of 0 ms, immediates and promise reactions run. */
export async function turns(count = 3): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
}
