import { randomUUID } from 'node:crypto';
import type { SegmentCommit } from '@kafscale/cluster';
import { Retention } from '../../src/retention/retention.js';
import type { RetentionMetrics } from '../../src/retention/retention-metrics.js';
import { OwnerProcess, plainBatch, query } from '../shard/world.js';

/** What an operator would see. */
export class RecordedRetentionMetrics implements RetentionMetrics {
  extents = 0;
  bytes = 0;
  readonly behindHistory: { partitions: number; overdueMs: number }[] = [];
  passes = 0;
  producers = 0;

  trimmed(extents: number, bytes: number): void {
    this.extents += extents;
    this.bytes += bytes;
  }

  behind(partitions: number, overdueMs: number): void {
    this.behindHistory.push({ partitions, overdueMs });
  }

  passCompleted(): void {
    this.passes += 1;
  }

  producersExpired(count: number): void {
    this.producers += count;
  }
}

/** An owner of a shard with retention, whose passes the test makes. */
export class RetentionWorld {
  readonly process: OwnerProcess;
  readonly url: string;
  readonly metrics = new RecordedRetentionMetrics();
  readonly retention: Retention;
  released = 0;

  constructor(process: OwnerProcess) {
    this.process = process;
    this.url = process.url;
    this.retention = new Retention({
      store: process.store,
      owner: process.owner,
      clock: process.clock,
      metrics: this.metrics,
      onReleased: () => {
        this.released += 1;
      },
      thaw: (partitionId) => this.thaw(partitionId),
    });
  }

  static async start(url: string, instanceId?: string): Promise<RetentionWorld> {
    return new RetentionWorld(await OwnerProcess.startForGood(url, instanceId));
  }

  /** There is no cold index here. */
  thaw(_partitionId: number): Promise<boolean> {
    return Promise.resolve(false);
  }

  /** Another process of the same server; this one is dead. */
  async restart(): Promise<RetentionWorld> {
    return new RetentionWorld(await this.restartProcess());
  }

  protected async restartProcess(): Promise<OwnerProcess> {
    const next = await OwnerProcess.startForGood(this.url, this.process.instanceId);
    // Only now: what it gives back is not its own any more, as if it had been killed.
    await this.process.close();
    return next;
  }

  pass(): Promise<void> {
    return this.retention.pass(new AbortController().signal);
  }

  async createTopic(
    name: string,
    configs: Readonly<Record<string, string>> = {},
    partitionCount = 1,
  ): Promise<{ topicId: string; partitionIds: number[] }> {
    const topic = await this.process.owner.create({
      name,
      partitionCount,
      configs: new Map(Object.entries(configs)),
    });
    return {
      topicId: topic.topicId,
      partitionIds: topic.partitions.map(({ partitionId }) => partitionId),
    };
  }

  alter(topicId: string, configs: Readonly<Record<string, string>>): Promise<void> {
    return this.process.owner.alterConfigs(topicId, () => new Map(Object.entries(configs)));
  }

  /** One segment of one extent of 10 records and `length` bytes, of that age. */
  async append(
    partitionId: number,
    { ageMs = 0, length = 100, records = 10 } = {},
  ): Promise<SegmentCommit> {
    const timestampMs = ageMs === Infinity ? -1 : Date.now() - ageMs;
    const batch = { ...plainBatch(records), firstTimestampMs: timestampMs };
    const segment = await this.process.segment(partitionId, {
      ...batch,
      maxTimestampMs: timestampMs,
    });
    const sized = {
      ...segment,
      segmentId: randomUUID(),
      sizeBytes: length + 100,
      extents: segment.extents.map((extent) => ({ ...extent, length })),
    };
    await this.process.owner.commit([sized]);
    return sized;
  }

  head(topic = 'events', partition = 0) {
    const head = this.process.owner.byName(topic)!.partitions[partition]!;
    return { logStart: head.logStartOffset, end: head.highWatermark };
  }

  /** The index rows of a partition, as `base-next`. */
  async rows(partitionId: number): Promise<string[]> {
    const rows = await query(
      this.url,
      `SELECT base_offset || '-' || next_offset AS range FROM extents
       WHERE partition_id = ${partitionId} ORDER BY base_offset`,
    );
    return rows.map((row) => String(row['range']));
  }

  /** What must hold between the tables after every transaction. */
  async contradictions(): Promise<string[]> {
    const rows = await query(
      this.url,
      `SELECT 'size of partition ' || p.partition_id || ': ' || p.size_bytes AS text
       FROM partitions p
       WHERE p.deleted_at IS NULL AND p.size_bytes <> (
         SELECT coalesce(sum(length), 0) FROM (
           SELECT partition_id, length FROM extents
           UNION ALL SELECT partition_id, size_bytes FROM cold_ranges WHERE state = 'live'
         ) e WHERE e.partition_id = p.partition_id)
       UNION ALL
       SELECT 'live extents of segment ' || s.segment_id || ': ' || s.live_extents
       FROM segments s WHERE s.live_extents <> (
         SELECT count(*) FROM extents e WHERE e.segment_id = s.segment_id) + s.cold_extents
       UNION ALL
       SELECT 'row without a segment: ' || e.segment_id
       FROM extents e WHERE NOT EXISTS (SELECT FROM segments s WHERE s.segment_id = e.segment_id)
       UNION ALL
       SELECT 'nothing at the log start of partition ' || p.partition_id
       FROM partitions p
       WHERE p.deleted_at IS NULL AND p.log_start_offset < p.next_offset AND NOT EXISTS (
         SELECT FROM (
           SELECT partition_id, base_offset, next_offset FROM extents
           UNION ALL
           SELECT partition_id, base_offset, next_offset FROM cold_ranges WHERE state = 'live'
         ) e WHERE e.partition_id = p.partition_id
           AND e.base_offset <= p.log_start_offset AND e.next_offset > p.log_start_offset)`,
    );
    return rows.map((row) => String(row['text']));
  }
}
