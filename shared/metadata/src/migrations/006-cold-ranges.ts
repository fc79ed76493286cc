import type { Migration } from './migration.js';

/** Old pieces of the index leave the store for objects in the bucket; a row remains of each piece. */
export const coldRangesMigration: Migration = {
  version: 6,
  name: 'cold ranges',
  sql: `
CREATE TABLE cold_ranges (
  object_id     uuid PRIMARY KEY,
  shard_id      integer NOT NULL,
  partition_id  integer NOT NULL,
  base_offset   bigint NOT NULL,
  next_offset   bigint NOT NULL,
  extents       integer NOT NULL,
  -- Bytes of records: the lengths of its extents.
  size_bytes    bigint NOT NULL,
  max_timestamp_ms        bigint NOT NULL,
  prefix_max_timestamp_ms bigint NOT NULL,
  -- Its first extent, for retention; the time is that of the commit if its records have none.
  first_next_offset  bigint NOT NULL,
  first_length       bigint NOT NULL,
  first_timestamp_ms bigint NOT NULL,
  -- planned: the object may be there, and counts for nothing. live: its extents are in the log.
  -- retired: its extents are rows again, or in another object; the object is garbage.
  state         text NOT NULL CHECK (state IN ('planned', 'live', 'retired')),
  changed_at    timestamptz NOT NULL,
  CHECK (base_offset < next_offset AND extents > 0)
);
CREATE UNIQUE INDEX cold_ranges_live ON cold_ranges (partition_id, base_offset)
  WHERE state = 'live';
CREATE INDEX cold_ranges_not_live ON cold_ranges (shard_id, changed_at) WHERE state <> 'live';

-- How many of the live extents are in cold ranges. A segment with one extent leaves with it.
ALTER TABLE segments ADD COLUMN cold_extents integer NOT NULL DEFAULT 0;
ALTER TABLE segments ADD CONSTRAINT segments_cold_extents
  CHECK (cold_extents >= 0 AND cold_extents <= live_extents);

-- Whatever was born before the watermark has been through a complete sweep: no sweep deletes it any
-- more, so that a segment of a cold range, which has no row, is never taken for an orphan.
ALTER TABLE orphan_sweep ADD COLUMN watermark_ms bigint NOT NULL DEFAULT 0;
-- Of the sweep that is under way: database time of its beginning, and whether it left something.
ALTER TABLE orphan_sweep ADD COLUMN begun_ms bigint;
ALTER TABLE orphan_sweep ADD COLUMN has_failed boolean NOT NULL DEFAULT false;
`,
};
