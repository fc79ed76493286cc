import type { Extent } from '@kafscale/cluster';
import { ByteBudget, describeError, isOperatingError } from '@kafscale/core';
import type { BlockLoader } from '../blocks/block-loader.js';
import type { Holder } from '../blocks/lease.js';
import type { ExtentFinding, ExtentIndex, ExtentWish } from '../extents/extent-index.js';
import type { FetchMetrics } from '../metrics.js';
import {
  type LoadedPlan,
  type LoadPatience,
  loadPlans,
  type LoadWish,
  unloadedBytes,
} from './load-plan.js';
import type { ReadFailure } from './partition-outcome.js';
import { type PartitionRead, planReads, type ReadPlan } from './plan-reads.js';
import { selectBatches } from './select-batches.js';
import type { UpcomingExtents } from './upcoming-extents.js';

export interface LogReaderOptions {
  readonly index: ExtentIndex;
  readonly loader: BlockLoader;
  /** What its loader takes along; undefined: nothing. */
  readonly upcoming?: UpcomingExtents | undefined;
  readonly metrics: FetchMetrics;
  readonly patience: LoadPatience;
  /** Bytes that requests may be loading or assembling at the same time, for each kind of reader. */
  readonly bytesInFlightMax: number;
}

/** A plan with its index lookups made. */
export interface PreparedRead {
  readonly plan: ReadPlan;
  /** Partitions whose index rows could not be had. */
  readonly failures: ReadonlyMap<PartitionRead, ReadFailure>;
}

export interface ReadOptions {
  readonly bytesMax: number;
  readonly signal: AbortSignal;
  /** Holds the memory of what is read. */
  readonly holder: Holder;
}

export interface ReadResult {
  /** Those that were planned or have failed. */
  readonly partitions: readonly PartitionRecords[];
  /** The first partition with records that had no room: its turn is next. */
  readonly starvedPartitionId: number | null;
}

export interface PartitionRecords {
  readonly read: PartitionRead;
  /** Views of cached memory: whole batches, stamped. */
  readonly chunks: readonly Buffer[];
  readonly bytes: number;
  readonly nextOffset: number;
  readonly failure: ReadFailure | null;
}

interface FoundRows {
  readonly kind: 'rows';
  readonly rows: readonly [Extent, ...Extent[]];
}

/** Each round brings at least one more lookup's worth of extents of every partition. */
const lookupRoundsMax = 16;

/** From partitions and offsets to records: index, blocks, and the limits of one response. */
export class LogReader {
  readonly #options: LogReaderOptions;
  readonly #budgets: { readonly tail: ByteBudget; readonly catchUp: ByteBudget };

  constructor(options: LogReaderOptions) {
    this.#options = options;
    this.#budgets = {
      tail: new ByteBudget(options.bytesInFlightMax),
      catchUp: new ByteBudget(options.bytesInFlightMax),
    };
  }

  /** Plans from memory; looks up what memory does not have. */
  async prepare(reads: readonly PartitionRead[], bytesMax: number): Promise<PreparedRead> {
    const failures = new Map<PartitionRead, ReadFailure>();
    // Where the index could not be read on behind readable records: the next request's business.
    const ends = new Map<PartitionRead, number>();
    const lookedUp = new Map<PartitionRead, Extent[]>();
    for (let round = 0; ; round++) {
      const hopeful = reads.filter((read) => !failures.has(read));
      const plan = planReads(hopeful, bytesMax, (read, bytes) => {
        const endOffset = ends.get(read) ?? read.highWatermark;
        return this.#collect({ ...read, endOffset, bytes, lookedUp: lookedUp.get(read) ?? [] });
      });
      if (plan.missing.length === 0 || round === lookupRoundsMax) return { plan, failures };
      await Promise.all(
        plan.missing.map(async ({ read, offset }) => {
          const found = await this.#lookUp(read.partitionId, offset);
          if (found.kind === 'rows') appendRows(lookedUp, read, found.rows);
          else if (offset === read.offset) failures.set(read, found);
          else ends.set(read, offset);
        }),
      );
    }
  }

  /** Loads and cuts what was planned. */
  async read(
    { plan, failures }: PreparedRead,
    { bytesMax, signal, holder }: ReadOptions,
  ): Promise<ReadResult> {
    const { loader, patience } = this.#options;
    const wish = { patience, signal, holder };
    const bytesToLoad = unloadedBytes(plan.plans, loader);
    const isTail = plan.plans.every(({ extents }) => extents.every((found) => found.isTail));
    const budget = isTail ? this.#budgets.tail : this.#budgets.catchUp;
    if (bytesToLoad > 0) await budget.take(bytesToLoad);
    try {
      const loaded = await loadPlans(plan.plans, loader, wish);
      const current = await Promise.all(loaded.map((each) => this.#chaseReplaced(each, wish)));
      const result = cut(current, bytesMax);
      return {
        partitions: [...result.partitions, ...failedReads(failures)],
        starvedPartitionId: result.starvedPartitionId ?? plan.starvedPartitionId,
      };
    } finally {
      if (bytesToLoad > 0) budget.give(bytesToLoad);
    }
  }

  /** Loads ahead of a sequential reader what memory knows the place of. Waits for nothing. */
  readAhead(connectionId: string, read: Omit<PartitionRead, 'bytesMax'>, bytes: number): void {
    const { index, loader, metrics, upcoming } = this.#options;
    const { partitionId, offset, highWatermark, leaderEpoch } = read;
    upcoming?.advance(`${connectionId}/${partitionId}`, read, (from, bytesMax) => {
      const wider = { partitionId, offset: from, endOffset: highWatermark, bytes: bytesMax };
      return this.#collect(wider).extents;
    });
    const wish = { partitionId, offset, endOffset: highWatermark, bytes };
    const { extents, missingOffset } = this.#collect(wish);
    for (const { extent, arrival } of extents) {
      if (loader.isKnown(extent)) continue;
      metrics.count('fetch_blocks_read_ahead_total');
      loader.loadAhead({ extent, arrival, leaderEpoch, loadClass: 'readAhead' });
    }
    // The rows behind what is known are fetched ahead as well; if that fails, a reader will see it.
    if (missingOffset !== null) {
      void index.lookUp(partitionId, missingOffset).catch((error: unknown) => {
        if (!isOperatingError(error)) throw error;
      });
    }
  }

  /**
   * An object may be gone because compaction replaced it after the index was read: the index is
   * asked anew. Only if it still names that object are the records lost.
   */
  async #chaseReplaced(loaded: LoadedPlan, wish: LoadWish): Promise<LoadedPlan> {
    const { index, loader } = this.#options;
    const { plan, extents, failure } = loaded;
    const gone = plan.extents[extents.length]?.extent;
    // Records before it can be served: the next request meets the gone object first.
    if (failure?.kind !== 'gone' || extents.length > 0 || gone === undefined) return loaded;
    if (loader.isBad(gone)) return loaded;
    const { partitionId, offset } = plan.read;
    index.invalidate(partitionId);
    const found = await this.#lookUp(partitionId, offset);
    if (found.kind !== 'rows') return loaded;
    const [now] = found.rows;
    // The row may be handed out otherwise now: without its footer a large extent has no parts.
    if (now.segmentId === gone.segmentId) {
      loader.reportLost(gone, failure.reason);
      return loaded;
    }
    const again = { read: plan.read, extents: [{ extent: now, arrival: 0, isTail: false }] };
    const [second] = await loadPlans([again], loader, wish);
    return second ?? loaded;
  }

  async #lookUp(partitionId: number, offset: number): Promise<FoundRows | ReadFailure> {
    this.#options.metrics.count('fetch_index_lookups_total');
    try {
      const [first, ...others] = await this.#options.index.lookUp(partitionId, offset);
      return first === undefined ? { kind: 'noRow' } : { kind: 'rows', rows: [first, ...others] };
    } catch (error) {
      if (!isOperatingError(error)) throw error;
      return { kind: 'index', reason: describeError(error) };
    }
  }

  #collect(wish: Omit<ExtentWish, 'sizeOf'>): ExtentFinding {
    const sizeOf = (extent: Extent, offset: number): number => this.#sizeFrom(extent, offset);
    return this.#options.index.collect({ ...wish, sizeOf });
  }

  /** Exact when the extent is in memory; else as if all its records were of one size. */
  #sizeFrom(extent: Extent, offset: number): number {
    if (offset <= extent.baseOffset) return extent.length;
    const exact = this.#options.loader.bytesFrom(extent, offset);
    if (exact !== undefined) return exact;
    const { baseOffset, nextOffset, length } = extent;
    return Math.ceil((length * (nextOffset - offset)) / (nextOffset - baseOffset));
  }
}

function appendRows(
  lookedUp: Map<PartitionRead, Extent[]>,
  read: PartitionRead,
  rows: readonly Extent[],
): void {
  const known = lookedUp.get(read) ?? [];
  // Rows were swapped meanwhile, or the cache had some in between: what follows on is kept.
  const end = known.at(-1)?.nextOffset ?? 0;
  if (known.length === 0 || rows[0]?.baseOffset === end) known.push(...rows);
  else known.splice(0, known.length, ...rows);
  lookedUp.set(read, known);
}

/** Applies the exact limits now that the batches are known. */
function cut(loaded: readonly LoadedPlan[], bytesMax: number): ReadResult {
  let bytesServed = 0;
  let starvedPartitionId: number | null = null;
  const partitions = loaded.map(({ plan, extents, failure }): PartitionRecords => {
    const { read } = plan;
    const selected = selectBatches(extents, {
      offset: read.offset,
      bytesMax: Math.min(read.bytesMax, bytesMax - bytesServed),
      atLeastOne: bytesServed === 0,
    });
    bytesServed += selected.bytes;
    if (extents.length > 0 && selected.bytes === 0) starvedPartitionId ??= read.partitionId;
    const isFailed = failure !== null && extents.length === 0;
    return {
      read,
      ...selected,
      failure: isFailed ? { kind: 'storage', reason: failure.reason } : null,
    };
  });
  return { partitions, starvedPartitionId };
}

function failedReads(failures: ReadonlyMap<PartitionRead, ReadFailure>): PartitionRecords[] {
  return [...failures].map(([read, failure]) => {
    return { read, chunks: [], bytes: 0, nextOffset: read.offset, failure };
  });
}
