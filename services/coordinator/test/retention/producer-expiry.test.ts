import type { BatchCommit } from '@kafscale/cluster';
import { limits } from '@kafscale/core';
import { openRetentionStore } from '@kafscale/metadata';
import { describe, expect, it, vi } from 'vitest';
import { ProducerExpiry } from '../../src/retention/producer-expiry.js';
import { plainBatch, query, usePostgres } from '../shard/world.js';
import { RetentionWorld } from './world.js';

const { database } = usePostgres();
const hourMs = 3_600_000;
const outOfOrder = 45;

async function world() {
  const w = await RetentionWorld.start(await database());
  const { partitionIds } = await w.createTopic('events', {}, 2);
  const expiry = new ProducerExpiry({
    store: w.process.store,
    owner: w.process.owner,
    clock: w.process.clock,
    metrics: w.metrics,
  });
  const pass = (): Promise<void> => expiry.pass(new AbortController().signal);
  return { w, pass, one: partitionIds[0]!, two: partitionIds[1]! };
}

function numbered(producerId: number, baseSequence: number): BatchCommit {
  return { ...plainBatch(), producerId, producerEpoch: 0, baseSequence };
}

/** The offset, or the negated error code. */
async function send(w: RetentionWorld, partitionId: number, batch: BatchCommit): Promise<number> {
  const [answer] = await w.process.owner.commit([await w.process.segment(partitionId, batch)]);
  if (answer?.kind !== 'committed') throw new Error(answer?.kind);
  const { baseOffset, errorCode } = answer.extents[0]![0]!;
  return errorCode === 0 ? baseOffset : -errorCode;
}

/** Producers become older. */
async function age(w: RetentionWorld, days: number, where = 'true'): Promise<void> {
  await query(
    w.url,
    `UPDATE producers SET updated_at = updated_at - ${days} * interval '1 day' WHERE ${where}`,
  );
}

async function producers(w: RetentionWorld): Promise<string[]> {
  const rows = await query(
    w.url,
    `SELECT partition_id || '/' || producer_id AS key FROM producers ORDER BY 1`,
  );
  return rows.map((row) => String(row['key']));
}

describe('a producer that was silent for a week', () => {
  it('is forgotten, goes on with any sequence, and those that are not stay what they are', async () => {
    const { one, pass, two, w } = await world();
    for (const sequence of [0, 1, 2]) await send(w, one, numbered(7, sequence));
    await send(w, two, numbered(7, 0));
    await send(w, one, numbered(9, 0));
    await age(w, 8, `producer_id = 7 AND partition_id = ${one}`);
    await pass();
    expect(await producers(w)).toEqual([`${one}/9`, `${two}/7`]);
    expect(w.metrics.producers).toBe(1);
    // Another partition lacks nothing, nor does a producer that is kept, nor a newer one.
    expect(await send(w, two, numbered(7, 5))).toBe(-outOfOrder);
    expect(await send(w, one, numbered(9, 5))).toBe(-outOfOrder);
    expect(await send(w, one, numbered(10, 5))).toBe(-outOfOrder);
    const offset = await send(w, one, numbered(7, 3));
    expect(offset).toBe(4);
    expect(await send(w, one, numbered(7, 3))).toBe(offset);
    expect(await send(w, one, numbered(7, 5))).toBe(-outOfOrder);
  });

  it('is not forgotten if it wrote after it was found', async () => {
    const { one, w } = await world();
    await send(w, one, numbered(7, 0));
    await age(w, 8);
    const store = openRetentionStore(w.process.store);
    const idleMsMax = limits.producerIdExpirationMs;
    const found = await store.findIdleProducers({ after: null, idleMsMax, rowsMax: 10 });
    expect(found.expired).toEqual([{ partitionId: one, producerId: 7 }]);
    expect(await send(w, one, numbered(7, 1))).toBe(1);
    expect(await store.expireProducers(w.process.owner.lease!, found.expired, idleMsMax)).toBe(0);
    expect(await send(w, one, numbered(7, 1))).toBe(1);
  });
});

it('all pages of producers are looked at', async () => {
  const { one, w } = await world();
  for (let id = 1; id <= 7; id += 1) await send(w, one, numbered(id, 0));
  await age(w, 8, 'producer_id % 2 = 1');
  const store = openRetentionStore(w.process.store);
  const idleMsMax = limits.producerIdExpirationMs;
  const expired: number[] = [];
  let pages = 0;
  let page = await store.findIdleProducers({ after: null, idleMsMax, rowsMax: 3 });
  for (; ; pages += 1) {
    expired.push(...page.expired.map(({ producerId }) => producerId));
    if (page.last === null) break;
    page = await store.findIdleProducers({ after: page.last, idleMsMax, rowsMax: 3 });
  }
  expect(expired).toEqual([1, 3, 5, 7]);
  expect(pages).toBe(2);
});

it('nobody is looked for before the one that was silent for longest can have expired', async () => {
  const { one, pass, w } = await world();
  await send(w, one, numbered(7, 0));
  await age(w, 6);
  await pass();
  const read = vi.spyOn(w.process.store.database, 'read');
  w.process.clock.shiftMs += 23 * hourMs;
  await pass();
  expect(read).not.toHaveBeenCalled();
  w.process.clock.shiftMs += 2 * hourMs;
  await age(w, 2);
  await pass();
  expect(await producers(w)).toEqual([]);
});
