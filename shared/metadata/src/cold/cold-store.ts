import type { Extent } from '@kafscale/cluster';

import type { Database } from '../database.js';
import type { MetadataStore } from '../store.js';
import type { Lease } from '../store-types.js';
import { countCold, dropColdRange, findColdGarbage, forgetColdGarbage } from './cold-garbage.js';
import type { ColdCounts } from './cold-garbage.js';
import { lookUpMaxTimestamp, lookUpOffset, lookUpTimestamp } from './cold-lookups.js';
import { findCrowdedPartitions, planFreeze } from './plan-freeze.js';
import type { FreezeBounds } from './plan-freeze.js';
import { findMergeableRanges, readColdPlace, readFirstColdRange } from './select-ranges.js';
import type { MergeableRequest } from './select-ranges.js';
import { planColdRange, swapCold } from './swap-cold.js';
import type { ColdSwap } from './swap-cold.js';
import type { ColdPlace, ColdRangeRow, ColdSwapResult, FreezePlan } from './types.js';

export function openColdStore(store: MetadataStore): ColdStore {
  return new ColdStore(store.database);
}

interface FoundCold {
  readonly start: number;
  readonly ranges: readonly ColdRangeRow[];
}

/**
 * Pieces of the index that are in objects of the bucket. Everything that writes is fenced
 * (SHARD_LEASE_LOST) and safe to repeat. Errors otherwise: METADATA_*.
 */
export class ColdStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  findCrowded(request: {
    shardId: number;
    bounds: FreezeBounds;
    partitionsMax: number;
  }): Promise<readonly number[]> {
    return findCrowdedPartitions(this.#database, request);
  }

  planFreeze(request: {
    shardId: number;
    partitionId: number;
    bounds: FreezeBounds;
  }): Promise<FreezePlan | null> {
    return planFreeze(this.#database, request);
  }

  /** Neighbours of one partition that are worth merging; null: there are none anywhere. */
  findMergeable(request: MergeableRequest): Promise<readonly ColdRangeRow[] | null> {
    return findMergeableRanges(this.#database, request);
  }

  /** The oldest of a partition, a deleted one too; null: there is none. */
  firstRange(partitionId: number): Promise<ColdRangeRow | null> {
    return readFirstColdRange(this.#database, partitionId);
  }

  /** null: there is no such partition any more. */
  place(partitionId: number): Promise<ColdPlace | null> {
    return readColdPlace(this.#database, partitionId);
  }

  /** Before the object of a range is stored. */
  plan(lease: Lease, range: ColdRangeRow): Promise<void> {
    return planColdRange(this.#database, lease, range);
  }

  /** Outcome `unknown`: look again, the index says what became of it. */
  swap(lease: Lease, swap: ColdSwap): Promise<ColdSwapResult> {
    return swapCold(this.#database, lease, swap);
  }

  drop(lease: Lease, range: ColdRangeRow): Promise<boolean> {
    return dropColdRange(this.#database, lease, range);
  }

  findGarbage(
    lease: Lease,
    request: { waitMs: number; plannedMsMax: number; countMax: number },
  ): Promise<readonly string[]> {
    return findColdGarbage(this.#database, lease, request);
  }

  forgetGarbage(lease: Lease, objectIds: readonly string[]): Promise<void> {
    return forgetColdGarbage(this.#database, lease, objectIds);
  }

  counts(shardId: number): Promise<ColdCounts> {
    return countCold(this.#database, shardId);
  }

  lookUpOffset(request: {
    partitionId: number;
    offset: number;
    countMax: number;
  }): Promise<(FoundCold & { readonly rows: readonly Extent[] }) | null> {
    return lookUpOffset(this.#database, request);
  }

  lookUpTimestamp(request: {
    partitionId: number;
    timestampMs: number;
    fromOffset: number;
  }): Promise<(FoundCold & { readonly row: Extent | null }) | null> {
    return lookUpTimestamp(this.#database, request);
  }

  lookUpMaxTimestamp(
    partitionId: number,
  ): Promise<(FoundCold & { readonly row: Extent | null }) | null> {
    return lookUpMaxTimestamp(this.#database, partitionId);
  }
}
