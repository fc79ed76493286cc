import type { ColdExtent, IndexColdRange, IndexRecords } from '@kafscale/codec';
import { limits, OperatingError } from '@kafscale/core';

import type { Sql } from '../database.js';
import { migrateWithin } from '../migrate.js';
import { migrations } from '../migrations/index.js';
import { finishRestore } from './finish-restore.js';
import type { RestoredState, RestoreReport } from './finish-restore.js';
import { openDatabase } from './open-database.js';
import { listRestoredCold, restoreColdExtents, restoreColdRanges } from './restore-cold.js';
import { addPresentSegments, restoreExtents, restoreSegments } from './restore-extents.js';
import type { PresentSegment } from './restore-extents.js';
import { restoreGroups, restoreProducers } from './restore-groups.js';
import { deleteOtherTopics, restoreTopics } from './restore-topics.js';

export interface RestoreOptions {
  readonly url: string;
  /** Does everything, and takes it back. */
  readonly dryRun: boolean;
}

/**
 * Fills an empty metadata store, in one transaction: what `work` brings, or nothing.
 *
 * Errors: METADATA_NOT_EMPTY (it has topics, or segments), METADATA_IN_USE (a coordinator holds a
 * lease there), METADATA_*.
 */
export async function restoreMetadata<T>(
  options: RestoreOptions,
  work: (restore: MetadataRestore) => Promise<T>,
): Promise<T> {
  const database = openDatabase(options.url);
  try {
    return await database.transaction(
      async ({ sql }) => {
        await migrateWithin(sql, migrations);
        await sql.unsafe(`SET LOCAL statement_timeout = ${limits.indexTransactionMsMax}`);
        await requireEmpty(sql);
        await sql.unsafe(workTables);
        const result = await work(new MetadataRestore(sql));
        await sql.unsafe(`DROP TABLE restored_extents, restored_cold, restored_segments, present_segments,
          entry_topics`);
        // The COMMIT that follows finds no transaction, and does nothing.
        if (options.dryRun) await sql.unsafe('ROLLBACK');
        return result;
      },
      { timeoutMs: limits.indexTransactionMsMax },
    );
  } finally {
    await database.close();
  }
}

/** What the bucket says, put into the tables piece by piece, in the order of the log. */
export class MetadataRestore {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  /**
   * A piece of an entry. Every record replaces what is known of its subject; an extent replaces all
   * that it overlaps.
   */
  async apply(records: IndexRecords): Promise<void> {
    await restoreTopics(this.#sql, records);
    await restoreSegments(this.#sql, records.segments);
    await restoreExtents(this.#sql, records.extents);
    await restoreColdRanges(this.#sql, records.coldRanges);
    await restoreProducers(this.#sql, records.producers);
    await restoreGroups(this.#sql, records.groups);
  }

  /** `isComplete`: a topic that the entry did not name is gone. */
  async endEntry(isComplete: boolean): Promise<void> {
    if (isComplete) await deleteOtherTopics(this.#sql);
    await this.#sql`TRUNCATE entry_topics`;
  }

  /** The cold ranges that are left after the last entry: their objects have to be read. */
  coldRanges(): Promise<readonly IndexColdRange[]> {
    return listRestoredCold(this.#sql);
  }

  async addColdExtents(range: IndexColdRange, extents: readonly ColdExtent[]): Promise<void> {
    await restoreColdExtents(this.#sql, range, extents);
  }

  /** Objects that are in the bucket. */
  async addPresentSegments(segments: readonly PresentSegment[]): Promise<void> {
    await addPresentSegments(this.#sql, segments);
  }

  /** Judges what was brought against what is there, and begins the new incarnation. */
  finish(state: RestoredState): Promise<RestoreReport> {
    return finishRestore(this.#sql, state);
  }
}

/** `extents` and `segments` are filled once all is known: their indexes are built once. */
const workTables = `
CREATE TEMP TABLE restored_extents (
  partition_id integer NOT NULL, base_offset bigint NOT NULL, next_offset bigint NOT NULL,
  segment_id uuid NOT NULL, position bigint NOT NULL, length bigint NOT NULL,
  skipped_batches integer[], first_timestamp_ms bigint NOT NULL, max_timestamp_ms bigint NOT NULL,
  absolute_offsets boolean NOT NULL, PRIMARY KEY (partition_id, base_offset)
) ON COMMIT DROP;
CREATE TEMP TABLE restored_cold (
  partition_id integer NOT NULL, base_offset bigint NOT NULL, next_offset bigint NOT NULL,
  object_id uuid NOT NULL, extents integer NOT NULL, PRIMARY KEY (partition_id, base_offset)
) ON COMMIT DROP;
CREATE TEMP TABLE restored_segments (
  segment_id uuid PRIMARY KEY, node_id integer NOT NULL, incarnation integer NOT NULL,
  birth_ms bigint NOT NULL, committed_at timestamptz NOT NULL, size_bytes bigint NOT NULL,
  is_compacted boolean NOT NULL, answer text
) ON COMMIT DROP;
CREATE TEMP TABLE present_segments (
  segment_id uuid PRIMARY KEY, size_bytes bigint NOT NULL, last_modified_ms bigint NOT NULL
) ON COMMIT DROP;
CREATE TEMP TABLE entry_topics (topic_id uuid PRIMARY KEY) ON COMMIT DROP`;

async function requireEmpty(sql: Sql): Promise<void> {
  const rows = await sql<{ has_topics: boolean; has_segments: boolean; is_leased: boolean }[]>`
    SELECT EXISTS (SELECT FROM topics) AS has_topics, EXISTS (SELECT FROM segments) AS has_segments,
      EXISTS (SELECT FROM shards WHERE lease_expires_at > clock_timestamp()) AS is_leased`;
  const [row] = rows;
  if (row?.has_topics === true || row?.has_segments === true) {
    throw new OperatingError(
      'METADATA_NOT_EMPTY',
      'the metadata store has topics or segments: recovery fills an empty one only',
    );
  }
  if (row?.is_leased === true) {
    throw new OperatingError(
      'METADATA_IN_USE',
      'a coordinator holds a lease in the metadata store: stop it first',
    );
  }
  await sql.unsafe(`DELETE FROM cluster; DELETE FROM producer_ids; DELETE FROM shards;
    DELETE FROM nodes; DELETE FROM partitions; DELETE FROM leader_epochs; DELETE FROM producers;
    DELETE FROM consumer_groups; DELETE FROM group_offsets; DELETE FROM unrecovered_segments;
    DELETE FROM cold_ranges`);
}
