import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { BatchAnswer, BatchCommit, Extent } from '@kafscale/cluster';
import {
  batchOffsetSpanAt,
  encodePlainBatch,
  encodeSegmentFooter,
  forEachBatch,
  readBatchHeader,
  segmentKey,
  stampBatch,
} from '@kafscale/codec';
import { OperatingError, systemClock } from '@kafscale/core';
import { openGroupStore } from '@kafscale/metadata';
import type { GroupStore } from '@kafscale/metadata';
import { openObjectStore } from '@kafscale/storage';
import type { ObjectStore } from '@kafscale/storage';
import { crc32c } from '@node-rs/crc32';
import { onTestFinished } from 'vitest';
import { noIndexMetrics } from '../../src/recovery/index-metrics.js';
import { IndexWriter } from '../../src/recovery/index-writer.js';
import { OwnerProcess, query } from '../shard/world.js';
import { s3Options, s3Url } from '@kafscale/testing';

export interface ProducedBatch {
  readonly records: number;
  readonly producer?: { readonly id: number; readonly epoch: number; readonly sequence: number };
  /** In the bytes, and not part of the log. */
  readonly excluded?: boolean;
  readonly timestampMs?: number;
}

/** Local files in a folder of the test, or a place in the test bucket. */
export async function openStore(kind: 'files' | 's3'): Promise<ObjectStore> {
  if (kind === 's3') {
    const store = openObjectStore(s3Url(), s3Options());
    onTestFinished(() => store.close());
    return store;
  }
  const directory = await mkdtemp(join(tmpdir(), 'kafscale-recovery-'));
  const store = openObjectStore(pathToFileURL(join(directory, 'store')).href);
  onTestFinished(async () => {
    await store.close();
    await rm(directory, { recursive: true });
  });
  await store.check();
  return store;
}

/** What the next put of an index object does instead. */
export type PutFault = 'refused' | 'lost answer';

/** An owner of a shard that writes the index of a real database into a real store. */
export class RecoveryWorld {
  readonly objects: ObjectStore;
  readonly url: string;
  readonly process: OwnerProcess;
  readonly writer: IndexWriter;
  /** The bytes of every segment that was stored. */
  readonly segments: Map<string, Buffer>;
  readonly warnings: string[] = [];
  faults: PutFault[] = [];
  #groupStore: { readonly epoch: number; readonly store: GroupStore } | null = null;
  puts = 0;

  private constructor(parts: {
    objects: ObjectStore;
    process: OwnerProcess;
    segments: Map<string, Buffer>;
    manifestsPerSnapshotMax: number;
  }) {
    this.objects = parts.objects;
    this.process = parts.process;
    this.url = parts.process.url;
    this.segments = parts.segments;
    this.writer = new IndexWriter({
      store: parts.process.store,
      objects: this.#faulty(parts.objects),
      shard: parts.process.owner,
      shardId: 0,
      intervalMs: 3_600_000, // the test says when
      softwareVersion: 'test',
      slackMs: 0, // nothing is under way here while an entry is written
      manifestsPerSnapshotMax: parts.manifestsPerSnapshotMax,
      clock: systemClock,
      log: {
        info: () => undefined,
        warn: (_, message) => void this.warnings.push(message),
        error: (_, message) => void this.warnings.push(message),
      },
      metrics: noIndexMetrics,
    });
  }

  static async start(
    url: string,
    objects: ObjectStore,
    options: {
      instanceId?: string;
      segments?: Map<string, Buffer>;
      manifestsPerSnapshotMax?: number;
    } = {},
  ): Promise<RecoveryWorld> {
    const process = await OwnerProcess.startForGood(url, options.instanceId);
    const world = new RecoveryWorld({
      objects,
      process,
      segments: options.segments ?? new Map<string, Buffer>(),
      manifestsPerSnapshotMax: options.manifestsPerSnapshotMax ?? 1_000,
    });
    world.writer.ownershipChanged();
    onTestFinished(() => world.crash());
    return world;
  }

  /** As if killed: nothing more is written. */
  async crash(): Promise<void> {
    const { owner } = this.process;
    if (owner.lease !== null) owner.disown('killed');
    this.writer.ownershipChanged();
    await this.writer.close();
    await this.process.close();
  }

  /** The same server again, as its next process. */
  async restart(manifestsPerSnapshotMax = 1_000): Promise<RecoveryWorld> {
    await this.crash();
    return RecoveryWorld.start(this.url, this.objects, {
      instanceId: this.process.instanceId,
      segments: this.segments,
      manifestsPerSnapshotMax,
    });
  }

  /** Every change so far is in the bucket when it resolves. */
  async flush(): Promise<void> {
    for (let attempt = 0; attempt < 10; attempt += 1) {
      if (await this.writer.flush()) {
        await this.writer.snapshotWritten();
        return;
      }
    }
    throw new Error(`the index can not be written: ${this.warnings.join('; ')}`);
  }

  async createTopic(
    name: string,
    partitionCount = 1,
    configs: Readonly<Record<string, string>> = {},
  ): Promise<{ topicId: string; partitionIds: number[] }> {
    const topic = await this.process.owner.create({
      name,
      partitionCount,
      configs: new Map(Object.entries(configs)),
    });
    const partitionIds = topic.partitions.map(({ partitionId }) => partitionId);
    return { topicId: topic.topicId, partitionIds };
  }

  /** Stores a segment with one extent and commits it; the answers of its batches. */
  async append(
    partitionId: number,
    ...batches: readonly ProducedBatch[]
  ): Promise<readonly BatchAnswer[]> {
    const segmentId = await this.store(partitionId, ...batches);
    return this.commit(segmentId, partitionId, batches);
  }

  /** Stores a segment with one extent, and no more. */
  async store(partitionId: number, ...batches: readonly ProducedBatch[]): Promise<string> {
    const { incarnation, nodeId, databaseTimeMs } = await this.process.registerNode();
    const segmentId = randomUUID();
    const body = Buffer.concat(batches.map((batch) => bytesOf(batch)));
    const { topicId, partitionIndex } = this.#placeOf(partitionId);
    const footer = encodeSegmentFooter({
      extents: [
        {
          topicId,
          partitionIndex,
          position: 0,
          length: body.length,
          recordCount: batches.reduce((sum, { records }) => sum + records, 0),
          batchCount: batches.length,
          firstTimestampMs: batches[0]!.timestampMs ?? 1_000,
          maxTimestampMs: Math.max(...batches.map(({ timestampMs }) => timestampMs ?? 1_000)),
          crc32c: crc32c(body),
          baseOffset: null,
        },
      ],
      writer: {
        nodeId,
        incarnation,
        birthMs: Math.floor(databaseTimeMs),
        segmentId,
        softwareVersion: 'test',
      },
    });
    const bytes = Buffer.concat([body, footer]);
    await this.objects.put(segmentKey(segmentId), [bytes], crc32c(bytes));
    this.segments.set(segmentId, bytes);
    return segmentId;
  }

  async commit(
    segmentId: string,
    partitionId: number,
    batches: readonly ProducedBatch[],
  ): Promise<readonly BatchAnswer[]> {
    const { databaseTimeMs, incarnation, nodeId } = await this.process.registerNode();
    const length = batches.reduce((sum, batch) => sum + bytesOf(batch).length, 0);
    const [answer] = await this.process.owner.commit([
      {
        segmentId,
        nodeId,
        incarnation,
        birthMs: databaseTimeMs,
        sizeBytes: this.segments.get(segmentId)!.length,
        extents: [{ partitionId, position: 0, length, batches: batches.map(commitOf) }],
      },
    ]);
    if (answer?.kind !== 'committed') throw new Error(`the commit was ${answer?.kind}`);
    return answer.extents[0]!;
  }

  async commitOffset(
    groupId: string,
    topicId: string,
    committedOffset: bigint,
    metadata = '',
  ): Promise<void> {
    const offset = { topicId, partitionIndex: 0, committedOffset, leaderEpoch: 0, metadata };
    await this.#groups().commitOffsets([{ groupId, offsets: [offset] }]);
  }

  /** What segment compaction does with the first `count` rows of a partition, object and index. */
  async merge(partitionId: number, count: number): Promise<void> {
    const rows = await this.process.store.findExtents(partitionId, 0, count);
    if (rows.length < 2) return;
    const pieces = rows.flatMap((row) => this.#accepted(row));
    const body = Buffer.concat(pieces);
    const segmentId = randomUUID();
    const { topicId, partitionIndex } = this.#placeOf(partitionId);
    const [first, last] = [rows[0]!, rows.at(-1)!];
    const maxTimestampMs = Math.max(...rows.map((row) => row.maxTimestampMs));
    const extent = {
      topicId,
      partitionIndex,
      position: 0,
      length: body.length,
      recordCount: last.nextOffset - first.baseOffset,
      batchCount: pieces.length,
      firstTimestampMs: first.firstTimestampMs,
      maxTimestampMs,
      crc32c: crc32c(body),
      baseOffset: first.baseOffset,
    };
    const writer = { nodeId: 0, incarnation: 1, birthMs: 1, segmentId, softwareVersion: 'test' };
    const bytes = Buffer.concat([body, encodeSegmentFooter({ extents: [extent], writer })]);
    await this.objects.put(segmentKey(segmentId), [bytes], crc32c(bytes));
    this.segments.set(segmentId, bytes);
    const ids = rows.map((row) => `'${row.segmentId}'`).join(',');
    await query(
      this.url,
      `BEGIN;
       DELETE FROM extents WHERE partition_id = ${partitionId} AND segment_id IN (${ids});
       UPDATE segments SET live_extents = live_extents - 1 WHERE segment_id IN (${ids});
       INSERT INTO segments (segment_id, shard_id, node_id, incarnation, birth_ms, committed_at,
         size_bytes, live_extents, answer, is_compacted)
       VALUES ('${segmentId}', 0, 0, 1, 1, clock_timestamp(), ${bytes.length}, 1, '[]', true);
       INSERT INTO extents (partition_id, base_offset, next_offset, segment_id, position, length,
         first_timestamp_ms, max_timestamp_ms, prefix_max_timestamp_ms, absolute_offsets)
       VALUES (${partitionId}, ${first.baseOffset}, ${last.nextOffset}, '${segmentId}', 0,
         ${body.length}, ${first.firstTimestampMs}, ${maxTimestampMs}, ${maxTimestampMs}, true);
       COMMIT`,
    );
    this.process.owner.announceSwap(this.process.owner.lease!, [
      { partitionId, baseOffset: first.baseOffset, nextOffset: last.nextOffset },
    ]);
  }

  indexKeys(): Promise<string[]> {
    return keysUnder(this.objects, 'v1/index/');
  }

  /** One per epoch: its sequence orders what it writes. */
  #groups(): GroupStore {
    const lease = this.process.owner.lease!;
    if (this.#groupStore?.epoch !== lease.epoch) {
      const onWritten = (groupId: string): void => this.writer.groupChanged(groupId);
      const store = openGroupStore(this.process.store, lease, onWritten);
      this.#groupStore = { epoch: lease.epoch, store };
    }
    return this.#groupStore.store;
  }

  #placeOf(partitionId: number): { topicId: string; partitionIndex: number } {
    for (const { partitions, topicId } of this.process.owner.list()) {
      const head = partitions.find((partition) => partition.partitionId === partitionId);
      if (head !== undefined) return { topicId, partitionIndex: head.partitionIndex };
    }
    throw new Error(`there is no partition ${partitionId}`);
  }

  /** Copies of the batches of a row that are part of the log, with their offsets. */
  #accepted(row: Extent): Buffer[] {
    const stored = this.segments.get(row.segmentId)!;
    const bytes = Buffer.from(stored.subarray(row.position, row.position + row.length));
    const pieces: Buffer[] = [];
    let offset = row.baseOffset;
    let ordinal = 0;
    forEachBatch(bytes, (at, sizeBytes) => {
      const isSkipped = row.skippedBatches.includes(ordinal);
      ordinal += 1;
      if (isSkipped) return;
      stampBatch(bytes, at, offset, 0);
      offset += batchOffsetSpanAt(bytes, at);
      pieces.push(bytes.subarray(at, at + sizeBytes));
    });
    return pieces;
  }

  #faulty(objects: ObjectStore): ObjectStore {
    const put: ObjectStore['put'] = async (...args) => {
      const fault = this.faults.shift();
      if (fault === 'refused') throw new OperatingError('STORE_REFUSED', 'refused by the test');
      await objects.put(...args);
      this.puts += 1;
      if (fault === 'lost answer') {
        throw new OperatingError('STORE_UNREACHABLE', 'the answer was lost', {
          outcome: 'unknown',
        });
      }
    };
    return {
      url: objects.url,
      sizeMultiple: objects.sizeMultiple,
      put,
      check: () => objects.check(),
      read: (...args) => objects.read(...args),
      readTail: (...args) => objects.readTail(...args),
      delete: (keys) => objects.delete(keys),
      list: (prefix) => objects.list(prefix),
      close: () => Promise.resolve(),
    };
  }
}

export async function keysUnder(objects: ObjectStore, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of objects.list(prefix)) keys.push(key);
  return keys;
}

function bytesOf({ producer, records, timestampMs = 1_000 }: ProducedBatch): Buffer {
  return encodePlainBatch({
    records: Array.from({ length: records }, (_, index) => ({
      timestampMs,
      value: Buffer.from(`value ${index}`),
    })),
    ...(producer !== undefined && {
      producerId: producer.id,
      producerEpoch: producer.epoch,
      baseSequence: producer.sequence,
    }),
  });
}

function commitOf(batch: ProducedBatch): BatchCommit {
  const header = readBatchHeader(bytesOf(batch), 0);
  return {
    recordCount: header.recordCount,
    firstTimestampMs: header.firstTimestampMs,
    maxTimestampMs: header.maxTimestampMs,
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    baseSequence: header.baseSequence,
    excluded: batch.excluded ?? false,
  };
}

/**
 * Everything that a recovery must bring back, row by row. What it changes on purpose is left out:
 * leader epochs, floors, generations, and ids that were never given out.
 */
export async function contentOf(url: string): Promise<Record<string, string[]>> {
  const queries = {
    topics: `SELECT topic_id, name, configs::text, floor(extract(epoch FROM created_at) * 1000),
        (SELECT count(*) FROM partitions p WHERE p.topic_id = t.topic_id)
      FROM topics t WHERE deleted_at IS NULL ORDER BY 1`,
    partitions: `SELECT partition_id, topic_id, partition_index, log_start_offset, next_offset,
        max_timestamp_ms FROM partitions WHERE deleted_at IS NULL ORDER BY 1`,
    extents: `SELECT e.partition_id, base_offset, e.next_offset, segment_id, position, length,
        skipped_batches::text, first_timestamp_ms, e.max_timestamp_ms, absolute_offsets
      FROM extents e JOIN partitions p USING (partition_id)
      WHERE p.deleted_at IS NULL AND e.next_offset > p.log_start_offset ORDER BY 1, 2`,
    segments: `SELECT segment_id, node_id, incarnation, birth_ms, size_bytes, is_compacted,
        floor(extract(epoch FROM committed_at) * 1000), answer,
        (SELECT count(*) FROM extents e WHERE e.segment_id = s.segment_id) = live_extents
      FROM segments s WHERE EXISTS (
        SELECT FROM extents e JOIN partitions p USING (partition_id)
        WHERE e.segment_id = s.segment_id AND p.deleted_at IS NULL
          AND e.next_offset > p.log_start_offset)
      ORDER BY 1`,
    producers: `SELECT r.partition_id, producer_id, producer_epoch, batches::text
      FROM producers r JOIN partitions p USING (partition_id)
      WHERE p.deleted_at IS NULL ORDER BY 1, 2`,
    groups: `SELECT group_id, protocol_type FROM consumer_groups ORDER BY 1`,
    offsets: `SELECT group_id, o.topic_id, partition_index, committed_offset::text, leader_epoch,
        encode(metadata, 'hex') FROM group_offsets o JOIN topics t USING (topic_id)
      WHERE t.deleted_at IS NULL ORDER BY 1, 2, 3`,
  };
  const content: Record<string, string[]> = {};
  for (const [name, text] of Object.entries(queries)) {
    const rows = await query(url, text);
    content[name] = rows.map((row) => JSON.stringify(Object.values(row)));
  }
  return content;
}
