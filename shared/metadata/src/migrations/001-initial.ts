import type { Migration } from './migration.js';

/**
 * No foreign keys on purpose: they cost a lookup and a row lock per inserted index row. What they
 * would promise, the commit transaction checks under its own locks.
 */
export const initialMigration: Migration = {
  version: 1,
  name: 'initial',
  sql: `
CREATE TABLE cluster (
  singleton   boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  cluster_id  text NOT NULL,
  -- Raised by a recovery from the bucket; commits of another incarnation are fenced.
  incarnation integer NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE shards (
  shard_id          integer PRIMARY KEY,
  owner_instance_id uuid,
  -- Raised by every acquisition. Commits lock the row FOR KEY SHARE, an acquisition FOR UPDATE.
  epoch             bigint NOT NULL DEFAULT 0,
  lease_expires_at  timestamptz
) WITH (fillfactor = 50);

-- Kafka broker ids, one per advertised address for ever.
CREATE TABLE brokers (
  broker_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  host      text NOT NULL,
  port      integer NOT NULL,
  UNIQUE (host, port)
);

-- One row per process start; a node id never comes back.
CREATE TABLE nodes (
  node_id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  instance_id     uuid NOT NULL UNIQUE,
  roles           text[] NOT NULL,
  zone            text NOT NULL,
  internal_url    text NOT NULL,
  advertised_host text,
  advertised_port integer,
  broker_id       integer,
  started_at      timestamptz NOT NULL,
  heartbeat_at    timestamptz NOT NULL,
  state           text NOT NULL CHECK (state IN ('live', 'dead', 'left'))
) WITH (fillfactor = 70);
CREATE INDEX nodes_live ON nodes (node_id) WHERE state = 'live';

CREATE TABLE producer_ids (
  singleton        boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  next_producer_id bigint NOT NULL
);

CREATE TABLE topics (
  topic_id        uuid PRIMARY KEY,
  name            text NOT NULL,
  -- Kafka refuses names that differ only in these two characters (its metric names collide).
  collision_name  text NOT NULL GENERATED ALWAYS AS (replace(name, '.', '_')) STORED,
  shard_id        integer NOT NULL,
  partition_count integer NOT NULL,
  configs         jsonb NOT NULL,
  created_at      timestamptz NOT NULL,
  -- The row of a deleted topic stays: its name decides the producer_state_floor of its successors.
  deleted_at      timestamptz
);
CREATE UNIQUE INDEX topics_live_name ON topics (collision_name) WHERE deleted_at IS NULL;
CREATE INDEX topics_name ON topics (name);

CREATE TABLE partitions (
  partition_id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  topic_id             uuid NOT NULL,
  partition_index      integer NOT NULL,
  shard_id             integer NOT NULL,
  leader_epoch         integer NOT NULL,
  log_start_offset     bigint NOT NULL DEFAULT 0,
  next_offset          bigint NOT NULL DEFAULT 0,
  -- Greatest record timestamp ever written, -1 before the first.
  max_timestamp_ms     bigint NOT NULL DEFAULT -1,
  -- Bytes of the live extents.
  size_bytes           bigint NOT NULL DEFAULT 0,
  -- Producer ids up to this one may have written here, or to a partition of this name, without a
  -- row in producers: their first sequence may be anything. Beyond it, it is 0.
  producer_state_floor bigint NOT NULL,
  deleted_at           timestamptz,
  UNIQUE (topic_id, partition_index),
  CHECK (log_start_offset >= 0 AND log_start_offset <= next_offset)
) WITH (fillfactor = 70);
CREATE INDEX partitions_deleted ON partitions (shard_id, partition_id) WHERE deleted_at IS NOT NULL;

CREATE TABLE segments (
  segment_id   uuid PRIMARY KEY,
  shard_id     integer NOT NULL,
  node_id      integer NOT NULL,
  incarnation  integer NOT NULL,
  birth_ms     bigint NOT NULL,
  committed_at timestamptz NOT NULL,
  size_bytes   bigint NOT NULL,
  -- Rows of extents that refer to this segment; 0 makes it garbage.
  live_extents integer NOT NULL CHECK (live_extents >= 0),
  -- What a repeated commit is answered.
  answer       text NOT NULL,
  -- Set by the garbage collector: mark, wait, delete, forget.
  marked_at    timestamptz
);
CREATE INDEX segments_garbage ON segments (shard_id, committed_at) WHERE live_extents = 0;

CREATE TABLE extents (
  partition_id            integer NOT NULL,
  base_offset             bigint NOT NULL,
  next_offset             bigint NOT NULL,
  segment_id              uuid NOT NULL,
  position                bigint NOT NULL,
  length                  bigint NOT NULL,
  skipped_batches         integer[],
  first_timestamp_ms      bigint NOT NULL,
  max_timestamp_ms        bigint NOT NULL,
  -- Greatest max_timestamp_ms of the partition up to and with this row: ascends with base_offset.
  prefix_max_timestamp_ms bigint NOT NULL,
  absolute_offsets        boolean NOT NULL DEFAULT false,
  PRIMARY KEY (partition_id, base_offset),
  CHECK (base_offset < next_offset)
);
CREATE INDEX extents_by_timestamp
  ON extents (partition_id, prefix_max_timestamp_ms, base_offset);
CREATE INDEX extents_by_segment ON extents (segment_id);

CREATE TABLE producers (
  partition_id   integer NOT NULL,
  producer_id    bigint NOT NULL,
  producer_epoch smallint NOT NULL,
  -- The last 5 batches, oldest first: base sequence, last sequence, base offset, max timestamp each.
  batches        bigint[] NOT NULL,
  updated_at     timestamptz NOT NULL,
  PRIMARY KEY (partition_id, producer_id)
) WITH (fillfactor = 70);

-- A pair assertion: what the program counted on must be what the statement changed.
CREATE FUNCTION kafscale_expect(actual bigint, expected bigint, what text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
  IF actual IS DISTINCT FROM expected THEN
    RAISE EXCEPTION '%: % rows, expected %', what, actual, expected USING ERRCODE = 'KFS01';
  END IF;
END $$;

-- Hot tables: dead rows are cleaned up long before a fifth of them is dead.
ALTER TABLE partitions SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE producers SET (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE extents SET (autovacuum_vacuum_scale_factor = 0.02,
                         autovacuum_vacuum_insert_scale_factor = 0.1);
ALTER TABLE segments SET (autovacuum_vacuum_scale_factor = 0.02);
`,
};
