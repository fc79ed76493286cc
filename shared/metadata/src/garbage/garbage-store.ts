import { limits } from '@kafscale/core';

import type { Database } from '../database.js';
import type { MetadataStore } from '../store.js';
import type { Lease } from '../store-types.js';
import { advanceOrphanSweep, findUnknownSegments, loadOrphanSweep } from './orphans.js';
import type { OrphanSweepAdvance, OrphanSweepState, UnknownSegments } from './orphans.js';
import {
  findDueGarbage,
  findOldestMarkMs,
  forgetGarbage,
  loadGarbageState,
  markGarbage,
  postponeGarbage,
} from './segments.js';
import type { DueGarbage, GarbageState, SegmentCount } from './segments.js';

export function openGarbageStore(store: MetadataStore): GarbageStore {
  return new GarbageStore(store.database, store.commitAgeMsMax);
}

/**
 * Segments that nothing refers to: mark, wait, delete (the caller's), forget. Everything that writes
 * is fenced (SHARD_LEASE_LOST), bounded, and safe to repeat. Errors otherwise: METADATA_*.
 */
export class GarbageStore {
  readonly #database: Database;
  readonly #answerAgeMs: number;

  constructor(database: Database, commitAgeMsMax: number) {
    this.#database = database;
    this.#answerAgeMs = commitAgeMsMax + limits.clockSkewMsMax;
  }

  mark(lease: Lease, segmentsMax: number): Promise<SegmentCount> {
    return markGarbage(this.#database, lease, segmentsMax);
  }

  findDue(
    shardId: number,
    request: { readonly waitMs: number; readonly segmentsMax: number },
  ): Promise<DueGarbage> {
    return findDueGarbage(this.#database, shardId, { ...request, answerAgeMs: this.#answerAgeMs });
  }

  postpone(lease: Lease, segmentIds: readonly string[]): Promise<void> {
    return postponeGarbage(this.#database, lease, segmentIds);
  }

  forget(lease: Lease, segmentIds: readonly string[]): Promise<SegmentCount> {
    return forgetGarbage(this.#database, lease, segmentIds, this.#answerAgeMs);
  }

  loadState(shardId: number): Promise<GarbageState> {
    return loadGarbageState(this.#database, shardId);
  }

  findOldestMarkMs(shardId: number): Promise<number | null> {
    return findOldestMarkMs(this.#database, shardId);
  }

  loadOrphanSweep(): Promise<OrphanSweepState> {
    return loadOrphanSweep(this.#database);
  }

  advanceOrphanSweep(lease: Lease, request: OrphanSweepAdvance): Promise<void> {
    return advanceOrphanSweep(this.#database, lease, request);
  }

  findUnknownSegments(segmentIds: readonly string[]): Promise<UnknownSegments> {
    return findUnknownSegments(this.#database, segmentIds);
  }
}
