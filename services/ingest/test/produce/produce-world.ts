import { apis, batchHeaderBytes, encodePlainBatch, readBatchHeader } from '@kafscale/codec';
import type { BatchToEncode } from '@kafscale/codec';
import type {
  KafkaReply,
  PartitionHead,
  RequestMemory,
  SegmentAnswer,
  SegmentCommit,
  TopicSettings,
  TopicState,
} from '@kafscale/cluster';
import { ByteBudget, systemClock } from '@kafscale/core';
import type { Clock, OperatingError } from '@kafscale/core';
import { ProduceHandler } from '../../src/produce/00-produce.js';
import { ConnectionOrder } from '../../src/produce/connection-order.js';
import { ProduceThrottle } from '../../src/produce/produce-throttle.js';
import { buildSegment } from '../../src/seal/build-segment.js';
import { ChunkPool } from '../../src/segment/chunk-pool.js';
import { RecentSegments } from '../../src/segment/recent-segments.js';
import { SegmentPipeline } from '../../src/segment/segment-pipeline.js';
import { noMetrics, silentLog } from '../scripted.js';

export const nowMs = 1_700_000_000_000;

export const settings: TopicSettings = {
  messageBytesMax: 100_000,
  timestampType: 'CreateTime',
  timestampBeforeMsMax: 1_000_000,
  timestampAfterMsMax: 1_000,
  flushMs: -1,
};

interface PartitionData {
  readonly index?: number;
  readonly records: Buffer | null;
}

export interface Answer {
  readonly errorCode: number;
  readonly baseOffset: number;
  readonly logAppendTimeMs: number;
  readonly logStartOffset: number;
}

/** What is in a stored object: bodies of batches, in order. */
export interface StoredSegment {
  readonly segmentId: string;
  readonly bytes: Buffer;
}

/** A Produce handler over the real pipeline and sealing; the store and the commits are the test's. */
export class ProduceWorld {
  readonly topics = new Map<string, TopicState>();
  readonly stored: StoredSegment[] = [];
  readonly budget: ByteBudget;
  bytesInFlightSeen = 0;
  /** What a barrier waits for, and what it does then. */
  barrier: () => Promise<void> = () => Promise.resolve();
  barriers = 0;
  failCommits: OperatingError | null = null;
  refuseCommits = false;
  readonly #handler: ProduceHandler;
  readonly #offsets = new Map<number, number>();
  #commitGate: Promise<void> = Promise.resolve();
  #openCommitGate: () => void = () => {};
  #requestNumber = 0;

  constructor(options: { bytesInFlightMax?: number; clock?: Clock } = {}) {
    const clock = options.clock ?? {
      monotonicMs: () => systemClock.monotonicMs(),
      wallMs: () => nowMs,
    };
    this.budget = new ByteBudget(options.bytesInFlightMax ?? 1_000_000);
    const throttle = new ProduceThrottle(clock);
    const pipeline = new SegmentPipeline({
      coordinator: { commitSegments: (segments) => this.#commit(segments) },
      upload: (job) => {
        const { chunks, result } = buildSegment(job);
        this.stored.push({ segmentId: job.segmentId, bytes: Buffer.concat(chunks) });
        this.bytesInFlightSeen = Math.max(this.bytesInFlightSeen, this.budget.takenBytes);
        return Promise.resolve({ ...result, sealMs: 0, putMs: 0 });
      },
      uploadsMax: 100,
      segmentKey: (segmentId) => segmentId,
      writer: () => ({ nodeId: 1, incarnation: 1 }),
      databaseNowMs: () => nowMs,
      clock,
      pool: new ChunkPool(8 * 1024 * 1024),
      recent: new RecentSegments(0),
      flushIntervalMs: 0,
      flushInFlightMax: 8,
      flushOverlapBytesMin: 0,
      flushGatherMsMax: 0,
      segmentBytes: 1024 * 1024,
      softwareVersion: 'test',
      log: silentLog,
      metrics: noMetrics,
      onSettled: (bytes) => {
        this.budget.give(bytes);
        throttle.drained(bytes);
      },
    });
    this.#handler = new ProduceHandler({
      topics: {
        topicByName: (name) => this.topics.get(name),
        barrier: () => {
          this.barriers += 1;
          return this.barrier();
        },
      },
      pipeline,
      order: new ConnectionOrder(),
      budget: this.budget,
      throttle,
      clock,
      log: silentLog,
      metrics: noMetrics,
    });
  }

  addTopic(name: string, changes: Partial<TopicSettings> = {}, partitionCount = 1): void {
    const first = this.topics.size * 100 + 1;
    const partitions = Array.from({ length: partitionCount }, (_, index): PartitionHead => ({
      partitionId: first + index,
      partitionIndex: index,
      leaderEpoch: 0,
      logStartOffset: 0,
      highWatermark: 0,
    }));
    const topicId = `00000000-0000-4000-8000-${String(first).padStart(12, '0')}`;
    this.topics.set(name, { topicId, name, settings: { ...settings, ...changes }, partitions });
  }

  /** As the feed does when its configs are altered. */
  alterTopic(name: string, changes: Partial<TopicSettings>): void {
    const topic = this.topics.get(name)!;
    this.topics.set(name, { ...topic, settings: { ...topic.settings, ...changes } });
  }

  holdCommits(): void {
    this.#commitGate = new Promise((resolve) => {
      this.#openCommitGate = resolve;
    });
  }

  releaseCommits(): void {
    this.#openCommitGate();
    this.#commitGate = Promise.resolve();
  }

  reply(request: {
    topics: Readonly<Record<string, readonly PartitionData[]>>;
    acks?: number;
    version?: number;
    transactionalId?: string | null;
    connectionId?: string;
    /** The request lies in memory that other threads can read, and this counts who holds it. */
    memory?: RequestMemory;
  }): Promise<KafkaReply> {
    const { acks = -1, connectionId = 'a', topics, transactionalId = null, version = 9 } = request;
    const { memory } = request;
    const topicData = Object.entries(topics).map(([name, partitions]) => ({
      name,
      partitionData: partitions.map(({ index = 0, records }) => ({ index, records })),
    }));
    const value = { acks, timeoutMs: 1000, topicData, transactionalId };
    const encoded = Buffer.concat(apis.produce.request.encode(value, version));
    const body = memory ? Buffer.from(new SharedArrayBuffer(encoded.length)) : encoded;
    encoded.copy(body);
    this.#requestNumber += 1;
    const replied = this.#handler.handle({
      apiKey: 0,
      apiVersion: version,
      clientId: null,
      clientHost: '127.0.0.1',
      principal: 'User:ANONYMOUS',
      listener: 'PLAINTEXT',
      connectionId,
      requestNumber: this.#requestNumber,
      body,
      ...(memory && { memory }),
    });
    // The front uses the memory again as soon as it has the reply.
    return replied.finally(() => body.fill(0xee));
  }

  /** The answers, by topic and partition in the order of the request. */
  async produce(request: Parameters<ProduceWorld['reply']>[0]): Promise<Answer[]> {
    const { responses } = await this.#response(request);
    return responses.flatMap(({ partitionResponses }) =>
      partitionResponses.map((each) => ({
        errorCode: each.errorCode,
        baseOffset: Number(each.baseOffset),
        logAppendTimeMs: Number(each.logAppendTimeMs),
        logStartOffset: Number(each.logStartOffset),
      })),
    );
  }

  /** What the client is told to wait. */
  async throttleTimeMs(request: Parameters<ProduceWorld['reply']>[0]): Promise<number> {
    return (await this.#response(request)).throttleTimeMs;
  }

  async #response(request: Parameters<ProduceWorld['reply']>[0]) {
    const reply = await this.reply(request);
    if (reply.kind !== 'response') throw new Error(JSON.stringify(reply));
    return apis.produce.response.decode(Buffer.concat(reply.chunks), request.version ?? 9);
  }

  /** One batch for partition 0 of a topic; its error code. */
  async errorOf(
    topic: string,
    records: Buffer | null,
    request: { version?: number } = {},
  ): Promise<number> {
    const [answer] = await this.produce({ topics: { [topic]: [{ records }] }, ...request });
    return answer!.errorCode;
  }

  async #commit(segments: readonly SegmentCommit[]): Promise<readonly SegmentAnswer[]> {
    await this.#commitGate;
    if (this.failCommits !== null) throw this.failCommits;
    if (this.refuseCommits) return segments.map(() => ({ kind: 'fenced' }));
    return segments.map(({ extents }) => ({
      kind: 'committed',
      extents: extents.map(({ batches, partitionId }) =>
        batches.map(({ recordCount }) => {
          const baseOffset = this.#offsets.get(partitionId) ?? 0;
          this.#offsets.set(partitionId, baseOffset + recordCount);
          return { errorCode: 0, baseOffset, logStartOffset: 0 };
        }),
      ),
    }));
  }
}

/** One batch, of one record unless `records` says otherwise. */
export function batch(
  fields: Partial<BatchToEncode> & { bytes?: number; text?: string } = {},
): Buffer {
  const { bytes, text = 'x', ...rest } = fields;
  const bare = (value: Buffer) =>
    encodePlainBatch({ records: [{ timestampMs: nowMs, value }], ...rest });
  if (bytes === undefined) return bare(Buffer.from(text));
  const overhead = bare(Buffer.alloc(bytes)).length - bytes;
  return bare(Buffer.alloc(bytes - overhead, text));
}

/** The batch with bytes of its header changed, and its CRC as it was. */
export function patched(change: (bytes: Buffer) => void, source = batch()): Buffer {
  const copy = Buffer.from(source);
  change(copy);
  return copy;
}

/** The stored text of batches with one record each, in the order of the object. */
export function textsIn({ bytes }: StoredSegment): string[] {
  const texts: string[] = [];
  for (let at = 0; bytes.length - at > batchHeaderBytes;) {
    const header = readBatchHeader(bytes, at);
    if (header.magic !== 2 || header.recordCount < 1 || header.sizeBytes > bytes.length - at) break;
    const record = bytes.subarray(at + batchHeaderBytes, at + header.sizeBytes);
    // length, attributes, time, offset, key (null), value length: a byte each for a short text
    texts.push(record.subarray(6, -1).toString());
    at += header.sizeBytes;
  }
  return texts;
}
