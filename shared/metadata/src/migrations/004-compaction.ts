import type { Migration } from './migration.js';

/**
 * What segment compaction looks for: fresh segments in commit order, and small merged extents. Both
 * indexes shrink as it works; commits pay for one small entry per segment, none per extent.
 */
export const compactionMigration: Migration = {
  version: 4,
  name: 'compaction',
  sql: `
-- true: made by merging; its extents have absolute offsets, and no ingest node wrote it.
ALTER TABLE segments ADD COLUMN is_compacted boolean NOT NULL DEFAULT false;

-- A segment whose extents are 4 MiB on average is as good as a merged one.
CREATE INDEX segments_to_merge ON segments (shard_id, committed_at, segment_id)
  WHERE NOT is_compacted AND live_extents > 0 AND size_bytes < live_extents * 4194304::bigint;

CREATE INDEX extents_to_merge ON extents (partition_id, base_offset)
  WHERE absolute_offsets AND length < 16777216;
`,
};
