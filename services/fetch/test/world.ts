import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type {
  Extent,
  FeedEvent,
  FeedMessage,
  KafkaReply,
  OffsetRange,
  LeaderEpochStart,
  PartitionHead,
  TopicState,
} from '@kafscale/cluster';
import {
  apis,
  type BatchIndexEntry,
  encodeBatch,
  encodeSegmentFooter,
  type BatchToEncode,
  type FetchRequestInput,
  fetchRequest,
  fetchResponse,
  type FetchResponse,
  readBatchHeader,
  segmentKey,
  setLogAppendTime,
} from '@kafscale/codec';
import { OperatingError } from '@kafscale/core';
import { type ObjectStore, openObjectStore } from '@kafscale/storage';
import {
  type ClosableFetchService,
  createFetchService,
  type FetchCounter,
  type FetchLimits,
  type FetchServiceOptions,
  type RecentSegmentReader,
} from '../src/index.js';

export interface BatchSpec extends BatchToEncode {
  /** false: its bytes are in the segment, but it is not part of the log. */
  readonly accepted?: boolean;
  /** message.timestamp.type=LogAppendTime, as ingest stamps it. */
  readonly appendTimeMs?: number;
  /** A valid header before bytes that are no records. */
  readonly isGarbage?: boolean;
}

/** A batch of the log as it must be served. */
export interface ModelBatch {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly bytes: Buffer;
}

interface ModelPartition {
  readonly head: PartitionHead;
  readonly rows: Extent[];
  readonly batches: ModelBatch[];
}

export function plainRecords(count: number, valueBytes = 10, timestampMs = 1000): BatchSpec {
  const records = Array.from({ length: count }, (_, index) => ({
    timestampMs: timestampMs + index,
    value: Buffer.alloc(valueBytes, 97 + (index % 26)),
  }));
  return { records };
}

/** A coordinator that a script drives, its replica, and a fetch service over real files. */
export class World {
  readonly store: ObjectStore;
  readonly fetch: ClosableFetchService;
  /** For more services over the same log. */
  readonly fetchOptions: FetchServiceOptions;
  readonly partitions = new Map<number, ModelPartition>();
  readonly topics = new Map<string, TopicState>();
  readonly counts = new Map<FetchCounter, number>();
  readonly logLines: { level: string; fields: object; message: string }[] = [];
  readonly reads: { key: string; position: number; length: number }[] = [];
  readonly tailReads: string[] = [];
  readonly lookups: { partitionId: number; offset: number }[] = [];
  /** What to do before a read or a barrier is answered. */
  beforeRead: (key: string) => Promise<void> = () => Promise.resolve();
  afterRead: (bytes: Buffer) => void = () => undefined;
  beforeBarrier: () => Promise<void> = () => Promise.resolve();
  beforeLookup: () => Promise<void> = () => Promise.resolve();
  /** The feed is cut: nothing reaches the service. */
  muteFeed = false;
  barriers = 0;
  readonly #listeners = new Set<(message: FeedMessage) => void>();
  readonly #directory: string;
  #nextPartitionId = 1;
  #sequence = 0;

  private constructor(
    directory: string,
    store: ObjectStore,
    options: {
      limits?: Partial<FetchLimits>;
      recent?: (nodeId: number) => RecentSegmentReader | undefined;
    },
  ) {
    this.#directory = directory;
    this.store = store;
    const record = (level: string) => (fields: object, message: string) => {
      this.logLines.push({ level, fields, message });
    };
    this.fetchOptions = {
      replica: {
        topicByName: (name) => this.topics.get(name),
        topicById: (topicId) => [...this.topics.values()].find((each) => each.topicId === topicId),
        head: (partitionId) => this.partitions.get(partitionId)?.head,
        barrier: async () => {
          this.barriers++;
          await this.beforeBarrier();
        },
        onEvents: (listener) => {
          this.#listeners.add(listener);
          return () => this.#listeners.delete(listener);
        },
      },
      coordinator: {
        findExtents: async (partitionId, offset, countMax) => {
          this.lookups.push({ partitionId, offset });
          const rows = this.partitions.get(partitionId)?.rows ?? [];
          const found = rows.filter((row) => row.nextOffset > offset).slice(0, countMax);
          await this.beforeLookup();
          return found;
        },
        findExtentByTimestamp: (partitionId, timestampMs) => {
          const rows = this.partitions.get(partitionId)?.rows ?? [];
          return Promise.resolve(rows.find((row) => row.maxTimestampMs >= timestampMs) ?? null);
        },
        findExtentOfMaxTimestamp: (partitionId) => {
          const rows = this.partitions.get(partitionId)?.rows ?? [];
          const max = rows.reduce((high, row) => Math.max(high, row.maxTimestampMs), -Infinity);
          return Promise.resolve(rows.find((row) => row.maxTimestampMs === max) ?? null);
        },
      },
      store: {
        read: async (key, position, length, readOptions) => {
          this.reads.push({ key, position, length });
          await this.beforeRead(key);
          const bytes = await store.read(key, position, length, readOptions);
          this.afterRead(bytes);
          return bytes;
        },
        readTail: async (key, length) => {
          this.tailReads.push(key);
          await this.beforeRead(key);
          return store.readTail(key, length);
        },
      },
      recentSegments: options.recent ?? (() => undefined),
      log: { debug: record('debug'), warn: record('warn'), error: record('error') },
      metrics: {
        count: (name, by = 1) => this.counts.set(name, (this.counts.get(name) ?? 0) + by),
        observe: () => undefined,
        gauge: () => undefined,
      },
      limits: options.limits ?? {},
    };
    this.fetch = createFetchService(this.fetchOptions);
  }

  static async open(
    limits: Partial<FetchLimits> = {},
    recent?: (nodeId: number) => RecentSegmentReader | undefined,
  ): Promise<World> {
    const directory = await mkdtemp(join(tmpdir(), 'kafscale-fetch-'));
    const store = openObjectStore(pathToFileURL(join(directory, 'store')).href);
    await store.check();
    // Patient: what a test loads may take its time, unless that is what it is about.
    const patience = { loadGraceMs: 60_000, loadWaitMsMax: 60_000 };
    return new World(directory, store, {
      limits: { ...patience, ...limits },
      ...(recent && { recent }),
    });
  }

  async close(): Promise<void> {
    this.fetch.close();
    await this.store.close();
    await rm(this.#directory, { recursive: true });
  }

  /** Returns the partition ids. */
  createTopic(
    name: string,
    partitionCount = 1,
    leaderEpoch = 0,
    leaderEpochs: readonly LeaderEpochStart[] = [],
  ): readonly number[] {
    const heads = Array.from({ length: partitionCount }, (_, partitionIndex): PartitionHead => {
      const partitionId = this.#nextPartitionId++;
      const head = {
        partitionId,
        partitionIndex,
        leaderEpoch,
        logStartOffset: 0,
        highWatermark: 0,
      };
      return leaderEpochs.length === 0 ? head : { ...head, leaderEpochs };
    });
    for (const head of heads) {
      this.partitions.set(head.partitionId, { head, rows: [], batches: [] });
    }
    const topic: TopicState = {
      topicId: randomUUID(),
      name,
      settings: {
        messageBytesMax: 1_048_588,
        timestampType: 'CreateTime',
        timestampBeforeMsMax: Infinity,
        timestampAfterMsMax: Infinity,
        flushMs: -1,
      },
      partitions: heads,
    };
    this.topics.set(name, topic);
    this.emit({ kind: 'topic', topic });
    return heads.map((head) => head.partitionId);
  }

  deleteTopic(name: string): void {
    const topic = this.topics.get(name)!;
    this.topics.delete(name);
    for (const { partitionId } of topic.partitions) this.partitions.delete(partitionId);
    this.emit({ kind: 'topicDeleted', topicId: topic.topicId });
  }

  setHead(partitionId: number, change: Partial<PartitionHead>): void {
    // In place, as the replica does: whoever keeps a head beyond a wait keeps another one.
    Object.assign(this.model(partitionId).head, change);
  }

  advanceLogStart(partitionId: number, logStartOffset: number): void {
    this.setHead(partitionId, { logStartOffset });
    const partition = this.model(partitionId);
    const rows = partition.rows.filter((row) => row.nextOffset > logStartOffset);
    partition.rows.splice(0, partition.rows.length, ...rows);
    this.emit({ kind: 'logStart', partitionId, logStartOffset });
  }

  /** Writes one segment and commits it. Returns its id. */
  async commit(
    extents: readonly { partitionId: number; batches: readonly BatchSpec[] }[],
    writerNodeId = 7,
  ): Promise<string> {
    const segmentId = randomUUID();
    const chunks: Buffer[] = [];
    const rows: Extent[] = [];
    let position = 0;
    for (const { partitionId, batches } of extents) {
      const row = await this.#appendExtent(chunks, { partitionId, batches, segmentId, position });
      rows.push({ ...row, writerNodeId });
      position += row.length;
    }
    await this.store.put(segmentKey(segmentId), chunks, 0);
    for (const row of rows) {
      this.model(row.partitionId).rows.push(row);
      this.setHead(row.partitionId, { highWatermark: row.nextOffset });
    }
    this.emit({ kind: 'committed', extents: rows });
    return segmentId;
  }

  async #appendExtent(
    chunks: Buffer[],
    to: {
      partitionId: number;
      batches: readonly BatchSpec[];
      segmentId: string;
      position: number;
    },
  ): Promise<Extent> {
    const partition = this.model(to.partitionId);
    const baseOffset = partition.rows.at(-1)?.nextOffset ?? partition.head.highWatermark;
    let nextOffset = baseOffset;
    let length = 0;
    const skippedBatches: number[] = [];
    const timestamps: number[] = [];
    for (const [ordinal, batch] of to.batches.entries()) {
      const bytes = await encodeBatch(batch);
      if (batch.appendTimeMs !== undefined) setLogAppendTime(bytes, 0, batch.appendTimeMs);
      if (batch.isGarbage === true) makeGarbage(bytes);
      chunks.push(bytes);
      length += bytes.length;
      if (batch.accepted === false) {
        skippedBatches.push(ordinal);
        continue;
      }
      const served = Buffer.from(bytes);
      served.writeBigInt64BE(BigInt(nextOffset), 0);
      served.writeInt32BE(partition.head.leaderEpoch, 12);
      const end = nextOffset + batch.records.length;
      partition.batches.push({ baseOffset: nextOffset, nextOffset: end, bytes: served });
      nextOffset = end;
      const ofRecords = batch.records.map((record) => batch.appendTimeMs ?? record.timestampMs);
      timestamps.push(...ofRecords);
    }
    return {
      partitionId: to.partitionId,
      baseOffset,
      nextOffset,
      segmentId: to.segmentId,
      position: to.position,
      length,
      skippedBatches,
      firstTimestampMs: timestamps[0] ?? -1,
      maxTimestampMs: Math.max(-1, ...timestamps),
      absoluteOffsets: false,
      writerNodeId: 0,
    };
  }

  /** Merges rows of a partition into one object with absolute offsets. The feed is silent. */
  async compact(
    partitionId: number,
    options: { from?: number; to?: number; partBytes?: number; withIndex?: boolean } = {},
  ): Promise<OffsetRange> {
    const { rows } = this.model(partitionId);
    const { from = 0, partBytes = 1 << 20, to = rows.length, withIndex = true } = options;
    const merged = rows.slice(from, to);
    const { baseOffset } = merged[0]!;
    const { nextOffset } = merged.at(-1)!;
    const batches = this.model(partitionId).batches.filter(
      (batch) => batch.baseOffset >= baseOffset && batch.baseOffset < nextOffset,
    );
    const segmentId = randomUUID();
    const body = Buffer.concat(batches.map(({ bytes }) => bytes));
    const topic = [...this.topics.values()].find(({ partitions }) =>
      partitions.some((head) => head.partitionId === partitionId),
    )!;
    const extent = {
      topicId: topic.topicId,
      partitionIndex: this.model(partitionId).head.partitionIndex,
      position: 0,
      length: body.length,
      recordCount: nextOffset - baseOffset,
      batchCount: batches.length,
      firstTimestampMs: merged[0]!.firstTimestampMs,
      maxTimestampMs: Math.max(...merged.map((row) => row.maxTimestampMs)),
      crc32c: 0,
      baseOffset,
    };
    const parts = partsOf(batches, partBytes);
    const footer = encodeSegmentFooter({
      extents: [extent],
      writer: { nodeId: -1, incarnation: 1, birthMs: 0, segmentId, softwareVersion: 'test' },
      ...(withIndex && { batchIndex: parts.length > 1 ? parts : [] }),
    });
    await this.store.put(segmentKey(segmentId), [body, footer], 0);
    rows.splice(from, to - from, {
      ...merged[0]!,
      nextOffset,
      segmentId,
      position: 0,
      length: body.length,
      skippedBatches: [],
      maxTimestampMs: extent.maxTimestampMs,
      absoluteOffsets: true,
      writerNodeId: -1,
    });
    return { partitionId, baseOffset, nextOffset };
  }

  /** Deletes the objects that no row names. */
  async collectGarbage(): Promise<void> {
    const rows = [...this.partitions.values()].flatMap((partition) => partition.rows);
    const live = new Set(rows.map((row) => segmentKey(row.segmentId)));
    for await (const { key } of this.store.list('')) {
      if (!live.has(key)) await this.store.delete([key]);
    }
  }

  /** A new subscription: what the service knows of the index is forgotten. */
  resync(): void {
    this.#send({
      kind: 'snapshot',
      position: { leaseEpoch: 1, sequence: this.#sequence },
      topics: [...this.topics.values()],
    });
  }

  emit(...events: FeedEvent[]): void {
    this.#sequence++;
    this.#send({ kind: 'events', position: { leaseEpoch: 1, sequence: this.#sequence }, events });
  }

  model(partitionId: number): ModelPartition {
    return this.partitions.get(partitionId)!;
  }

  /** The log from the batch that contains `offset`, as it must be served. */
  expected(partitionId: number, offset: number): readonly ModelBatch[] {
    return this.model(partitionId).batches.filter((batch) => batch.nextOffset > offset);
  }

  countOf(name: FetchCounter): number {
    return this.counts.get(name) ?? 0;
  }

  async call(
    apiKey: number,
    apiVersion: number,
    body: Buffer,
    options: { signal?: AbortSignal; connectionId?: string } = {},
  ): Promise<KafkaReply> {
    return this.fetch.handle(
      {
        apiKey,
        apiVersion,
        clientId: 'test',
        clientHost: '127.0.0.1',
        principal: 'User:ANONYMOUS',
        listener: 'PLAINTEXT',
        connectionId: options.connectionId ?? 'connection-1',
        requestNumber: 0,
        body,
      },
      options.signal ?? new AbortController().signal,
    );
  }

  async fetchRaw(
    request: FetchRequestInput,
    version = 12,
    options: { signal?: AbortSignal; connectionId?: string } = {},
  ): Promise<FetchResponse> {
    const body = Buffer.concat(fetchRequest.encode({ minBytes: 1, ...request }, version));
    const reply = await this.call(apis.fetch.key, version, body, options);
    if (reply.kind !== 'response') throw new OperatingError('NO_RESPONSE', JSON.stringify(reply));
    const answer = Buffer.concat(reply.chunks);
    // As a front does that has sent it: the memory is filled anew from here on.
    reply.release?.();
    return fetchResponse.decode(answer, version);
  }

  /** Fetches partitions of one topic; the answers by partition. */
  async fetchPartitions(
    topic: string,
    wanted: readonly { partition: number; offset: number; bytesMax?: number; epoch?: number }[],
    request: FetchRequestInput = {},
    options: { version?: number; signal?: AbortSignal; connectionId?: string } = {},
  ): Promise<ReadonlyMap<number, FetchResponse['responses'][number]['partitions'][number]>> {
    const partitions = wanted.map(({ partition, offset, bytesMax, epoch }) => ({
      partition,
      fetchOffset: BigInt(offset),
      partitionMaxBytes: bytesMax ?? 1_048_576,
      currentLeaderEpoch: epoch ?? -1,
    }));
    const response = await this.fetchRaw(
      { maxBytes: 52_428_800, ...request, topics: [{ topic, partitions }] },
      options.version ?? 12,
      options,
    );
    return new Map(response.responses[0]!.partitions.map((each) => [each.partitionIndex, each]));
  }

  #send(message: FeedMessage): void {
    if (this.muteFeed) return;
    for (const listener of this.#listeners) listener(message);
  }
}

/** As docs/segment-format.md says: at most so many bytes, or one batch. */
function partsOf(batches: readonly ModelBatch[], partBytes: number): BatchIndexEntry[] {
  const parts: BatchIndexEntry[] = [];
  let position = 0;
  let bytesOfPart = 0;
  for (const { baseOffset, bytes } of batches) {
    const { maxTimestampMs } = readBatchHeader(bytes, 0);
    const last = parts.at(-1);
    if (last === undefined || bytesOfPart + bytes.length > partBytes) {
      parts.push({ position, baseOffset, maxTimestampMs });
      bytesOfPart = 0;
    } else if (maxTimestampMs > last.maxTimestampMs) {
      parts[parts.length - 1] = { ...last, maxTimestampMs };
    }
    position += bytes.length;
    bytesOfPart += bytes.length;
  }
  return parts;
}

function makeGarbage(batch: Buffer): void {
  batch.fill(0xff, 61);
  let crc = 0xffff_ffff;
  for (const byte of batch.subarray(21)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f6_3b78 : crc >>> 1;
  }
  batch.writeUInt32BE(~crc >>> 0, 17);
}
