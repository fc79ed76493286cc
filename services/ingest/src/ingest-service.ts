import { segmentKey } from '@kafscale/codec';
import { ByteBudget, isOperatingError, limits } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { CoordinatorService, IngestService } from '@kafscale/cluster';
import type { ObjectStoreOptions } from '@kafscale/storage';
import type { IngestLog, IngestMetrics } from './observability.js';
import { ProduceHandler } from './produce/00-produce.js';
import type { TopicDirectory } from './produce/00-produce.js';
import { ConnectionOrder } from './produce/connection-order.js';
import { ProduceThrottle } from './produce/produce-throttle.js';
import { startSealPool } from './seal/seal-pool.js';
import type { SealPool } from './seal/seal-pool.js';
import { ChunkPool } from './segment/chunk-pool.js';
import { RecentSegments } from './segment/recent-segments.js';
import { SegmentPipeline } from './segment/segment-pipeline.js';
import type { WriterIdentity } from './segment/sealed-segment.js';

export interface IngestOptions {
  readonly coordinator: Pick<CoordinatorService, 'commitSegments'>;
  readonly topics: TopicDirectory;
  readonly writer: () => WriterIdentity;
  readonly databaseNowMs: () => number;
  readonly storeUrl: string;
  readonly storeOptions: ObjectStoreOptions;
  readonly flushIntervalMs: number;
  readonly flushInFlightMax: number;
  readonly segmentBytes: number;
  readonly bytesInFlightMax: number;
  readonly recentBytesMax: number;
  readonly sealThreads: number;
  readonly softwareVersion: string;
  readonly clock: Clock;
  readonly log: IngestLog;
  readonly metrics: IngestMetrics;
}

export interface Ingest extends IngestService {
  /** Bytes of batches between admission and answer. */
  readonly bytesInFlight: () => number;
  /** Shutdown has begun: what comes in is sealed at once. */
  hurry(): void;
  /** Answers everything that was handed in, then stops. No request may be handed in after it. */
  close(): Promise<void>;
}

/** Takes Produce requests, packs them into segments, stores and commits these, and answers. */
export function createIngestService(options: IngestOptions): Ingest {
  const { clock, log, metrics } = options;
  const budget = new ByteBudget(options.bytesInFlightMax);
  const recent = new RecentSegments(options.recentBytesMax);
  const seals = startSealPool(
    { storeUrl: options.storeUrl, storeOptions: options.storeOptions },
    options.sealThreads,
  );
  const throttle = new ProduceThrottle(clock);
  const pipeline = createPipeline(options, { budget, recent, seals, throttle });
  metrics.watch({
    bytesInFlight: () => budget.takenBytes,
    bytesWaiting: () => throttle.waitingBytes,
    laneBytes: (lane) => pipeline.laneBytes(lane),
    uploadsInFlight: () => pipeline.uploadsInFlight,
    uploadsLimit: () => pipeline.uploadsLimit,
  });
  const produce = new ProduceHandler({
    topics: options.topics,
    pipeline,
    order: new ConnectionOrder(),
    budget,
    throttle,
    clock,
    log,
    metrics,
  });
  return {
    async handle(request) {
      try {
        return await produce.handle(request);
      } catch (error) {
        if (!isOperatingError(error)) throw error;
        return { kind: 'close', reason: `Produce: ${error.message}` };
      }
    },
    viewRecentSegment: (segmentId, onWanted) => recent.view(segmentId, onWanted),
    readRecentSegment(segmentId, position, length) {
      return Promise.resolve(recent.read(segmentId, position, length));
    },
    bytesInFlight: () => budget.takenBytes,
    hurry: () => pipeline.hurry(),
    async close() {
      await pipeline.drain();
      await seals.close();
      recent.clear();
    },
  };
}

function createPipeline(
  options: IngestOptions,
  parts: { budget: ByteBudget; recent: RecentSegments; seals: SealPool; throttle: ProduceThrottle },
): SegmentPipeline {
  const { budget, recent, seals, throttle } = parts;
  const pipeline = new SegmentPipeline({
    coordinator: options.coordinator,
    upload: (job) => seals.seal(job),
    uploadsMax: limits.uploadsInFlightMax,
    segmentKey: (segmentId) => segmentKey(segmentId),
    writer: options.writer,
    databaseNowMs: options.databaseNowMs,
    clock: options.clock,
    pool: new ChunkPool(limits.idleChunkBytesMax),
    recent,
    flushIntervalMs: options.flushIntervalMs,
    flushInFlightMax: options.flushInFlightMax,
    flushOverlapBytesMin: limits.flushOverlapBytesMin,
    flushGatherMsMax: limits.flushGatherMsMax,
    segmentBytes: options.segmentBytes,
    softwareVersion: options.softwareVersion,
    log: options.log,
    metrics: options.metrics,
    onSettled(bytes) {
      budget.give(bytes);
      throttle.drained(bytes);
      if (budget.waiting > 0) pipeline.relieve();
    },
  });
  return pipeline;
}
