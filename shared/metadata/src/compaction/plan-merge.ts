import { invariant } from '@kafscale/core';

import { textArray } from '../arrays.js';
import type { Database, Sql } from '../database.js';
import { chooseGrowingRuns, splitIntoRuns } from './choose-runs.js';
import { PartitionMerge } from './partition-rows.js';
import type { PartitionRows } from './partition-rows.js';
import type {
  FreshMergeRequest,
  MergeBacklog,
  MergeLimits,
  MergePlan,
  MergeRun,
  SmallMergeRequest,
} from './types.js';

const backlogSegmentsMax = 20_000;
/** Rows of so many bytes are final. */
const finalRowBytes = 16 * 1024 * 1024;
/**
 * Of a row in a segment of several partitions, so that it is merged again: final rows get segments of
 * their own, whose rows can leave the store with them (cold ranges). Four of them are final.
 */
const sharedRunBytesMax = 8 * 1024 * 1024;

interface SegmentRow {
  readonly segment_id: string;
  readonly size_bytes: number;
  readonly live_extents: number;
}

/**
 * The oldest fresh segments, whole: each is read with one request, and what it holds of all
 * partitions goes to the same new segment. Takes no locks; the swap finds out what has changed.
 */
export async function planFreshMerge(
  database: Database,
  request: FreshMergeRequest,
): Promise<MergePlan | null> {
  return database.read(async (sql) => {
    const segments = takeWithin(await selectFreshSegments(sql, request), request);
    if (!isEnough(segments, request)) return null;
    const segmentIds = segments.map((segment) => segment.segment_id);
    const [found, clock] = await Promise.all([
      selectRowsOfSegments(sql, segmentIds),
      readClock(sql),
    ]);
    const runs: MergeRun[] = [];
    for (const partition of found) {
      const merge = new PartitionMerge(partition);
      const bytesMax = found.length > 1 ? sharedRunBytesMax : Infinity;
      const ranges = splitIntoRuns(merge.rows, merge.bounds({ bytesMax, rowsMax: Infinity }));
      for (const range of ranges) runs.push(merge.run(range));
    }
    // What is left out stays where it is, and is found again.
    return planOf('fresh', { segmentIds, runs: runs.slice(0, request.runsMax), ...clock });
  });
}

/**
 * Runs of small extents that earlier merges left, of the partitions that have the most of them. Rows of
 * 16 MiB and more are final.
 */
export async function planSmallMerge(
  database: Database,
  request: SmallMergeRequest,
): Promise<MergePlan | null> {
  return database.read(async (sql) => {
    const found = await selectSmallRows(sql, request);
    // Most looks end here.
    if (found.length === 0) return null;
    const clock = await readClock(sql);
    const segments = new SegmentNumbers();
    const excluded = new Set(request.excludedSegmentIds);
    const runs: MergeRun[] = [];
    const { bytesMax } = request;
    // Each row may be in a segment of its own.
    const rowsMax = Math.min(request.rowsMax, request.segmentsMax);
    const left = { bytes: bytesMax, rows: request.rowsMax, runs: request.runsMax };
    for (const { segment_ids: segmentIds, ...partition } of found) {
      const merge = new PartitionMerge(partition);
      for (const range of chooseGrowingRuns(merge.rows, merge.bounds({ bytesMax, rowsMax }))) {
        const ids = segmentIds.slice(range.from, range.to);
        const run = merge.run(range);
        if (ids.some((id) => excluded.has(id))) continue;
        if (run.bytes > left.bytes || run.rowCount > left.rows || left.runs === 0) continue;
        if (segments.countWith(ids) > request.segmentsMax) continue;
        if (run.bytes >= finalRowBytes) {
          if (runs.length > 0) continue;
          const final = segments.number(run, ids);
          return planOf('merged', { segmentIds: segments.ids, runs: [final], ...clock });
        }
        left.bytes -= run.bytes;
        left.rows -= run.rowCount;
        left.runs -= 1;
        runs.push(segments.number(run, ids));
      }
    }
    return planOf('merged', { segmentIds: segments.ids, runs, ...clock });
  });
}

/** What waits to be merged for the first time. Looks at a bounded number of segments. */
export async function readMergeBacklog(
  database: Database,
  request: { readonly shardId: number; readonly graceMs: number },
): Promise<MergeBacklog> {
  const rows = await database.read(
    (sql) => sql<MergeBacklog[]>`
      SELECT count(*)::int AS segments, coalesce(sum(live_extents), 0)::float8 AS rows,
             coalesce(sum(size_bytes), 0)::float8 AS bytes
      FROM (
        SELECT live_extents, size_bytes FROM segments
        WHERE shard_id = ${request.shardId} AND ${isFresh(sql, request.graceMs)}
        ORDER BY committed_at, segment_id LIMIT ${backlogSegmentsMax}::int
      ) AS waiting`,
  );
  const [backlog] = rows;
  invariant(backlog !== undefined, 'an aggregate has one row');
  return backlog;
}

function selectFreshSegments(sql: Sql, request: FreshMergeRequest) {
  return sql<SegmentRow[]>`
    SELECT segment_id, size_bytes, live_extents FROM segments
    WHERE shard_id = ${request.shardId} AND ${isFresh(sql, request.graceMs)}
      AND segment_id <> ALL(${textArray(request.excludedSegmentIds)}::uuid[])
    ORDER BY committed_at, segment_id LIMIT ${request.segmentsMax}::int`;
}

/** As the predicate of the index segments_to_merge has it. */
function isFresh(sql: Sql, graceMs: number) {
  return sql`NOT is_compacted AND live_extents > 0 AND live_extents > cold_extents
    AND size_bytes < live_extents * 4194304::bigint
    AND committed_at < clock_timestamp() - ${graceMs}::float8 * interval '1 millisecond'`;
}

/** From the oldest on, as many as fit; at least one. */
function takeWithin(candidates: readonly SegmentRow[], bounds: MergeLimits): SegmentRow[] {
  const taken: SegmentRow[] = [];
  let bytes = 0;
  let rows = 0;
  for (const segment of candidates) {
    bytes += segment.size_bytes;
    rows += segment.live_extents;
    if (taken.length > 0 && (bytes > bounds.bytesMax || rows > bounds.rowsMax)) break;
    taken.push(segment);
  }
  return taken;
}

function isEnough(segments: readonly SegmentRow[], request: FreshMergeRequest): boolean {
  const bytes = segments.reduce((sum, segment) => sum + segment.size_bytes, 0);
  const rows = segments.reduce((sum, segment) => sum + segment.live_extents, 0);
  return (
    segments.length >= request.segmentsMin || bytes >= request.bytesMin || rows >= request.rowsMin
  );
}

/** Rows below the log start are retention's, rows of deleted topics the purge's. */
function selectRowsOfSegments(sql: Sql, segmentIds: readonly string[]) {
  return sql<PartitionRows[]>`
    SELECT ${partitionColumns(sql)},
      string_agg(concat_ws(',', e.base_offset, e.next_offset, c.number - 1, e.position, e.length,
                           e.max_timestamp_ms, e.absolute_offsets::int), ','
                 ORDER BY e.base_offset) AS numbers,
      ${skippedColumn(sql)} AS skipped
    FROM unnest(${textArray(segmentIds)}::uuid[]) WITH ORDINALITY AS c (segment_id, number)
    JOIN extents e ON e.segment_id = c.segment_id
    JOIN partitions p ON p.partition_id = e.partition_id
    JOIN topics t ON t.topic_id = p.topic_id
    WHERE p.deleted_at IS NULL AND e.next_offset > p.log_start_offset
    GROUP BY p.partition_id, t.topic_id ORDER BY p.partition_id`;
}

function selectSmallRows(sql: Sql, request: SmallMergeRequest) {
  return sql<(PartitionRows & { readonly segment_ids: readonly string[] })[]>`
    WITH crowded AS (
      SELECT e.partition_id, count(*) AS extents
      FROM extents e JOIN partitions p ON p.partition_id = e.partition_id
      WHERE e.absolute_offsets AND e.length < 16777216
        AND p.shard_id = ${request.shardId} AND p.deleted_at IS NULL
      GROUP BY e.partition_id HAVING count(*) >= 4
      ORDER BY extents DESC, e.partition_id LIMIT ${request.partitionsMax}::int
    )
    SELECT ${partitionColumns(sql)},
      string_agg(concat_ws(',', e.base_offset, e.next_offset, 0, e.position, e.length,
                           e.max_timestamp_ms, e.absolute_offsets::int), ','
                 ORDER BY e.base_offset) AS numbers,
      NULL AS skipped,
      json_agg(e.segment_id ORDER BY e.base_offset) AS segment_ids
    FROM crowded c
    JOIN partitions p ON p.partition_id = c.partition_id
    JOIN topics t ON t.topic_id = p.topic_id
    JOIN extents e ON e.partition_id = c.partition_id
    WHERE e.absolute_offsets AND e.length < 16777216 AND e.next_offset > p.log_start_offset
    GROUP BY p.partition_id, t.topic_id, c.extents
    ORDER BY c.extents DESC, p.partition_id`;
}

function partitionColumns(sql: Sql) {
  return sql`p.partition_id, p.topic_id, p.partition_index, p.leader_epoch,
    t.configs ->> 'retention.ms' AS retention_ms, t.configs ->> 'retention.bytes' AS retention_bytes`;
}

function skippedColumn(sql: Sql) {
  return sql`(json_object_agg(e.base_offset, e.skipped_batches)
    FILTER (WHERE e.skipped_batches IS NOT NULL))::text`;
}

interface PlanClock {
  readonly birthMs: number;
  readonly incarnation: number;
}

async function readClock(sql: Sql): Promise<PlanClock> {
  const [row] = await sql<{ incarnation: number; now_ms: number }[]>`
    SELECT incarnation, (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now_ms
    FROM cluster`;
  invariant(row !== undefined, 'there is a cluster row');
  return { birthMs: Math.floor(row.now_ms), incarnation: row.incarnation };
}

function planOf(
  kind: MergePlan['kind'],
  parts: PlanClock & Pick<MergePlan, 'segmentIds' | 'runs'>,
): MergePlan | null {
  if (parts.runs.length === 0) return null;
  return {
    kind,
    ...parts,
    rowCount: parts.runs.reduce((sum, run) => sum + run.rowCount, 0),
    bytes: parts.runs.reduce((sum, run) => sum + run.bytes, 0),
  };
}

/** Numbers the segments of the chosen runs, in the order in which they are met. */
class SegmentNumbers {
  readonly #numbers = new Map<string, number>();

  get ids(): string[] {
    return [...this.#numbers.keys()];
  }

  countWith(ids: readonly string[]): number {
    return this.#numbers.size + new Set(ids.filter((id) => !this.#numbers.has(id))).size;
  }

  number(run: MergeRun, ids: readonly string[]): MergeRun {
    const rows = run.rows.slice();
    const width = rows.length / ids.length;
    for (const [index, id] of ids.entries()) {
      const number = this.#numbers.get(id) ?? this.#numbers.size;
      this.#numbers.set(id, number);
      rows[index * width + 1] = number;
    }
    return { ...run, rows };
  }
}
