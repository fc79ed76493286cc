import { randomUUID } from 'node:crypto';

import { sleep } from '@kafscale/core';
import { describe, expect, it } from 'vitest';

import type { AcquireResult, LeaseGrant } from '../src/index.js';
import { useTestDatabases } from './support/test-databases.js';

const databases = useTestDatabases();
const lost = { code: 'SHARD_LEASE_LOST', outcome: 'failed' };

function leaseOf(result: AcquireResult): LeaseGrant {
  if (result.kind !== 'acquired') throw new Error('the shard is held');
  return result.lease;
}

describe('a shard', () => {
  it('is held by one instance until it is released', async () => {
    const store = await databases.openStore();
    const [one, two] = [randomUUID(), randomUUID()];
    const lease = leaseOf(await store.acquireShard(0, one, 60_000));
    const refused = await store.acquireShard(0, two, 60_000);
    expect(refused).toMatchObject({ kind: 'held', ownerInstanceId: one });
    if (refused.kind === 'held') {
      expect(refused.expiresInMs).toBeGreaterThan(0);
      expect(refused.expiresInMs).toBeLessThanOrEqual(60_000);
    }
    await store.releaseShard(lease);
    await expect(store.renewShard(lease, 60_000)).rejects.toMatchObject(lost);
    const next = leaseOf(await store.acquireShard(0, two, 60_000));
    expect(next.epoch).toBe(lease.epoch + 1);
  });

  it('goes over when the lease has expired by database time, and not before', async () => {
    const url = await databases.createUrl();
    const store = await databases.openStore({ url });
    const lease = leaseOf(await store.acquireShard(0, randomUUID(), 600_000));
    const other = randomUUID();
    const passes = (ms: number) =>
      databases.query(
        url,
        `UPDATE shards SET lease_expires_at = lease_expires_at - ${ms} * interval '1 millisecond'`,
      );
    await passes(300_000);
    expect((await store.acquireShard(0, other, 60_000)).kind).toBe('held');
    await passes(300_000);
    const taken = leaseOf(await store.acquireShard(0, other, 60_000));
    expect(taken.epoch).toBe(lease.epoch + 1);
    await expect(store.renewShard(lease, 60_000)).rejects.toMatchObject(lost);
  });

  it('is kept by renewals, also by one that comes late while nobody took it', async () => {
    const store = await databases.openStore();
    const lease = leaseOf(await store.acquireShard(0, randomUUID(), 1));
    await sleep(20);
    const renewed = await store.renewShard(lease, 60_000);
    expect(renewed.epoch).toBe(lease.epoch);
    expect((await store.acquireShard(0, randomUUID(), 60_000)).kind).toBe('held');
  });

  it('raises its epoch when its own instance acquires it again', async () => {
    const store = await databases.openStore();
    const instanceId = randomUUID();
    const first = leaseOf(await store.acquireShard(0, instanceId, 60_000));
    const second = leaseOf(await store.acquireShard(0, instanceId, 60_000));
    expect(second.epoch).toBe(first.epoch + 1);
    await expect(store.renewShard(first, 60_000)).rejects.toMatchObject(lost);
    // A release by the old epoch does not end the new one.
    await store.releaseShard(first);
    expect((await store.acquireShard(0, randomUUID(), 60_000)).kind).toBe('held');
  });

  it('has a deadline that counts from before the call', async () => {
    let nowMs = 1000;
    const clock = { monotonicMs: () => nowMs, wallMs: () => 0 };
    const store = await databases.openStore({ clock });
    const acquiring = store.acquireShard(0, randomUUID(), 500);
    nowMs = 9000;
    const lease = leaseOf(await acquiring);
    expect(lease.deadlineMs).toBe(1500);
    const renewing = store.renewShard(lease, 700);
    nowMs = 20_000;
    expect((await renewing).deadlineMs).toBe(9700);
  });

  it('is one of as many as were asked for, each on its own', async () => {
    const store = await databases.openStore({ shardCount: 3 });
    for (const shardId of [0, 1, 2]) {
      leaseOf(await store.acquireShard(shardId, randomUUID(), 60_000));
    }
    await expect(store.acquireShard(3, randomUUID(), 60_000)).rejects.toMatchObject({
      code: 'SHARD_UNKNOWN',
    });
  });

  it('goes to exactly one of many that want it at once', async () => {
    const store = await databases.openStore();
    const results = await Promise.all(
      Array.from({ length: 20 }, () => store.acquireShard(0, randomUUID(), 60_000)),
    );
    expect(results.filter((result) => result.kind === 'acquired')).toHaveLength(1);
  });
});
