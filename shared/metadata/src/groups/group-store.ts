import { invariant } from '@kafscale/core';
import { textArray } from '../arrays.js';
import type { Database, Sql } from '../database.js';
import { fenceShard, requireLease } from '../shards.js';
import type { MetadataStore } from '../store.js';
import type { Lease } from '../store-types.js';
import type { StoredGroup } from './group-record.js';
import { decodeGroupState, encodeGroupState } from './group-record.js';
import type { OffsetCommitment, OffsetKey, StoredOffset } from './offsets.js';
import { purgeOffsets, selectAllOffsets, selectOffsets, upsertOffsets } from './offsets.js';

export interface StoredGroupSummary {
  readonly groupId: string;
  readonly protocolType: string | null;
  readonly memberCount: number;
}

/**
 * The groups of a shard as the holder of `lease` reads and writes them. `onWritten` hears of every
 * group that was written, or may have been, after it was.
 */
export function openGroupStore(
  store: MetadataStore,
  lease: Lease,
  onWritten: (groupId: string) => void = () => undefined,
): GroupStore {
  return new GroupStore(store.database, lease, onWritten);
}

/**
 * Consumer groups and committed offsets of one shard in PostgreSQL. Every write checks the shard's
 * epoch in its own transaction: SHARD_LEASE_LOST means that nothing was written. Other errors are
 * METADATA_*, with outcome `unknown` when a COMMIT may have been done. A write that was called later
 * is never undone by one that was called earlier, whatever became of their connections.
 */
export class GroupStore {
  readonly #database: Database;
  readonly #lease: Lease;
  readonly #onWritten: (groupId: string) => void;
  #sequence = 0;

  constructor(database: Database, lease: Lease, onWritten: (groupId: string) => void) {
    this.#database = database;
    this.#lease = lease;
    this.#onWritten = onWritten;
  }

  async load(groupId: string): Promise<StoredGroup | null> {
    const rows = await this.#database.read(
      (sql) => sql<{ generation_id: number; protocol_type: string | null; state: string }[]>`
        SELECT generation_id, protocol_type, state FROM consumer_groups
        WHERE shard_id = ${this.#lease.shardId} AND group_id = ${groupId}`,
    );
    const [row] = rows;
    if (row === undefined) return null;
    return {
      groupId,
      generationId: row.generation_id,
      protocolType: row.protocol_type,
      ...decodeGroupState(row.state),
    };
  }

  async save(group: StoredGroup): Promise<void> {
    invariant(group.generationId >= 0, 'a stored generation is not negative');
    const sequence = this.#nextSequence();
    try {
      await this.#write([(sql) => upsertGroup(sql, group, this.#lease, sequence)]);
    } finally {
      this.#onWritten(group.groupId);
    }
  }

  /** Every group of the shard. */
  async list(): Promise<readonly StoredGroupSummary[]> {
    const rows = await this.#database.read(
      (sql) => sql<{ group_id: string; protocol_type: string | null; member_count: number }[]>`
        SELECT group_id, protocol_type, member_count FROM consumer_groups
        WHERE shard_id = ${this.#lease.shardId} ORDER BY group_id`,
    );
    return rows.map((row) => ({
      groupId: row.group_id,
      protocolType: row.protocol_type,
      memberCount: row.member_count,
    }));
  }

  /** Ids of groups with members behind `afterGroupId`, in order. */
  async groupsWithMembers(afterGroupId: string, countMax: number): Promise<readonly string[]> {
    const rows = await this.#database.read(
      (sql) => sql<{ group_id: string }[]>`
        SELECT group_id FROM consumer_groups
        WHERE shard_id = ${this.#lease.shardId} AND member_count > 0
          AND group_id > ${afterGroupId}
        ORDER BY group_id LIMIT ${countMax}::int`,
    );
    return rows.map((row) => row.group_id);
  }

  /**
   * Commits in order, in one transaction: of two for the same partition the later counts. Groups
   * that have no row yet get an empty one, so that they can be listed.
   */
  async commitOffsets(commitments: readonly OffsetCommitment[]): Promise<void> {
    invariant(commitments.length > 0, 'a commit commits something');
    const sequence = this.#nextSequence();
    const lease = this.#lease;
    try {
      await this.#write([
        (sql) => insertGroups(sql, commitments, lease),
        (sql) => upsertOffsets(sql, { commitments, lease, sequence }),
      ]);
    } finally {
      for (const { groupId } of commitments) this.#onWritten(groupId);
    }
  }

  /** Those of `keys` that have an offset. */
  fetchOffsets(groupId: string, keys: readonly OffsetKey[]): Promise<readonly StoredOffset[]> {
    const { shardId } = this.#lease;
    return this.#database.read((sql) => selectOffsets(sql, { shardId, groupId, keys }));
  }

  /** By topic id and partition. Offsets of deleted topics may be among them. */
  fetchAllOffsets(groupId: string): Promise<readonly StoredOffset[]> {
    const { shardId } = this.#lease;
    return this.#database.read((sql) => selectAllOffsets(sql, { shardId, groupId }));
  }

  /** Removes at most `rowsMax` offsets of deleted topics; says how many. */
  purgeOffsetsOfDeletedTopics(rowsMax: number): Promise<number> {
    return this.#database.transaction(async ({ sql }) => {
      const [fence, purged] = await Promise.all([
        fenceShard(sql, this.#lease),
        purgeOffsets(sql, this.#lease.shardId, rowsMax),
      ]);
      requireLease(fence, this.#lease);
      return purged;
    });
  }

  async #write(statements: readonly ((sql: Sql) => Promise<unknown>)[]): Promise<void> {
    await this.#database.transaction(async ({ sql }) => {
      // One round trip. When the fence finds no row, what the statements did is rolled back.
      const [fence] = await Promise.all([
        fenceShard(sql, this.#lease),
        ...statements.map((statement) => statement(sql)),
      ]);
      requireLease(fence, this.#lease);
    });
  }

  #nextSequence(): number {
    this.#sequence += 1;
    return this.#sequence;
  }
}

async function upsertGroup(
  sql: Sql,
  group: StoredGroup,
  lease: Lease,
  sequence: number,
): Promise<void> {
  await sql`
    INSERT INTO consumer_groups AS g (shard_id, group_id, generation_id, protocol_type,
      member_count, state, state_changed_at, writer_epoch, writer_sequence)
    VALUES (${lease.shardId}, ${group.groupId}, ${group.generationId}, ${group.protocolType},
      ${group.members.length}, ${encodeGroupState(group)}, clock_timestamp(),
      ${lease.epoch}, ${sequence})
    ON CONFLICT (shard_id, group_id) DO UPDATE SET
      generation_id = excluded.generation_id,
      protocol_type = excluded.protocol_type,
      member_count = excluded.member_count,
      state = excluded.state,
      state_changed_at = excluded.state_changed_at,
      writer_epoch = excluded.writer_epoch,
      writer_sequence = excluded.writer_sequence
    WHERE (g.writer_epoch, g.writer_sequence) < (excluded.writer_epoch, excluded.writer_sequence)`;
}

/** Sequence 0: whatever is written for the group itself is later. */
async function insertGroups(
  sql: Sql,
  commitments: readonly OffsetCommitment[],
  lease: Lease,
): Promise<void> {
  const groupIds = [...new Set(commitments.map(({ groupId }) => groupId))].sort();
  const state = encodeGroupState({ protocolName: null, leaderId: null, members: [] });
  await sql`
    INSERT INTO consumer_groups (shard_id, group_id, generation_id, protocol_type, member_count,
      state, state_changed_at, writer_epoch, writer_sequence)
    SELECT ${lease.shardId}::int, c.group_id, 0, NULL, 0, ${state}::text, clock_timestamp(),
      ${lease.epoch}::bigint, 0
    FROM unnest(${textArray(groupIds)}::text[]) AS c (group_id)
    ON CONFLICT (shard_id, group_id) DO NOTHING`;
}
