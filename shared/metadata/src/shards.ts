import { invariant, OperatingError } from '@kafscale/core';
import type { Clock } from '@kafscale/core';
import type postgres from 'postgres';

import type { Database, Sql } from './database.js';
import type { AcquireResult, Lease, LeaseGrant } from './store-types.js';

/**
 * Locks the shard's row against a takeover until the end of the transaction; finds no row when the
 * epoch is not the shard's any more. KEY SHARE conflicts with the FOR UPDATE of an acquisition and
 * with nothing else: renewals and other commits pass.
 */
export function fenceShard(sql: Sql, lease: Lease): postgres.PendingQuery<{ shard_id: number }[]> {
  return sql<{ shard_id: number }[]>`
    SELECT shard_id FROM shards WHERE shard_id = ${lease.shardId} AND epoch = ${lease.epoch}
    FOR KEY SHARE`;
}

export function requireLease(rows: readonly unknown[], lease: Lease): void {
  if (rows.length === 0) throw leaseLost(lease);
}

export async function acquireShard(
  database: Database,
  clock: Clock,
  request: { shardId: number; instanceId: string; durationMs: number },
): Promise<AcquireResult> {
  const { shardId, instanceId, durationMs } = request;
  const deadlineMs = clock.monotonicMs() + durationMs;
  return database.transaction(async ({ sql }) => {
    // Waits for the commits of the present owner that hold the row FOR KEY SHARE. A statement of its
    // own, because an UPDATE alone would not conflict with them.
    await sql`SELECT shard_id FROM shards WHERE shard_id = ${shardId} FOR UPDATE`;
    const taken = await sql<{ epoch: number }[]>`
      UPDATE shards SET
        owner_instance_id = ${instanceId},
        epoch = epoch + 1,
        lease_expires_at = clock_timestamp() + ${durationMs}::float8 * interval '1 millisecond'
      WHERE shard_id = ${shardId}
        AND (owner_instance_id IS NULL OR owner_instance_id = ${instanceId}
             OR lease_expires_at <= clock_timestamp())
      RETURNING epoch`;
    const [row] = taken;
    if (row !== undefined) {
      return { kind: 'acquired', lease: { shardId, epoch: row.epoch, deadlineMs } };
    }
    return readHolder(sql, shardId);
  });
}

async function readHolder(sql: Sql, shardId: number): Promise<AcquireResult> {
  const rows = await sql<{ owner: string; expires_in_ms: number }[]>`
    SELECT owner_instance_id AS owner,
      greatest(0, extract(epoch FROM lease_expires_at - clock_timestamp()) * 1000)::float8
        AS expires_in_ms
    FROM shards WHERE shard_id = ${shardId}`;
  const [row] = rows;
  if (row === undefined) throw new OperatingError('SHARD_UNKNOWN', `there is no shard ${shardId}`);
  return { kind: 'held', ownerInstanceId: row.owner, expiresInMs: row.expires_in_ms };
}

/** An expired lease that nobody took can be renewed: the epoch proves that nobody wrote meanwhile. */
export async function renewShard(
  database: Database,
  clock: Clock,
  request: { lease: Lease; durationMs: number },
): Promise<LeaseGrant> {
  const { lease, durationMs } = request;
  invariant(durationMs > 0, 'a lease has a duration');
  const deadlineMs = clock.monotonicMs() + durationMs;
  const rows = await database.write(
    (sql) => sql`
      UPDATE shards SET
        lease_expires_at = clock_timestamp() + ${durationMs}::float8 * interval '1 millisecond'
      WHERE shard_id = ${lease.shardId} AND epoch = ${lease.epoch}
        AND owner_instance_id IS NOT NULL
      RETURNING epoch`,
  );
  requireLease(rows, lease);
  return { shardId: lease.shardId, epoch: lease.epoch, deadlineMs };
}

export async function releaseShard(database: Database, lease: Lease): Promise<void> {
  await database.write(
    (sql) => sql`
      UPDATE shards SET owner_instance_id = NULL, lease_expires_at = NULL
      WHERE shard_id = ${lease.shardId} AND epoch = ${lease.epoch}`,
  );
}

function leaseLost(lease: Lease): OperatingError {
  return new OperatingError(
    'SHARD_LEASE_LOST',
    `epoch ${lease.epoch} of shard ${lease.shardId} has ended`,
    { retriable: true },
  );
}
