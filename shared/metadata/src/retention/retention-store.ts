import type { Database } from '../database.js';
import type { MetadataStore } from '../store.js';
import type { Lease } from '../store-types.js';
import type { TrimDecision } from './decide-trim.js';
import { deleteRecords } from './delete-records.js';
import type { DeleteRecordsOutcome, DeleteRecordsWish } from './delete-records.js';
import { expireProducers, findIdleProducers } from './expire-producers.js';
import type { ProducerKey, ProducerPage } from './expire-producers.js';
import { probePartitions, trimPartitions } from './trim.js';
import type { RetentionWish, TrimmedPartition } from './trim.js';

export function openRetentionStore(store: MetadataStore): RetentionStore {
  return new RetentionStore(store.database);
}

/**
 * What goes from the index: by time, by size, by DeleteRecords. Everything that writes is fenced
 * (SHARD_LEASE_LOST), bounded, and safe to repeat. Errors otherwise: METADATA_*.
 */
export class RetentionStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Without locks: what `trim` would find first. Partitions that do not exist are left out. */
  probe(
    shardId: number,
    wishes: readonly RetentionWish[],
  ): Promise<readonly (TrimDecision & { readonly partitionId: number })[]> {
    return probePartitions(this.#database, shardId, wishes);
  }

  /**
   * One step: moves log starts over what has expired, and deletes the index rows below the log
   * starts of before, which must have been published. Looks at `extentsMax` rows at most.
   */
  trim(
    lease: Lease,
    wishes: readonly RetentionWish[],
    extentsMax: number,
  ): Promise<readonly TrimmedPartition[]> {
    return trimPartitions(this.#database, lease, { wishes, extentsMax });
  }

  /** Moves log starts as DeleteRecords asks; one outcome per wish. */
  deleteRecords(
    lease: Lease,
    wishes: readonly DeleteRecordsWish[],
  ): Promise<readonly DeleteRecordsOutcome[]> {
    return deleteRecords(this.#database, lease, wishes);
  }

  /** A page of producers, without locks. */
  findIdleProducers(request: {
    after: ProducerKey | null;
    idleMsMax: number;
    rowsMax: number;
  }): Promise<ProducerPage> {
    return findIdleProducers(this.#database, request);
  }

  /** Forgets those that are still idle; returns how many. */
  expireProducers(
    lease: Lease,
    producers: readonly ProducerKey[],
    idleMsMax: number,
  ): Promise<number> {
    return expireProducers(this.#database, lease, { producers, idleMsMax });
  }
}
