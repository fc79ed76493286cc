import type { ColdExtent } from '@kafscale/codec';
import { invariant } from '@kafscale/core';

import { parseNumberArray, textArray } from '../arrays.js';
import type { ColdRangeRow } from '../cold/types.js';
import type { Database } from '../database.js';
import { requireSchema } from '../migrate.js';
import { migrations } from '../migrations/index.js';
import { listed, listedMax } from './findings.js';
import type { Findings } from './findings.js';
import { locateOffset } from './locate-offset.js';
import type { LocatedOffset } from './locate-offset.js';
import { openDatabase } from './open-database.js';

export interface AuditState {
  readonly clusterId: string;
  readonly incarnation: number;
  readonly databaseTimeMs: number;
  readonly shardEpoch: number;
  readonly topics: number;
  readonly partitions: number;
  /** Rows. */
  readonly extents: number;
  /** In objects of the bucket. */
  readonly coldExtents: number;
  /** What was born before it is not taken for an orphan by any sweep. */
  readonly sweepWatermarkMs: number;
}

/** A piece of the index that is in an object of the bucket. */
export interface AuditedColdRange {
  readonly objectId: string;
  readonly partitionId: number;
  readonly topic: string;
  readonly topicId: string;
  readonly partitionIndex: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly extents: number;
}

export interface AuditedSegment {
  readonly segmentId: string;
  readonly sizeBytes: number;
  readonly liveExtents: number;
  readonly isMarked: boolean;
}

export interface AuditedExtent {
  /** The name with the id of a topic that is deleted and not purged yet. */
  readonly topic: string;
  readonly topicId: string;
  readonly partitionIndex: number;
  readonly baseOffset: number;
  readonly nextOffset: number;
  readonly position: number;
  readonly length: number;
  readonly skippedBatches: readonly number[];
  readonly absoluteOffsets: boolean;
}

/** A segment whose count of index rows is not the number of its index rows. */
export interface CountFinding {
  readonly segmentId: string;
  /** null: it has no row, and index rows refer to it. */
  readonly counted: number | null;
  readonly found: number;
}

/** Offsets that no index row covers, or several do. */
export interface OffsetsFinding {
  readonly topic: string;
  readonly partitionIndex: number;
  readonly kind: 'gap' | 'overlap';
  readonly from: number;
  readonly to: number;
}

/** For commands that read beside a running server. Errors: METADATA_SCHEMA_OLDER, METADATA_*. */
export async function openMetadataAudit(url: string): Promise<MetadataAudit> {
  const database = openDatabase(url);
  try {
    await database.read((sql) => requireSchema(sql, migrations));
    return new MetadataAudit(database);
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** Reads the index for `fsck` and `explain`; writes nothing, locks nothing. */
export class MetadataAudit {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async state(): Promise<AuditState> {
    const rows = await this.#database.read(
      (sql) => sql<
        {
          cluster_id: string;
          incarnation: number;
          now_ms: number;
          shard_epoch: number;
          topics: number;
          partitions: number;
          extents: number;
          cold_extents: number;
          watermark_ms: number;
        }[]
      >`
        SELECT c.cluster_id, c.incarnation,
          floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms,
          (SELECT max(epoch) FROM shards) AS shard_epoch,
          (SELECT count(*) FROM topics WHERE deleted_at IS NULL)::int AS topics,
          (SELECT count(*) FROM partitions WHERE deleted_at IS NULL)::int AS partitions,
          (SELECT count(*) FROM extents) AS extents,
          (SELECT coalesce(sum(extents), 0) FROM cold_ranges WHERE state = 'live')::bigint
            AS cold_extents,
          (SELECT watermark_ms FROM orphan_sweep) AS watermark_ms
        FROM cluster c`,
    );
    const [row] = rows;
    invariant(row !== undefined, 'there is a cluster row');
    const { incarnation, topics, partitions, extents } = row;
    const { cold_extents: coldExtents, watermark_ms: sweepWatermarkMs } = row;
    const cold = { coldExtents, sweepWatermarkMs };
    const counts = { incarnation, topics, partitions, extents, ...cold };
    const { cluster_id: clusterId, now_ms: databaseTimeMs, shard_epoch: shardEpoch } = row;
    return { ...counts, clusterId, databaseTimeMs, shardEpoch };
  }

  /** The segments whose ids end in the two hex digits, as keys are spread: a 256th of all. */
  async segmentsEndingIn(digits: string): Promise<readonly AuditedSegment[]> {
    const rows = await this.#database.read(
      (sql) => sql<
        { segment_id: string; size_bytes: number; live_extents: number; is_marked: boolean }[]
      >`
        SELECT segment_id, size_bytes, live_extents, marked_at IS NOT NULL AS is_marked
        FROM segments WHERE right(segment_id::text, 2) = ${digits} ORDER BY segment_id`,
    );
    return rows.map((row) => ({
      segmentId: row.segment_id,
      sizeBytes: row.size_bytes,
      liveExtents: row.live_extents,
      isMarked: row.is_marked,
    }));
  }

  /** In the order of their positions; at most 20,000 of a fresh segment. */
  async extentsOf(segmentId: string): Promise<readonly AuditedExtent[]> {
    const rows = await this.#database.read(
      (sql) => sql<
        {
          name: string;
          topic_id: string;
          partition_index: number;
          base_offset: number;
          next_offset: number;
          position: number;
          length: number;
          skipped_batches: string | null;
          absolute_offsets: boolean;
        }[]
      >`
        SELECT coalesce(t.name, p.topic_id::text) AS name, p.topic_id, p.partition_index,
          e.base_offset, e.next_offset, e.position, e.length, e.absolute_offsets,
          e.skipped_batches::text AS skipped_batches
        FROM extents e JOIN partitions p ON p.partition_id = e.partition_id
        LEFT JOIN topics t ON t.topic_id = p.topic_id AND t.deleted_at IS NULL
        WHERE e.segment_id = ${segmentId} ORDER BY e.position`,
    );
    return rows.map((row) => ({
      topic: row.name,
      topicId: row.topic_id,
      partitionIndex: row.partition_index,
      baseOffset: row.base_offset,
      nextOffset: row.next_offset,
      position: row.position,
      length: row.length,
      skippedBatches: parseNumberArray(row.skipped_batches),
      absoluteOffsets: row.absolute_offsets,
    }));
  }

  /** A few per partition. */
  async coldRanges(): Promise<readonly AuditedColdRange[]> {
    const rows = await this.#database.read(
      (sql) => sql<
        {
          object_id: string;
          partition_id: number;
          name: string;
          topic_id: string;
          partition_index: number;
          base_offset: number;
          next_offset: number;
          extents: number;
        }[]
      >`
        SELECT c.object_id, c.partition_id, coalesce(t.name, p.topic_id::text) AS name, p.topic_id,
          p.partition_index, c.base_offset, c.next_offset, c.extents
        FROM cold_ranges c JOIN partitions p ON p.partition_id = c.partition_id
        LEFT JOIN topics t ON t.topic_id = p.topic_id AND t.deleted_at IS NULL
        WHERE c.state = 'live' ORDER BY c.partition_id, c.base_offset`,
    );
    return rows.map((row) => ({
      objectId: row.object_id,
      partitionId: row.partition_id,
      topic: row.name,
      topicId: row.topic_id,
      partitionIndex: row.partition_index,
      baseOffset: row.base_offset,
      nextOffset: row.next_offset,
      extents: row.extents,
    }));
  }

  /** By object id: `planned`, `live`, or `retired`; of those that have a row. */
  async coldStates(objectIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = await this.#database.read(
      (sql) => sql<{ object_id: string; state: string }[]>`
        SELECT object_id, state FROM cold_ranges
        WHERE object_id = ANY(${textArray(objectIds)}::uuid[])`,
    );
    return new Map(rows.map((row) => [row.object_id, row.state]));
  }

  /** Those that no row of `segments` knows. */
  async unknownAmong(segmentIds: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.#database.read(
      (sql) => sql<{ segment_id: string }[]>`
        SELECT k.segment_id FROM unnest(${textArray(segmentIds)}::uuid[]) AS k (segment_id)
        WHERE NOT EXISTS (SELECT FROM segments s WHERE s.segment_id = k.segment_id)`,
    );
    return new Set(rows.map((row) => row.segment_id));
  }

  /** Those that a recovery found beside what it could bring back. */
  async unrecoveredAmong(segmentIds: readonly string[]): Promise<ReadonlySet<string>> {
    const rows = await this.#database.read(
      (sql) => sql<{ segment_id: string }[]>`
        SELECT segment_id FROM unrecovered_segments
        WHERE segment_id = ANY(${textArray(segmentIds)}::uuid[])`,
    );
    return new Set(rows.map((row) => row.segment_id));
  }

  /** One statement, so that a commit or a swap that runs meanwhile is seen whole or not at all. */
  async wrongCounts(): Promise<Findings<CountFinding>> {
    const rows = await this.#database.read(
      (sql) => sql<{ segment_id: string; counted: number | null; found: number; total: number }[]>`
        SELECT coalesce(s.segment_id, f.segment_id) AS segment_id,
          s.live_extents - s.cold_extents AS counted,
          coalesce(f.found, 0) AS found, (count(*) OVER ())::int AS total
        FROM segments s FULL JOIN (
          SELECT segment_id, count(*)::int AS found FROM extents GROUP BY segment_id
        ) f ON f.segment_id = s.segment_id
        WHERE s.live_extents - s.cold_extents IS DISTINCT FROM coalesce(f.found, 0)
        LIMIT ${listedMax}::int`,
    );
    return listed(rows, (row) => ({
      segmentId: row.segment_id,
      counted: row.counted,
      found: row.found,
    }));
  }

  /** P6: from the log start to the end every offset is in exactly one index row, or cold range. */
  async wrongOffsets(): Promise<Findings<OffsetsFinding>> {
    const rows = await this.#database.read(
      (sql) => sql<
        { name: string; partition_index: number; from: number; to: number; total: number }[]
      >`
        WITH ranges AS (
          SELECT p.partition_id, e.base_offset, e.next_offset, p.log_start_offset
          FROM partitions p JOIN extents e ON e.partition_id = p.partition_id
          WHERE p.deleted_at IS NULL AND e.next_offset > p.log_start_offset
          UNION ALL
          SELECT p.partition_id, c.base_offset, c.next_offset, p.log_start_offset
          FROM partitions p JOIN cold_ranges c ON c.partition_id = p.partition_id
          WHERE p.deleted_at IS NULL AND c.state = 'live' AND c.next_offset > p.log_start_offset
          UNION ALL
          SELECT partition_id, next_offset, next_offset, log_start_offset
          FROM partitions WHERE deleted_at IS NULL
        ), seen AS (
          SELECT partition_id, base_offset, log_start_offset,
            lag(next_offset) OVER by_offset IS NULL AS is_first,
            coalesce(lag(next_offset) OVER by_offset, log_start_offset) AS expected
          FROM ranges WINDOW by_offset AS (PARTITION BY partition_id ORDER BY base_offset, next_offset)
        )
        SELECT coalesce(t.name, p.topic_id::text) AS name, p.partition_index,
          s.expected AS from, s.base_offset AS to, (count(*) OVER ())::int AS total
        FROM seen s JOIN partitions p ON p.partition_id = s.partition_id
        LEFT JOIN topics t ON t.topic_id = p.topic_id
        WHERE CASE WHEN s.is_first THEN s.base_offset > s.log_start_offset
              ELSE s.base_offset <> s.expected END
        ORDER BY name, p.partition_index, s.base_offset LIMIT ${listedMax}::int`,
    );
    return listed(rows, (row) => ({
      topic: row.name,
      partitionIndex: row.partition_index,
      kind: row.to > row.from ? 'gap' : 'overlap',
      from: Math.min(row.from, row.to),
      to: Math.max(row.from, row.to),
    }));
  }

  /** Where an offset of a live topic is. `readCold` reads what a range has. */
  locate(
    place: { topic: string; partitionIndex: number; offset: number },
    readCold: (range: ColdRangeRow) => Promise<readonly ColdExtent[]>,
  ): Promise<LocatedOffset> {
    return this.#database.read((sql) => locateOffset(sql, place, readCold));
  }

  close(): Promise<void> {
    return this.#database.close();
  }
}
