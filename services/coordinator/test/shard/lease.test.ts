import { randomUUID } from 'node:crypto';
import { limits } from '@kafscale/core';
import { describe, expect, it } from 'vitest';
import { OwnerProcess, query, Recorder, usePostgres } from './world.js';

const { database } = usePostgres();

/** By another, as soon as the lease has run out; its holder may renew it at any moment. */
async function takeOver(url: string): Promise<OwnerProcess> {
  const next = await OwnerProcess.open(url);
  while (next.owner.lease === null) {
    await query(url, "UPDATE shards SET lease_expires_at = now() - interval '1 second'");
    await next.keeper.start();
  }
  return next;
}

describe('the lease of a shard', () => {
  it('belongs to one coordinator; another stands by until it is given back', async () => {
    const url = await database();
    const first = await OwnerProcess.start(url);
    expect(first.owner.holds()).toBe(true);
    const second = await OwnerProcess.start(url);
    expect(second.owner.lease).toBeNull();
    expect(() => second.owner.feedPosition()).toThrow(
      expect.objectContaining({ code: 'SHARD_NOT_OWNED', retriable: true }),
    );
    const partitionId = await first.createTopic('events');
    await first.append(partitionId);
    const reader = new Recorder();
    first.owner.subscribe({ commits: true }, reader);
    await first.close();
    expect(reader.closed).toEqual(['the coordinator stops']);
    await second.keeper.start();
    expect(second.owner.holds()).toBe(true);
    expect(second.owner.byName('events')).toMatchObject({ partitions: [{ highWatermark: 1 }] });
  });

  it('stays with its instance over a restart that gave nothing back', async () => {
    const url = await database();
    const instanceId = randomUUID();
    const before = await OwnerProcess.start(url, instanceId);
    const { epoch } = before.owner.lease!;
    const after = await OwnerProcess.start(url, instanceId);
    expect(after.owner.lease).toMatchObject({ epoch: epoch + 1 });
  });

  it('allows answers from memory only before its deadline by the local clock; commits are fenced by the epoch', async () => {
    const process = await OwnerProcess.start(await database());
    const partitionId = await process.createTopic('events');
    const { deadlineMs } = process.owner.lease!;
    expect(deadlineMs - process.clock.monotonicMs()).toBeLessThanOrEqual(limits.leaseDurationMs);
    process.clock.shiftMs = limits.leaseDurationMs;
    expect(process.owner.holds()).toBe(false);
    expect(() => process.owner.feedPosition()).toThrow(
      expect.objectContaining({ code: 'SHARD_LEASE_EXPIRED', retriable: true }),
    );
    // Nobody else has taken the shard: the epoch proves it, and the commit stands.
    expect(await process.append(partitionId)).toMatchObject([{ kind: 'committed' }]);
    process.clock.shiftMs = 0;
    expect(process.owner.holds()).toBe(true);
  });

  it('taken by another while its holder slept: the sleeper writes nothing and stands by', async () => {
    const url = await database();
    const sleeper = await OwnerProcess.start(url);
    const partitionId = await sleeper.createTopic('events');
    const reader = new Recorder();
    sleeper.owner.subscribe({ commits: true }, reader);
    sleeper.ignoreDoubt();
    const next = await takeOver(url);
    expect(next.owner.holds()).toBe(true);
    await next.append(partitionId);

    const lost = { code: 'SHARD_LEASE_LOST', retriable: true, outcome: 'failed' };
    await expect(sleeper.append(partitionId)).rejects.toMatchObject(lost);
    expect(() => sleeper.owner.feedPosition()).toThrow(
      expect.objectContaining({ code: 'SHARD_NOT_OWNED' }),
    );
    expect(await query(url, 'SELECT next_offset::int FROM partitions')).toMatchObject([
      { next_offset: 1 },
    ]);
    await sleeper.keeper.start(); // the renewal that finds the lease lost
    expect(sleeper.owner.lease).toBeNull();
    expect(reader.kinds).toEqual(['snapshot']);
    expect(reader.closed).toHaveLength(1);
    expect(await next.append(partitionId)).toMatchObject([{ extents: [[{ baseOffset: 1 }]] }]);
  });

  it('is not given back by one who has lost it', async () => {
    const url = await database();
    const sleeper = await OwnerProcess.start(url);
    const next = await takeOver(url);
    await sleeper.close();
    expect(await query(url, 'SELECT owner_instance_id FROM shards')).toMatchObject([
      { owner_instance_id: next.instanceId },
    ]);
    expect(await next.createTopic('events')).toBeGreaterThan(0);
  });
});
