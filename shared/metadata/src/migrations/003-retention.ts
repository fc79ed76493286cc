import type { Migration } from './migration.js';

/** What retention and garbage collection find their work by. */
export const retentionMigration: Migration = {
  version: 3,
  name: 'retention',
  sql: `
-- Marked segments wait for minutes: whoever looks for unmarked ones must not step over them.
DROP INDEX segments_garbage;
CREATE INDEX segments_unmarked_garbage ON segments (shard_id, committed_at)
  WHERE live_extents = 0 AND marked_at IS NULL;
CREATE INDEX segments_marked_garbage ON segments (shard_id, marked_at)
  WHERE live_extents = 0 AND marked_at IS NOT NULL;

ALTER TABLE partitions ADD CONSTRAINT partitions_size_bytes CHECK (size_bytes >= 0);

-- How far the search for objects without a row has come. It goes through the bucket in 256 parts.
CREATE TABLE orphan_sweep (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  next_part integer NOT NULL CHECK (next_part BETWEEN 0 AND 255),
  -- When part 0 is due, or was.
  starts_at timestamptz NOT NULL
);
INSERT INTO orphan_sweep (next_part, starts_at) VALUES (0, now() + interval '1 day');
`,
};
