import type { Migration } from './migration.js';

/** What a recovery from the bucket leaves behind, and what the index in the bucket is written from. */
export const recoveryMigration: Migration = {
  version: 5,
  name: 'recovery',
  sql: `
-- Where leader epochs begin; epoch 0 begins at 0 and has no row. Only recoveries add some.
CREATE TABLE leader_epochs (
  partition_id integer NOT NULL,
  leader_epoch integer NOT NULL,
  start_offset bigint NOT NULL,
  PRIMARY KEY (partition_id, leader_epoch)
);

-- The producer ids up to this one are from before the last recovery. They may be anywhere in their
-- sequences, also in topics that the recovery did not know.
ALTER TABLE cluster ADD COLUMN producer_state_floor bigint NOT NULL DEFAULT -1;

-- true: from the bucket, and nothing was appended since. The producer may have gone on meanwhile.
ALTER TABLE producers ADD COLUMN is_restored boolean NOT NULL DEFAULT false;

-- What came after: objects that a recovery found and no manifest names. Garbage collection leaves
-- them alone for as long as they stand here.
CREATE TABLE unrecovered_segments (
  segment_id  uuid PRIMARY KEY,
  size_bytes  bigint NOT NULL,
  -- The incarnation that began with the recovery that found it.
  incarnation integer NOT NULL,
  found_at    timestamptz NOT NULL DEFAULT now()
);

-- A new owner of a shard finds what the last manifest can't have seen by time of commit.
CREATE INDEX segments_by_commit ON segments (shard_id, committed_at, segment_id);
`,
};
