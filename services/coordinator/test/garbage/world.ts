import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { encodeSegmentFooter, segmentKey } from '@kafscale/codec';
import type { SegmentAnswer, SegmentCommit } from '@kafscale/cluster';
import { openObjectStore } from '@kafscale/storage';
import type { ObjectStore, ObjectStoreOptions } from '@kafscale/storage';
import { crc32c } from '@node-rs/crc32';
import { ColdIndex } from '../../src/cold/cold-index.js';
import type { ColdLimits } from '../../src/cold/cold-limits.js';
import { noColdMetrics } from '../../src/cold/cold-metrics.js';
import { GarbageCollector } from '../../src/garbage/garbage-collector.js';
import type { GarbageMetrics, KeptReason } from '../../src/garbage/garbage-metrics.js';
import { OrphanSweep } from '../../src/garbage/orphan-sweep.js';
import { RetentionWorld } from '../retention/world.js';
import { OwnerProcess, plainBatch, query, silentLog } from '../shard/world.js';

const hourMs = 3_600_000;

/** A partition keeps one row; two leave together, and two ranges become one. */
export const tinyColdLimits: ColdLimits = {
  extentsMin: 1,
  rangeExtents: 2,
  ageMs: (10 * hourMs) / 60,
  unmergedAgeMs: (10 * hourMs) / 60,
  rangeExtentsMax: 8,
  fanIn: 2,
  waitMs: hourMs / 4,
  plannedMsMax: hourMs,
  startDelayMs: 0,
};

/** What an operator would see. */
export class RecordedGarbageMetrics implements GarbageMetrics {
  segmentsWaiting = 0;
  bytesWaiting = 0;
  overdueMs = 0;
  objectsDeleted = 0;
  failures = 0;
  segmentsRefused = 0;
  orphans = 0;
  kept: Readonly<Record<KeptReason, number>> = { unrecognized: 0, incarnation: 0, node: 0 };
  sweeps = 0;

  waiting(segments: number, bytes: number, overdueMs: number): void {
    this.segmentsWaiting = segments;
    this.bytesWaiting = bytes;
    this.overdueMs = overdueMs;
  }

  deleted(objects: number): void {
    this.objectsDeleted += objects;
  }

  deletesFailed(objects: number): void {
    this.failures += objects;
  }

  refused(segments: number): void {
    this.segmentsRefused += segments;
  }

  orphansDeleted(objects: number): void {
    this.orphans += objects;
  }

  orphansKept(kept: Readonly<Record<KeptReason, number>>): void {
    this.kept = { ...kept };
  }

  sweepCompleted(): void {
    this.sweeps += 1;
  }
}

/** A place for objects; a folder can be told that time has passed. */
export interface TestStore {
  readonly objects: ObjectStore;
  readonly folder: string | null;
  remove(): Promise<void>;
}

export function folderStore(): TestStore {
  const folder = mkdtempSync(join(tmpdir(), 'kafscale-garbage-test-'));
  const objects = openObjectStore(pathToFileURL(folder).href);
  const remove = async (): Promise<void> => {
    await objects.close();
    rmSync(folder, { recursive: true, force: true });
  };
  return { objects, folder, remove };
}

export function bucketStore(url: string, options: ObjectStoreOptions): TestStore {
  const objects = openObjectStore(url, options);
  return { objects, folder: null, remove: () => objects.close() };
}

/** A deletion that the store refuses, or that a process does not live to see. */
export interface Sabotage {
  beforeDelete?: (keys: readonly string[]) => void;
  afterDelete?: (keys: readonly string[]) => void;
  failKeys?: ReadonlySet<string>;
  beforePut?: (key: string) => void;
  afterPut?: (key: string) => void;
  /** After a piece of the index has moved, before anybody is told. */
  beforeAnnounce?: () => void;
}

/** An owner of a shard with everything that removes something, whose passes the test makes. */
export class GarbageWorld extends RetentionWorld {
  readonly test: TestStore;
  readonly garbageMetrics = new RecordedGarbageMetrics();
  readonly garbage: GarbageCollector;
  readonly sweep: OrphanSweep;
  readonly cold: ColdIndex;
  readonly sabotage: Sabotage = {};
  /** What the index in the bucket lacks. */
  unwrittenForMs = 0;
  readonly #times: { graceMs?: number };
  readonly logged: { fields: object; message: string }[] = [];

  constructor(process: OwnerProcess, test: TestStore, times: { graceMs?: number } = {}) {
    super(process);
    this.test = test;
    this.#times = times;
    const { clock, owner, store } = process;
    const log = {
      ...silentLog,
      error: (fields: object, message: string) => void this.logged.push({ fields, message }),
    };
    const { sabotage } = this;
    const shared = {
      store,
      objectStore: this.#sabotaged(test.objects),
      owner,
      clock,
      log,
      metrics: this.garbageMetrics,
      unwrittenForMs: () => this.unwrittenForMs,
    };
    this.garbage = new GarbageCollector({ ...shared, waitMs: hourMs / 4, stepPauseMs: 0 });
    this.sweep = new OrphanSweep({ ...shared, ...times, pauseMs: 0 });
    this.cold = new ColdIndex({
      ...shared,
      metrics: noColdMetrics,
      ownership: {
        get lease() {
          return owner.lease;
        },
        get transactions() {
          return owner.transactions;
        },
        holds: () => owner.holds(),
        announceSwap: (lease, ranges) => {
          sabotage.beforeAnnounce?.();
          owner.announceSwap(lease, ranges);
        },
      },
      limits: tinyColdLimits,
    });
  }

  static async open(
    url: string,
    test: TestStore,
    times: { graceMs?: number } = {},
  ): Promise<GarbageWorld> {
    return new GarbageWorld(await OwnerProcess.startForGood(url), test, times);
  }

  override async restart(): Promise<GarbageWorld> {
    return new GarbageWorld(await this.restartProcess(), this.test, this.#times);
  }

  collect(): Promise<void> {
    return this.garbage.pass(new AbortController().signal);
  }

  sweepAll(): Promise<void> {
    return this.sweep.pass(new AbortController().signal);
  }

  /** Old rows leave, ranges are merged, and objects that no range needs are deleted. */
  freeze(): Promise<void> {
    return this.cold.freezer.pass(new AbortController().signal);
  }

  override thaw(partitionId: number): Promise<boolean> {
    return this.cold.thaw(partitionId);
  }

  async purge(): Promise<void> {
    for (;;) {
      const { owner, store } = this.process;
      const result = await store.purgeDeletedPartitions(owner.lease!, 3);
      if (result === 'done') return;
      this.garbage.expect();
      if (result === 'more') continue;
      for (const partitionId of result.coldPartitionIds) {
        if (!(await this.thaw(partitionId))) return;
      }
    }
  }

  /** Uploaded, not committed. */
  async upload(
    partitionIds: readonly number[],
    fields: Partial<SegmentCommit> = {},
  ): Promise<SegmentCommit> {
    const [first] = partitionIds;
    const template = await this.process.segment(first!, plainBatch(10));
    const segment: SegmentCommit = {
      ...template,
      ...fields,
      sizeBytes: 0,
      extents: partitionIds.map((partitionId, index) => ({
        partitionId,
        position: index * 100,
        length: 100,
        batches: [plainBatch(10)],
      })),
    };
    return { ...segment, sizeBytes: await this.reupload(segment) };
  }

  /** Returns the size of the object. */
  async reupload(segment: SegmentCommit): Promise<number> {
    const bytes = Buffer.concat([Buffer.alloc(segment.extents.length * 100, 7), footerOf(segment)]);
    await this.test.objects.put(segmentKey(segment.segmentId), [bytes], crc32c(bytes));
    return bytes.length;
  }

  async commit(segment: SegmentCommit): Promise<SegmentAnswer> {
    const [answer] = await this.process.owner.commit([segment]);
    return answer!;
  }

  /** Uploaded and committed: one extent of 10 records per partition. */
  async write(...partitionIds: number[]): Promise<SegmentCommit> {
    const segment = await this.upload(partitionIds);
    await this.commit(segment);
    return segment;
  }

  async objects(): Promise<string[]> {
    const keys: string[] = [];
    for await (const { key } of this.test.objects.list('')) keys.push(key);
    return keys;
  }

  async has(segment: SegmentCommit): Promise<boolean> {
    return (await this.objects()).includes(segmentKey(segment.segmentId));
  }

  /** The rows become older. Nothing else in the database knows of time. */
  async age(ms: number): Promise<void> {
    await query(
      this.url,
      `UPDATE segments SET birth_ms = birth_ms - ${ms},
         committed_at = committed_at - ${ms} * interval '1 millisecond',
         marked_at = marked_at - ${ms} * interval '1 millisecond';
       UPDATE cold_ranges SET changed_at = changed_at - ${ms} * interval '1 millisecond';
       UPDATE orphan_sweep SET starts_at = starts_at - ${ms} * interval '1 millisecond',
         watermark_ms = greatest(0, watermark_ms - ${ms}), begun_ms = begun_ms - ${ms}`,
    );
    // Its schedule is by the clock of the process.
    this.process.clock.shiftMs += ms;
  }

  /** Only where objects are files. */
  ageObject(segmentId: string, ms: number): void {
    const seconds = (Date.now() - ms) / 1000;
    utimesSync(join(this.test.folder!, segmentKey(segmentId)), seconds, seconds);
  }

  segmentRows(): Promise<string[]> {
    return query(this.url, 'SELECT segment_id FROM segments ORDER BY segment_id').then((rows) =>
      rows.map((row) => String(row['segment_id'])),
    );
  }

  #sabotaged(objects: ObjectStore): ObjectStore {
    const { sabotage } = this;
    return {
      url: objects.url,
      sizeMultiple: objects.sizeMultiple,
      check: () => objects.check(),
      async put(...put) {
        sabotage.beforePut?.(put[0]);
        await objects.put(...put);
        sabotage.afterPut?.(put[0]);
      },
      read: (...read) => objects.read(...read),
      readTail: (...read) => objects.readTail(...read),
      list: (prefix) => objects.list(prefix),
      close: () => objects.close(),
      async delete(keys) {
        sabotage.beforeDelete?.(keys);
        const refused = keys.filter((key) => sabotage.failKeys?.has(key));
        const failed = await objects.delete(keys.filter((key) => !refused.includes(key)));
        sabotage.afterDelete?.(keys);
        return [...failed, ...refused];
      },
    };
  }
}

export function footerOf(segment: SegmentCommit): Buffer {
  return encodeSegmentFooter({
    extents: segment.extents.map(({ length, position }, index) => ({
      topicId: randomUUID(),
      partitionIndex: index,
      position,
      length,
      recordCount: 10,
      batchCount: 1,
      firstTimestampMs: 1,
      maxTimestampMs: 1,
      crc32c: 0,
      baseOffset: null,
    })),
    writer: {
      nodeId: segment.nodeId,
      incarnation: segment.incarnation,
      birthMs: Math.floor(segment.birthMs),
      segmentId: segment.segmentId,
      softwareVersion: 'test',
    },
  });
}
