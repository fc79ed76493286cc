import { randomUUID } from 'node:crypto';
import type { OffsetRange } from '@kafscale/cluster';
import type { ColdExtent } from '@kafscale/codec';
import { invariant, isOperatingError, OperatingError } from '@kafscale/core';
import { coldRangeRow, openColdStore } from '@kafscale/metadata';
import type {
  ColdPlace,
  ColdRangeRow,
  ColdStore,
  ColdSwap,
  ColdSwapResult,
  Lease,
  MetadataStore,
} from '@kafscale/metadata';
import type { CoordinatorLog } from '../observability.js';
import type { ColdLimits } from './cold-limits.js';
import type { ColdMetrics } from './cold-metrics.js';
import { isLostOrDamaged } from './cold-objects.js';
import type { ColdObjects } from './cold-objects.js';

/** The owner of the shard, as far as pieces of its index are moved. */
export interface ColdOwnership {
  readonly lease: Lease | null;
  holds(): boolean;
  announceSwap(lease: Lease, ranges: readonly OffsetRange[]): void;
}

export interface ColdMoverOptions {
  readonly store: MetadataStore;
  readonly objects: ColdObjects;
  readonly ownership: ColdOwnership;
  readonly limits: ColdLimits;
  readonly log: CoordinatorLog;
  readonly metrics: ColdMetrics;
}

/**
 * Moves pieces of the index between the metadata store and objects of the bucket: announce the object,
 * store it, swap. No object I/O within a transaction; whatever ends a move in between leaves an
 * announced object, which is collected, and the index as it was.
 */
export class ColdMover {
  readonly #options: ColdMoverOptions;
  readonly #store: ColdStore;

  constructor(options: ColdMoverOptions) {
    this.#options = options;
    this.#store = openColdStore(options.store);
  }

  /** The oldest rows of a partition leave; null: they can not, now. */
  async freeze(lease: Lease, partitionId: number): Promise<ColdSwapResult | null> {
    const { limits } = this.#options;
    const { shardId } = lease;
    const plan = await this.#store.planFreeze({ shardId, partitionId, bounds: limits });
    if (plan === null) return null;
    const becomes = await this.#putNew(lease, plan, plan.extents);
    return this.#swap(lease, becomes, { leaving: plan.extents, becomes });
  }

  /** Neighbouring ranges become one. */
  async merge(lease: Lease, ranges: readonly ColdRangeRow[]): Promise<ColdSwapResult> {
    const [first] = ranges;
    invariant(first !== undefined, 'a merge has ranges');
    const place = await this.#store.place(first.partitionId);
    if (place === null) return 'superseded';
    const extents: ColdExtent[] = [];
    for (const range of ranges) extents.push(...(await this.#extentsOf(range)));
    const becomes = await this.#putNew(lease, place, extents);
    const retires = ranges.map(({ objectId }) => objectId);
    return this.#swap(lease, becomes, { retires, becomes });
  }

  /**
   * The first extents of a partition's oldest range become rows again. `gone`: there is no range, or
   * the one there was can't be read and was given up, because nobody may read its offsets either.
   */
  async thaw(lease: Lease, partitionId: number): Promise<ColdSwapResult | 'gone'> {
    const range = await this.#store.firstRange(partitionId);
    const place = range && (await this.#store.place(partitionId));
    if (range === null || place === null) return 'gone';
    const extents = await this.#extentsOf(range).catch((error: unknown) =>
      this.#giveUp(lease, range, error),
    );
    if (extents === null) return 'gone';
    const count = this.#options.limits.rangeExtents;
    const rest = extents.slice(count);
    const becomes = rest.length === 0 ? undefined : await this.#putNew(lease, place, rest);
    return this.#swap(lease, range, {
      retires: [range.objectId],
      returning: extents.slice(0, count),
      ...(becomes && { becomes }),
    });
  }

  async #giveUp(lease: Lease, range: ColdRangeRow, error: unknown): Promise<null> {
    if (!isOperatingError(error) || !isLostOrDamaged(error.code)) throw error;
    const { log, metrics } = this.#options;
    metrics.unreadable();
    const { objectId, partitionId } = range;
    const fields = { objectId, partitionId, code: error.code };
    if (!(await this.#store.drop(lease, range))) {
      log.error(fields, 'a cold range of the index is lost or damaged: run fsck');
      throw error;
    }
    log.error(fields, 'a cold range of the index is lost or damaged; nobody needs it, so it goes');
    return null;
  }

  /** `#options.objects` checks what it reads. */
  #extentsOf(range: ColdRangeRow): Promise<readonly ColdExtent[]> {
    return this.#options.objects.extentsOf(range);
  }

  async #putNew(
    lease: Lease,
    place: ColdPlace,
    extents: readonly ColdExtent[],
  ): Promise<ColdRangeRow> {
    const { objects, ownership } = this.#options;
    const objectId = randomUUID();
    const { clusterId, partitionId, partitionIndex, topicId } = place;
    const row = coldRangeRow(objectId, partitionId, extents);
    invariant(row !== null, 'a range has extents');
    await this.#store.plan(lease, row);
    if (!ownership.holds()) throw leaseLost(lease);
    await objects.put({ objectId, clusterId, topicId, partitionIndex, partitionId, extents });
    return row;
  }

  async #swap(
    lease: Lease,
    range: OffsetRange,
    change: Omit<ColdSwap, 'partitionId' | 'ageMs'>,
  ): Promise<ColdSwapResult> {
    const { limits, metrics, ownership } = this.#options;
    const { baseOffset, nextOffset, partitionId } = range;
    const announce = (): void =>
      ownership.announceSwap(lease, [{ partitionId, baseOffset, nextOffset }]);
    try {
      const swap = { ...change, partitionId, ageMs: limits.ageMs };
      const result = await this.#store.swap(lease, swap);
      if (result === 'swapped') {
        announce();
        metrics.moved(change.leaving?.length ?? 0, change.returning?.length ?? 0);
      }
      return result;
    } catch (error) {
      // It may have been swapped all the same, and the index in the bucket has to hear of it.
      if (isOperatingError(error) && error.outcome === 'unknown') announce();
      throw error;
    }
  }
}

function leaseLost({ epoch, shardId }: Lease): OperatingError {
  return new OperatingError('SHARD_LEASE_LOST', `epoch ${epoch} of shard ${shardId} has ended`, {
    retriable: true,
  });
}
