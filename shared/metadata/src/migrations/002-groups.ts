import type { Migration } from './migration.js';

/** Consumer groups and their committed offsets. */
export const groupsMigration: Migration = {
  version: 2,
  name: 'groups',
  sql: `
CREATE TABLE consumer_groups (
  shard_id         integer NOT NULL,
  group_id         text NOT NULL,
  generation_id    integer NOT NULL,
  -- NULL: nobody ever joined; the group has offsets only.
  protocol_type    text,
  member_count     integer NOT NULL,
  -- JSON: protocol, leader, members with their subscriptions and assignments.
  state            text NOT NULL,
  -- When the group was last written; for an empty group the time that its offsets expire from.
  state_changed_at timestamptz NOT NULL,
  -- Order of the writes: a transaction that outlives its connection never undoes a later one.
  writer_epoch     bigint NOT NULL,
  writer_sequence  bigint NOT NULL,
  PRIMARY KEY (shard_id, group_id)
) WITH (fillfactor = 70);
-- The groups whose sessions a new owner must time.
CREATE INDEX consumer_groups_with_members ON consumer_groups (shard_id, group_id)
  WHERE member_count > 0;

-- By topic id: offsets of a deleted topic say nothing about its successor of the same name.
CREATE TABLE group_offsets (
  shard_id         integer NOT NULL,
  group_id         text NOT NULL,
  topic_id         uuid NOT NULL,
  partition_index  integer NOT NULL,
  committed_offset bigint NOT NULL,
  -- -1: the client did not say.
  leader_epoch     integer NOT NULL,
  -- Bytes, because a client gets back exactly what it sent, U+0000 included.
  metadata         bytea NOT NULL,
  committed_at     timestamptz NOT NULL,
  writer_epoch     bigint NOT NULL,
  writer_sequence  bigint NOT NULL,
  PRIMARY KEY (shard_id, group_id, topic_id, partition_index)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX group_offsets_by_topic ON group_offsets (topic_id);
`,
};
