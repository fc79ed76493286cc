import { indexPrefix, parseIndexKey } from '@kafscale/codec';
import type { IndexEntry } from '@kafscale/codec';
import { isOperatingError, limits, OperatingError, sleep } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type { FeedListener, FeedOptions, FeedPosition, FeedSubscription } from '@kafscale/cluster';
import type { Lease, MetadataStore } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';
import type { CoordinatorLog } from '../observability.js';
import { ChangeTracker } from './change-tracker.js';
import { GroupDigests } from './group-digests.js';
import { IndexLog } from './index-log.js';
import type { ListedEntry } from './index-log.js';
import type { IndexMetrics } from './index-metrics.js';
import { pruneIndex } from './prune-index.js';
import { writeManifest, writeSnapshot } from './write-entry.js';
import type { EntryTarget } from './write-entry.js';

/** The owner of the shard, as far as the writer needs it. */
export interface IndexedShard {
  readonly lease: Lease | null;
  subscribe(options: FeedOptions, listener: FeedListener): FeedSubscription;
  feedPosition(): FeedPosition;
}

export interface IndexWriterOptions {
  readonly store: MetadataStore;
  readonly objects: ObjectStore;
  readonly shard: IndexedShard;
  readonly shardId: number;
  /** Between manifests, while there is change. */
  readonly intervalMs: number;
  readonly softwareVersion: string;
  /** Default: limits.indexManifestsPerSnapshotMax. */
  readonly manifestsPerSnapshotMax?: number;
  /** Default: limits.indexSlackMsMax. */
  readonly slackMs?: number;
  readonly clock: Clock;
  readonly log: CoordinatorLog;
  readonly metrics: IndexMetrics;
}

/** Whoever owns the shard now goes on. */
const quietCodes: ReadonlySet<string> = new Set([
  'SHARD_LEASE_LOST',
  'SHARD_LEASE_EXPIRED',
  'SHARD_NOT_OWNED',
  'INDEX_STOPPED',
]);

/** Where the log in the bucket stands. */
interface LogState {
  readonly log: IndexLog;
  readonly epoch: number;
  /** Where a log begins that has no entry, or whose last one can't be read. */
  readonly firstSequence: number;
  /** null: there is none to go on from. */
  last: IndexEntry | null;
  hasSnapshot: boolean;
  snapshotBytes: number;
  manifestBytes: number;
  manifests: number;
}

/**
 * Keeps the index in the bucket up to date (P7), in the background: a manifest per interval while
 * there is change, and a snapshot when the manifests outweigh the last one. No commit ever waits for
 * it. A failure loses nothing but time: what was not written is found again by its time.
 *
 * Two owners never write the same entry: objects are put only where there is none, and what an owner
 * writes it reads under its epoch. An owner that was replaced may still get the next sequence; then
 * it tells the truth as of a moment before, and its successor goes on behind it.
 */
export class IndexWriter {
  readonly #options: IndexWriterOptions;
  readonly #tracker: ChangeTracker;
  readonly #digests = new GroupDigests();
  readonly #stop = new AbortController();
  #subscription: FeedSubscription | null = null;
  #state: LogState | null = null;
  #changedAtMs: number | null = null;
  /** On the monotonic clock: every change from before is in the bucket. */
  #coveredMs = -Infinity;
  #loop: Promise<void> | null = null;
  #snapshot: Promise<void> | null = null;
  #wake: (() => void) | null = null;
  #lastStep: Promise<unknown> = Promise.resolve();
  #isWriting = false;
  #isShared = false;

  constructor(options: IndexWriterOptions) {
    this.#options = options;
    this.#tracker = new ChangeTracker(() => this.#changed());
  }

  /** Also when it is another epoch than before. */
  ownershipChanged(): void {
    const { shard } = this.#options;
    if (this.#stop.signal.aborted) return;
    if (shard.lease === null) {
      this.#subscription = null;
      this.#state = null;
      return;
    }
    // A subscription lives on under a new epoch of this process; the tracker hears of it.
    this.#subscription ??= shard.subscribe(
      { commits: true },
      {
        onMessage: (message) => this.#tracker.onMessage(message),
        onClosed: () => {
          this.#subscription = null;
          this.#tracker.onClosed();
        },
      },
    );
    this.#loop ??= this.#run();
  }

  groupChanged(groupId: string): void {
    this.#tracker.groupChanged(groupId);
  }

  /**
   * From when on there may be changes that the index in the bucket lacks, in ms before now; 0: it has
   * all of them; Infinity: this process has not written to it yet, or the bucket has the index of
   * another cluster too. What became garbage since then would be missed by a recovery.
   */
  get unwrittenForMs(): number {
    if (this.#isShared) return Infinity;
    // What was taken from the tracker is on its way, and not there yet.
    return this.#tracker.isClean && !this.#isWriting
      ? 0
      : this.#options.clock.monotonicMs() - this.#coveredMs;
  }

  /**
   * Writes what is not written yet. false: it could not be, or the shard is not owned; it is tried
   * again later. A snapshot that has begun beside it may take longer.
   */
  async flush(): Promise<boolean> {
    if (this.#options.shard.lease === null) return false;
    return this.#tracker.isClean || this.#step();
  }

  /** Waits for a snapshot that is being written. */
  async snapshotWritten(): Promise<void> {
    await this.#snapshot;
  }

  /** Writes what is not written yet, for a limited time, while the shard is still owned. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake?.();
    await Promise.all([this.#loop, this.#snapshot]);
    const late = new AbortController();
    await Promise.race([this.flush(), sleep(limits.indexFlushMsMax, late.signal)]);
    late.abort();
    this.#subscription?.close();
    this.#subscription = null;
  }

  #changed(): void {
    this.#changedAtMs ??= this.#options.clock.monotonicMs();
    this.#wake?.();
  }

  async #run(): Promise<void> {
    const { clock, intervalMs, metrics } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (this.#tracker.isClean) {
        this.#changedAtMs = null;
        metrics.behind(0);
        // No change, no query, no object.
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = null;
      }
      await sleep(intervalMs, signal);
      if (signal.aborted) break;
      metrics.behind(this.#changedAtMs === null ? 0 : clock.monotonicMs() - this.#changedAtMs);
      const written = await this.#step();
      if (!written) await sleep(Math.max(limits.indexRetryMs - intervalMs, 0), signal);
    }
  }

  /** One at a time. false: it must be tried again. */
  #step(): Promise<boolean> {
    const step = this.#lastStep.then(() => this.#attempt());
    this.#lastStep = step;
    return step;
  }

  /** Never rejects for what can happen to a correct program. */
  async #attempt(): Promise<boolean> {
    const { log, metrics, shard } = this.#options;
    const { lease } = shard;
    if (lease === null) return false;
    try {
      this.#isWriting = true;
      await this.#write(lease);
      return true;
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      this.#state = null;
      this.#tracker.forget();
      this.#digests.forget();
      if (quietCodes.has(error.code)) return false;
      metrics.entryFailed();
      const fields = { code: error.code, message: error.message };
      log.warn(fields, 'the index in the bucket could not be written; it is tried again');
      return false;
    } finally {
      this.#isWriting = false;
    }
  }

  async #write(lease: Lease): Promise<void> {
    const { clock, metrics } = this.#options;
    const state = await this.#stateOf(lease);
    const takenAtMs = clock.monotonicMs();
    if (state.last === null || !state.hasSnapshot) {
      // What changes while the snapshot is read is in the first manifest after it.
      this.#tracker.take();
      await this.#writeSnapshot(state, lease);
      if (state.hasSnapshot) this.#coveredMs = takenAtMs;
      return;
    }
    const changes = this.#tracker.take();
    this.#changedAtMs = null;
    const target = this.#target(state, lease, state.last.sequence + 1);
    const written = await writeManifest(target, changes, state.last.databaseTimeMs, this.#digests);
    this.#coveredMs = takenAtMs;
    if (written === null) return;
    state.last = { ...written.entry, parts: [], records: emptied(written.entry) };
    state.manifestBytes += written.sizeBytes;
    state.manifests += 1;
    metrics.entryWritten('manifest', written.sizeBytes);
    if (this.#snapshot === null && this.#isOutweighed(state)) {
      this.#snapshot = this.#writeSnapshotBeside(state, lease).finally(() => {
        this.#snapshot = null;
      });
    }
  }

  /** Manifests go on meanwhile: they are replayed on top of the snapshot, which may be ahead. */
  async #writeSnapshotBeside(state: LogState, lease: Lease): Promise<void> {
    const { log, metrics } = this.#options;
    try {
      await this.#writeSnapshot(state, lease);
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      if (quietCodes.has(error.code)) return;
      metrics.entryFailed();
      const fields = { code: error.code, message: error.message };
      log.warn(fields, 'a snapshot of the index could not be written; manifests go on');
      state.manifests = 0; // and the next attempt comes when as many have been added again
      state.manifestBytes = 0;
    }
  }

  async #writeSnapshot(state: LogState, lease: Lease): Promise<void> {
    const { log, metrics, objects, shardId } = this.#options;
    const sequence = state.last?.sequence ?? state.firstSequence;
    const manifestBytesBefore = state.manifestBytes;
    const manifestsBefore = state.manifests;
    const target = this.#target(state, lease, sequence);
    const written = await writeSnapshot(target, this.#stop.signal);
    if (written === null) return;
    state.hasSnapshot = true;
    state.last ??= { ...written.entry, parts: [], records: emptied(written.entry) };
    state.snapshotBytes = written.sizeBytes;
    state.manifestBytes -= manifestBytesBefore;
    state.manifests -= manifestsBefore;
    metrics.entryWritten('snapshot', written.sizeBytes);
    const { clusterId } = state.log.id;
    const pruned = await pruneIndex(objects, { clusterId, shardId });
    const { sizeBytes } = written;
    log.info({ sequence, sizeBytes, pruned }, 'wrote a snapshot of the index to the bucket');
  }

  #isOutweighed({ manifestBytes, manifests, snapshotBytes }: LogState): boolean {
    const { manifestsPerSnapshotMax = limits.indexManifestsPerSnapshotMax } = this.#options;
    return (
      manifests >= manifestsPerSnapshotMax ||
      manifestBytes > Math.max(snapshotBytes, limits.indexSnapshotBytesMin)
    );
  }

  #target(state: LogState, lease: Lease, sequence: number): EntryTarget {
    const { shard, slackMs = limits.indexSlackMsMax, softwareVersion, store } = this.#options;
    const { log } = state;
    const feedSequence = shard.feedPosition().sequence;
    return { store, lease, log, sequence, feedSequence, softwareVersion, slackMs };
  }

  async #stateOf(lease: Lease): Promise<LogState> {
    if (this.#state?.epoch === lease.epoch) return this.#state;
    const { objects, shardId, store } = this.#options;
    const { clusterId, incarnation } = await store.clusterView();
    const log = new IndexLog(objects, { clusterId, incarnation, shardId });
    const entries = await log.list();
    const newest = entries[entries.length - 1];
    this.#isShared = await this.#findOthers(clusterId);
    const last = newest === undefined ? null : await this.#readNewest(log, newest);
    if (last !== null && last.shardEpoch > lease.epoch) {
      throw new OperatingError(
        'INDEX_AHEAD',
        `the bucket has the index of a later state than the metadata store's (shard epoch ` +
          `${last.shardEpoch}, here ${lease.epoch}): was the store restored from a backup?`,
      );
    }
    const at = entries.map(({ kind }) => kind).lastIndexOf('snapshot');
    const manifests = entries.slice(at + 1);
    this.#state = {
      log,
      epoch: lease.epoch,
      firstSequence: newest === undefined ? 0 : newest.sequence + 1,
      last: last && { ...last, parts: [], records: emptied(last) },
      hasSnapshot: at >= 0,
      snapshotBytes: entries[at]?.sizeBytes ?? 0,
      manifestBytes: manifests.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      manifests: manifests.length,
    };
    return this.#state;
  }

  /** null: it is damaged; a snapshot behind it takes its place. */
  async #readNewest(log: IndexLog, newest: ListedEntry): Promise<IndexEntry | null> {
    try {
      return await log.readEntry(newest.kind, newest.sequence);
    } catch (error) {
      if (!isOperatingError(error) || !error.code.startsWith('INDEX_OBJECT_')) throw error;
      const { kind, sequence } = newest;
      const fields = { code: error.code, kind, sequence };
      this.#options.log.error(fields, 'the newest entry of the index in the bucket is damaged');
      return null;
    }
  }

  /**
   * A metadata store that began empty beside a bucket that is not: perhaps nobody meant it. Its
   * segments look like orphans here.
   */
  async #findOthers(clusterId: string): Promise<boolean> {
    const { log, objects } = this.#options;
    for await (const { key } of objects.list(indexPrefix)) {
      const other = parseIndexKey(key)?.clusterId;
      if (other === undefined || other === clusterId) continue;
      log.warn(
        { cluster: other },
        'the bucket has the index of another cluster, so nothing in it is deleted: if its metadata store was lost, stop here and run "kafscale recover"',
      );
      return true;
    }
    return false;
  }
}

/** The entry is kept for its head only. */
function emptied({ records }: IndexEntry): IndexEntry['records'] {
  return {
    ...records,
    topics: [],
    partitions: [],
    segments: [],
    extents: [],
    producers: [],
    groups: [],
    coldRanges: [],
  };
}
