import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BatchCommit, Extent, NodeGrant, OffsetRange } from '@kafscale/cluster';
import {
  batchOffsetSpanAt,
  type CompressionName,
  decodeSegmentFooter,
  encodeBatch,
  encodeSegmentFooter,
  forEachBatch,
  readBatchHeader,
  type SegmentFooter,
  segmentKey,
  stampBatch,
} from '@kafscale/codec';
import { systemClock } from '@kafscale/core';
import {
  type LeaseGrant,
  type MetadataStore,
  openCompactionStore,
  openMetadataStore,
} from '@kafscale/metadata';
import { type ObjectStore, openObjectStore } from '@kafscale/storage';
import { crc32c } from '@node-rs/crc32';
import postgres from 'postgres';
import {
  type CompactionLimits,
  defaultCompactionLimits,
} from '../../src/compaction/compaction-limits.js';
import { Compactor } from '../../src/compaction/compactor.js';
import type { MergeExecutor } from '../../src/compaction/merge-job.js';
import { MergeMemory } from '../../src/compaction/merge-memory.js';
import { mergeSegments } from '../../src/compaction/merge-segments.js';

export interface BatchSpec {
  readonly records: number;
  readonly valueBytes: number;
  readonly timestampMs: number;
  readonly compression?: CompressionName;
  /** false: it is in the segment and not part of the log. */
  readonly accepted?: boolean;
}

/** Extents of one segment: partition index and batches. */
export type SegmentSpec = readonly (readonly [number, readonly BatchSpec[]])[];

export interface ModelBatch {
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly maxTimestampMs: number;
  /** As it must be served, by leader epoch 0. */
  readonly bytes: Buffer;
}

export const eager: Partial<CompactionLimits> = {
  graceMs: 0,
  bytesMin: 1,
  rowsMin: 1,
  segmentsMin: 1,
  intervalMs: 20,
};

/** A real index, a real store, and the log that they must hold. */
export class CompactionWorld {
  readonly url: string;
  readonly store: MetadataStore;
  readonly objects: ObjectStore;
  /** Of all merges: they run one after the other, in memory that the ones before have filled. */
  readonly memories = new MergeMemory();
  readonly announced: OffsetRange[] = [];
  readonly logLines: { level: string; message: string }[] = [];
  readonly counts = { merged: 0, superseded: 0, failed: 0, unreadable: 0, rowsBefore: 0 };
  readonly partitionIds: readonly number[];
  readonly topicId: string;
  lease: LeaseGrant;
  readonly #node: NodeGrant;
  readonly #model = new Map<number, ModelBatch[]>();
  readonly #sql: postgres.Sql;
  readonly #cleanUp: () => Promise<void>;

  private constructor(parts: {
    url: string;
    store: MetadataStore;
    objects: ObjectStore;
    lease: LeaseGrant;
    node: NodeGrant;
    topicId: string;
    partitionIds: readonly number[];
    cleanUp: () => Promise<void>;
  }) {
    this.url = parts.url;
    this.store = parts.store;
    this.objects = parts.objects;
    this.lease = parts.lease;
    this.#node = parts.node;
    this.topicId = parts.topicId;
    this.partitionIds = parts.partitionIds;
    this.#cleanUp = parts.cleanUp;
    this.#sql = postgres(parts.url, { max: 1, onnotice: () => undefined });
  }

  static async open(
    url: string,
    options: { partitions?: number; objects?: ObjectStore; configs?: [string, string][] } = {},
  ): Promise<CompactionWorld> {
    const directory = await mkdtemp(join(tmpdir(), 'kafscale-compaction-'));
    const own = openObjectStore(pathToFileURL(join(directory, 'store')).href);
    await own.check();
    const store = await openMetadataStore({ url });
    const acquired = await store.acquireShard(0, randomUUID(), 600_000);
    if (acquired.kind !== 'acquired') throw new Error('the shard is taken');
    const node = await store.registerNode({
      instanceId: randomUUID(),
      roles: ['ingest'],
      zone: '',
      internalUrl: '',
      advertised: null,
    });
    const topic = await store.createTopic(acquired.lease, {
      name: 'events',
      partitionCount: options.partitions ?? 3,
      configs: new Map(options.configs),
    });
    return new CompactionWorld({
      url,
      store,
      objects: options.objects ?? own,
      lease: acquired.lease,
      node,
      topicId: topic.topicId,
      partitionIds: topic.partitions.map(({ partitionId }) => partitionId),
      cleanUp: async () => {
        await store.close();
        await own.close();
        await rm(directory, { recursive: true });
      },
    });
  }

  async close(): Promise<void> {
    await this.#sql.end({ timeout: 1 });
    await this.#cleanUp();
  }

  /** Stores a segment as ingest does, and commits it. Returns its id. */
  async write(spec: SegmentSpec): Promise<string> {
    const segmentId = randomUUID();
    const chunks: Buffer[] = [];
    const footerExtents: SegmentFooter['extents'][number][] = [];
    const commits = [];
    let position = 0;
    for (const [index, batches] of spec) {
      const encoded = await Promise.all(batches.map(encodeSpec));
      const bytes = Buffer.concat(encoded);
      chunks.push(bytes);
      footerExtents.push({
        topicId: this.topicId,
        partitionIndex: index,
        position,
        length: bytes.length,
        recordCount: batches.reduce((sum, batch) => sum + batch.records, 0),
        batchCount: batches.length,
        firstTimestampMs: batches[0]!.timestampMs,
        maxTimestampMs: Math.max(
          ...encoded.map((batch) => readBatchHeader(batch, 0).maxTimestampMs),
        ),
        crc32c: crc32c(bytes),
        baseOffset: null,
      });
      const partitionId = this.partitionIds[index]!;
      const batchCommits = encoded.map((batch, at) => commitOf(batch, batches[at]!));
      commits.push({ partitionId, position, length: bytes.length, batches: batchCommits });
      this.#append(partitionId, encoded, batches);
      position += bytes.length;
    }
    const birthMs = this.#node.databaseTimeMs;
    const { incarnation, nodeId } = this.#node;
    const writer = { nodeId, incarnation, birthMs, segmentId, softwareVersion: 'test' };
    const footer = encodeSegmentFooter({ extents: footerExtents, writer });
    const all = [...chunks, footer];
    await this.objects.put(segmentKey(segmentId), all, crc32c(Buffer.concat(all)));
    const sizeBytes = position + footer.length;
    const segment = { segmentId, nodeId, incarnation, birthMs, sizeBytes, extents: commits };
    const { answers } = await this.store.commitSegments(this.lease, [segment]);
    if (answers[0]?.kind !== 'committed') throw new Error(`not committed: ${answers[0]?.kind}`);
    return segmentId;
  }

  compactor(
    limits: Partial<CompactionLimits> = {},
    executor: MergeExecutor = this.executor(),
    lease: LeaseGrant = this.lease,
  ): Compactor {
    const record = (level: string) => (_: object, message: string) => {
      this.logLines.push({ level, message });
    };
    return new Compactor({
      store: openCompactionStore(this.store),
      ownership: {
        lease,
        holds: () => true,
        announceSwap: (_, ranges) => this.announced.push(...ranges),
      },
      executor,
      softwareVersion: 'test',
      clock: systemClock,
      log: { info: record('info'), warn: record('warn'), error: record('error') },
      metrics: {
        merged: ({ rowsBefore }) => {
          this.counts.merged += 1;
          this.counts.rowsBefore += rowsBefore;
        },
        mergeSeconds: () => undefined,
        superseded: () => (this.counts.superseded += 1),
        failed: () => (this.counts.failed += 1),
        unreadable: () => (this.counts.unreadable += 1),
        backlog: () => undefined,
        badSegments: () => undefined,
      },
      limits: { ...eager, ...limits },
    });
  }

  /** On this thread. */
  executor(): MergeExecutor {
    return {
      merge: (job) => mergeSegments(this.objects, job, this.memories),
      close: () => Promise.resolve(),
    };
  }

  /** Runs a compactor until it finds nothing more to do. */
  async compactFully(limits: Partial<CompactionLimits> = {}): Promise<void> {
    const store = openCompactionStore(this.store);
    const bounds = {
      ...defaultCompactionLimits,
      ...eager,
      ...limits,
      shardId: 0,
      excludedSegmentIds: [],
    };
    for (;;) {
      const plan = (await store.planFreshMerge(bounds)) ?? (await store.planSmallMerge(bounds));
      if (plan === null) return;
      const job = { plan, segmentId: randomUUID(), softwareVersion: 'test' };
      const outcome = await mergeSegments(this.objects, job, this.memories);
      if (outcome.kind !== 'merged') throw new Error(JSON.stringify(outcome));
      const { merged } = outcome;
      const result = await store.swap(this.lease, { plan, merged, ageMsMax: 60_000 });
      if (result !== 'swapped') throw new Error(result);
    }
  }

  /** Whether a compactor would find something to do. */
  async hasMore(limits: Partial<CompactionLimits> = {}): Promise<boolean> {
    const store = openCompactionStore(this.store);
    const bounds = {
      ...defaultCompactionLimits,
      ...eager,
      ...limits,
      shardId: 0,
      excludedSegmentIds: [],
    };
    const plan = (await store.planFreshMerge(bounds)) ?? (await store.planSmallMerge(bounds));
    return plan !== null;
  }

  model(index: number): readonly ModelBatch[] {
    return this.#model.get(this.partitionIds[index]!) ?? [];
  }

  async rows(index: number): Promise<readonly Extent[]> {
    const rows: Extent[] = [];
    for (let offset = 0; ; offset = rows.at(-1)!.nextOffset) {
      const found = await this.store.findExtents(this.partitionIds[index]!, offset, 100);
      if (found.length === 0) return rows;
      rows.push(...found);
    }
  }

  /** Every batch of the log, as a fetch node would serve it. */
  async log(index: number): Promise<ModelBatch[]> {
    const batches: ModelBatch[] = [];
    for (const row of await this.rows(index)) batches.push(...(await this.#batchesOf(row)));
    return batches;
  }

  async footer(segmentId: string): Promise<SegmentFooter> {
    const { bytes, sizeBytes } = await this.objects.readTail(segmentKey(segmentId), 1 << 22);
    const decoded = decodeSegmentFooter(bytes, sizeBytes);
    if (decoded.kind !== 'footer') throw new Error('a long footer');
    return decoded.footer;
  }

  query(text: string): Promise<postgres.RowList<postgres.Row[]>> {
    return this.#sql.unsafe(text);
  }

  /** What no statement may ever leave behind. */
  async violations(): Promise<readonly string[]> {
    const rows = await this.query(`
      SELECT 'live_extents of ' || s.segment_id AS what FROM segments s
      WHERE live_extents <> (SELECT count(*) FROM extents e WHERE e.segment_id = s.segment_id)
      UNION ALL
      SELECT 'size of ' || partition_id FROM partitions p
      WHERE size_bytes <> (SELECT coalesce(sum(length), 0) FROM extents e
                           WHERE e.partition_id = p.partition_id)
      UNION ALL
      SELECT 'row without a segment ' || segment_id FROM extents e
      WHERE NOT EXISTS (SELECT FROM segments s WHERE s.segment_id = e.segment_id)
      UNION ALL
      SELECT 'row without a partition ' || partition_id FROM extents e
      WHERE NOT EXISTS (SELECT FROM partitions p WHERE p.partition_id = e.partition_id)
      UNION ALL
      SELECT 'hole at ' || partition_id || '/' || base_offset FROM (
        SELECT partition_id, base_offset,
               lag(next_offset) OVER (PARTITION BY partition_id ORDER BY base_offset) AS previous
        FROM extents) AS x WHERE previous <> base_offset
      UNION ALL
      SELECT 'prefix at ' || partition_id || '/' || base_offset FROM (
        SELECT partition_id, base_offset, prefix_max_timestamp_ms AS prefix, max_timestamp_ms AS own,
          lag(prefix_max_timestamp_ms) OVER (PARTITION BY partition_id ORDER BY base_offset) AS before
        FROM extents) AS x WHERE before IS NOT NULL AND prefix <> greatest(before, own)`);
    return rows.map((row) => String(row['what']));
  }

  #append(partitionId: number, encoded: readonly Buffer[], specs: readonly BatchSpec[]): void {
    const log = this.#model.get(partitionId) ?? [];
    this.#model.set(partitionId, log);
    for (const [at, spec] of specs.entries()) {
      if (spec.accepted === false) continue;
      const baseOffset = log.at(-1)?.nextOffset ?? 0;
      const bytes = Buffer.from(encoded[at]!);
      stampBatch(bytes, 0, baseOffset, 0);
      const { maxTimestampMs } = readBatchHeader(bytes, 0);
      log.push({ baseOffset, nextOffset: baseOffset + spec.records, maxTimestampMs, bytes });
    }
  }

  async #batchesOf(row: Extent): Promise<ModelBatch[]> {
    const bytes = await this.objects.read(segmentKey(row.segmentId), row.position, row.length);
    const batches: ModelBatch[] = [];
    let ordinal = 0;
    let offset = row.baseOffset;
    forEachBatch(bytes, (at, sizeBytes) => {
      if (row.skippedBatches.includes(ordinal++)) return;
      const batch = Buffer.from(bytes.subarray(at, at + sizeBytes));
      if (!row.absoluteOffsets) stampBatch(batch, 0, offset, 0);
      const { baseOffset, maxTimestampMs } = readBatchHeader(batch, 0);
      const nextOffset = baseOffset + batchOffsetSpanAt(batch, 0);
      batches.push({ baseOffset, nextOffset, maxTimestampMs, bytes: batch });
      offset = nextOffset;
    });
    if (offset !== row.nextOffset)
      throw new Error(`a row ends at ${offset}: ${JSON.stringify(row)}`);
    return batches;
  }
}

/** Looks every few milliseconds; the test's own timeout bounds it. */
export async function eventually(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function encodeSpec(spec: BatchSpec): Promise<Buffer> {
  return encodeBatch({
    compression: spec.compression ?? 'none',
    records: Array.from({ length: spec.records }, (_, index) => ({
      timestampMs: spec.timestampMs + index,
      value: Buffer.alloc(spec.valueBytes, 97 + (index % 26)),
    })),
  });
}

function commitOf(batch: Buffer, spec: BatchSpec): BatchCommit {
  const header = readBatchHeader(batch, 0);
  return {
    recordCount: header.recordCount,
    firstTimestampMs: header.firstTimestampMs,
    maxTimestampMs: header.maxTimestampMs,
    producerId: -1,
    producerEpoch: -1,
    baseSequence: -1,
    excluded: spec.accepted === false,
  };
}
