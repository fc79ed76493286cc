import { randomUUID } from 'node:crypto';
import { limits } from '@kafscale/core';
import { openRetentionStore } from '@kafscale/metadata';
import { describe, expect, it, vi } from 'vitest';
import { OwnerProcess, query, Recorder, usePostgres } from '../shard/world.js';
import { RetentionWorld } from './world.js';

const { database } = usePostgres();
const hourMs = 3_600_000;

async function world(): Promise<RetentionWorld> {
  return RetentionWorld.start(await database());
}

describe('by time', () => {
  it('removes what is older than retention.ms, whole extents', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events', { 'retention.ms': String(2 * hourMs) });
    const [id] = partitionIds as [number];
    for (const ageMs of [5 * hourMs, 3 * hourMs, hourMs, 0]) await w.append(id, { ageMs });
    const recorder = new Recorder();
    w.process.owner.subscribe({ commits: true }, recorder);
    await w.pass();
    expect(w.head()).toEqual({ logStart: 20, end: 40 });
    expect(recorder.kinds).toEqual(['snapshot', 'logStart']);
    expect(await w.rows(id)).toEqual(['20-30', '30-40']);
    expect(w.metrics).toMatchObject({ extents: 2, bytes: 200, passes: 1 });
    expect(w.metrics.behindHistory[0]!.partitions).toBe(1);
    expect(w.metrics.behindHistory[0]!.overdueMs).toBeGreaterThan(2.9 * hourMs);
    expect(w.metrics.behindHistory.at(-1)).toEqual({ partitions: 0, overdueMs: 0 });
    expect(w.released).toBe(1);
    expect(await w.contradictions()).toEqual([]);
  });

  it('leaves rows that a reader may look up until every reader was told', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events', { 'retention.ms': '1000' });
    const [id] = partitionIds as [number];
    await w.append(id, { ageMs: hourMs });
    const store = openRetentionStore(w.process.store);
    const wishes = [{ partitionId: id, retentionMs: 1000, retentionBytes: -1 }];
    const first = await store.trim(w.process.owner.lease!, wishes, 100);
    expect(first).toMatchObject([{ logStartOffset: 10, moved: true, deadExtents: 0, more: true }]);
    expect(await w.rows(id)).toEqual(['0-10']);
    const second = await store.trim(w.process.owner.lease!, wishes, 100);
    expect(second).toMatchObject([{ moved: false, deadExtents: 1, deadBytes: 100, more: false }]);
    expect(await w.rows(id)).toEqual([]);
  });

  it('removes everything if everything is old, and the log goes on behind it', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events', { 'retention.ms': '1000' });
    const [id] = partitionIds as [number];
    await w.append(id, { ageMs: hourMs });
    await w.pass();
    expect(w.head()).toEqual({ logStart: 10, end: 10 });
    await w.append(id, { ageMs: hourMs });
    expect(w.head()).toEqual({ logStart: 10, end: 20 });
    // It was empty; what came has a time of its own.
    await w.pass();
    expect(w.head()).toEqual({ logStart: 20, end: 20 });
    expect(await w.contradictions()).toEqual([]);
  });

  it('goes by the time of the commit for records without timestamps', async () => {
    const w = await world();
    const { partitionIds, topicId } = await w.createTopic('events');
    const [id] = partitionIds as [number];
    await w.append(id, { ageMs: Infinity });
    await w.pass();
    expect(w.head()).toEqual({ logStart: 0, end: 10 });
    await query(w.url, `UPDATE segments SET committed_at = now() - interval '8 days'`);
    await w.alter(topicId, { 'retention.ms': String(7 * 24 * hourMs) });
    await w.alter(topicId, { 'retention.ms': String(7 * 24 * hourMs - 1) });
    await w.pass();
    expect(w.head()).toEqual({ logStart: 10, end: 10 });
  });
});

describe('by size', () => {
  it('removes the oldest while the rest is retention.bytes, per partition', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events', { 'retention.bytes': '250' }, 2);
    const [one, two] = partitionIds as [number, number];
    for (let count = 0; count < 5; count += 1) await w.append(one);
    for (let count = 0; count < 2; count += 1) await w.append(two);
    await w.pass();
    expect(w.head('events', 0)).toEqual({ logStart: 20, end: 50 });
    expect(w.head('events', 1)).toEqual({ logStart: 0, end: 20 });
    await w.append(one);
    await w.pass();
    expect(w.head('events', 0)).toEqual({ logStart: 30, end: 60 });
    expect(await w.contradictions()).toEqual([]);
  });
});

describe('a pass', () => {
  it('asks the database nothing while nothing can be due', async () => {
    const w = await world();
    const { partitionIds, topicId } = await w.createTopic('events', {
      'retention.ms': String(hourMs),
    });
    await w.createTopic('never-written');
    const [id] = partitionIds as [number];
    await w.append(id);
    await w.pass();
    const transactions = vi.spyOn(w.process.store.database, 'transaction');
    const reads = vi.spyOn(w.process.store.database, 'read');
    const writes = vi.spyOn(w.process.store.database, 'write');
    const queries = () =>
      transactions.mock.calls.length + reads.mock.calls.length + writes.mock.calls.length;
    await w.pass();
    expect(queries()).toBe(0);
    // More records do not make the oldest one expire sooner.
    await w.append(id);
    const before = queries();
    await w.pass();
    expect(queries()).toBe(before);
    // But time does, by the local clock: one look.
    w.process.clock.shiftMs += hourMs + 1000;
    await w.pass();
    expect(queries()).toBe(before + 1);
    // And so does a change of the topic.
    await w.alter(topicId, { 'retention.ms': '0' });
    await new Promise((resolve) => setTimeout(resolve, 5));
    await w.pass();
    expect(w.head()).toEqual({ logStart: 20, end: 20 });
    expect(w.metrics.passes).toBe(5);
  });

  it('goes on in steps until a long log is done, with turns for commits in between', async () => {
    const w = await world();
    const { partitionIds, topicId } = await w.createTopic('events', {}, 2);
    const [long, short] = partitionIds as [number, number];
    const { nodeId } = await w.process.registerNode();
    const rows = 3 * limits.retentionStepExtentsMin;
    await query(
      w.url,
      `INSERT INTO segments (segment_id, shard_id, node_id, incarnation, birth_ms, committed_at,
                             size_bytes, live_extents, answer)
       SELECT gen_random_uuid(), 0, ${nodeId}, 1, 1, now(), 100, 1, '[]'
       FROM generate_series(1, ${rows});
       INSERT INTO extents (partition_id, base_offset, next_offset, segment_id, position, length,
                            first_timestamp_ms, max_timestamp_ms, prefix_max_timestamp_ms)
       SELECT ${long}, n - 1, n, segment_id, 0, 7, 1, 1, 1
       FROM (SELECT segment_id, row_number() OVER () AS n FROM segments) numbered;
       UPDATE partitions SET next_offset = ${rows}, size_bytes = ${rows} * 7, max_timestamp_ms = 1
       WHERE partition_id = ${long}`,
    );
    const after = await w.restart();
    await after.append(short, { ageMs: 10 * hourMs });
    await after.alter(topicId, { 'retention.ms': String(hourMs) });
    const trims = vi.spyOn(after.process.store.database, 'transaction');
    await after.pass();
    expect(after.head('events', 0)).toEqual({ logStart: rows, end: rows });
    expect(after.head('events', 1)).toEqual({ logStart: 10, end: 10 });
    expect(after.metrics.extents).toBe(rows + 1);
    // A row is looked at twice; the first look shares the budget with the other partition.
    expect(trims.mock.calls.length).toBeGreaterThanOrEqual(6);
    expect(trims.mock.calls.length).toBeLessThanOrEqual(10);
    expect(await after.contradictions()).toEqual([]);
  });

  it('looks at more rows per step, the more commits add', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events', { 'retention.bytes': '0' });
    const [id] = partitionIds as [number];
    await w.append(id);
    const store = openRetentionStore(w.process.store);
    const trim = vi.spyOn(Object.getPrototypeOf(store) as typeof store, 'trim');
    await w.pass();
    expect(trim.mock.calls[0]![2]).toBe(limits.retentionStepExtentsMin);
    vi.spyOn(w.process.owner, 'extentsCommitted', 'get').mockReturnValue(5_001);
    await w.append(id);
    trim.mockClear();
    await w.pass();
    expect(trim.mock.calls[0]![2]).toBe(20_000);
    trim.mockRestore();
  });
});

describe('a process that dies', () => {
  it('between moving a log start and deleting the rows leaves them to the next one', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events', { 'retention.ms': '1000' });
    const [id] = partitionIds as [number];
    await w.append(id, { ageMs: hourMs });
    await w.append(id);
    const wishes = [{ partitionId: id, retentionMs: 1000, retentionBytes: -1 }];
    await openRetentionStore(w.process.store).trim(w.process.owner.lease!, wishes, 100);
    // Nothing but the database knows of it.
    const after = await w.restart();
    expect(after.head()).toEqual({ logStart: 10, end: 20 });
    expect(await after.rows(id)).toEqual(['0-10', '10-20']);
    await after.pass();
    expect(await after.rows(id)).toEqual(['10-20']);
    expect(await after.contradictions()).toEqual([]);
  });

  it('and comes back after another has taken the shard removes nothing', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events', { 'retention.ms': '1000' });
    const [id] = partitionIds as [number];
    await w.append(id, { ageMs: hourMs });
    w.process.ignoreDoubt();
    const other = await OwnerProcess.start(w.url, w.process.instanceId);
    await expect(w.pass()).rejects.toMatchObject({ code: 'SHARD_LEASE_LOST' });
    expect(await w.rows(id)).toEqual(['0-10']);
    expect(other.owner.byName('events')!.partitions[0]!.logStartOffset).toBe(0);
  });

  it('does not leave a log start behind that was told and not written', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events', { 'retention.ms': '1000' });
    const [id] = partitionIds as [number];
    await w.append(id, { ageMs: hourMs });
    await query(w.url, `ALTER TABLE partitions ADD CONSTRAINT stop CHECK (log_start_offset = 0)`);
    const recorder = new Recorder();
    w.process.owner.subscribe({ commits: true }, recorder);
    await expect(w.pass()).rejects.toMatchObject({ code: 'METADATA_FAILED' });
    expect(recorder.kinds).toEqual(['snapshot']);
    expect(w.head()).toEqual({ logStart: 0, end: 10 });
    await query(w.url, `ALTER TABLE partitions DROP CONSTRAINT stop`);
    await w.pass();
    expect(w.head()).toEqual({ logStart: 10, end: 10 });
  });
});

describe('deleting records', () => {
  it('moves the log start at once and the rows go with the next pass, but for the one it lies in', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events', {}, 2);
    const [one, two] = partitionIds as [number, number];
    for (let count = 0; count < 3; count += 1) await w.append(one);
    await w.append(two);
    const unknown = 999_999;
    const wish = (offset: number) => ({ partitionId: one, offset });
    const { owner } = w.process;
    expect(
      await owner.deleteRecords([
        wish(15),
        { partitionId: two, offset: -1 },
        { partitionId: unknown, offset: 0 },
      ]),
    ).toEqual([
      { kind: 'done', logStartOffset: 15, moved: true },
      { kind: 'done', logStartOffset: 10, moved: true },
      { kind: 'unknown' },
    ]);
    expect(w.head('events', 0)).toEqual({ logStart: 15, end: 30 });
    expect(w.head('events', 1)).toEqual({ logStart: 10, end: 10 });
    expect(await w.rows(one)).toEqual(['0-10', '10-20', '20-30']);
    w.retention.expect([one, two]);
    await w.pass();
    expect(await w.rows(one)).toEqual(['10-20', '20-30']);
    expect(await w.rows(two)).toEqual([]);
    expect(await w.contradictions()).toEqual([]);

    expect(await owner.deleteRecords([wish(3)])).toEqual([
      { kind: 'done', logStartOffset: 15, moved: false },
    ]);
    expect(await owner.deleteRecords([wish(31)])).toEqual([{ kind: 'outOfRange' }]);
    expect(await owner.deleteRecords([wish(-2)])).toEqual([{ kind: 'outOfRange' }]);
    expect(await owner.deleteRecords([wish(30)])).toMatchObject([{ logStartOffset: 30 }]);
    await owner.delete(owner.byName('events')!.topicId);
    expect(await owner.deleteRecords([wish(30)])).toEqual([{ kind: 'unknown' }]);
  });

  it('tells nobody when nothing moved', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events');
    const [id] = partitionIds as [number];
    await w.append(id);
    const recorder = new Recorder();
    w.process.owner.subscribe({ commits: true }, recorder);
    await w.process.owner.deleteRecords([{ partitionId: id, offset: 0 }]);
    await w.process.owner.deleteRecords([{ partitionId: id, offset: 11 }]);
    expect(recorder.kinds).toEqual(['snapshot']);
    await w.process.owner.deleteRecords([{ partitionId: id, offset: 1 }]);
    expect(recorder.kinds).toEqual(['snapshot', 'logStart']);
  });

  it('is told to producers in the answers of later commits', async () => {
    const w = await world();
    const { partitionIds } = await w.createTopic('events');
    const [id] = partitionIds as [number];
    await w.append(id);
    await w.process.owner.deleteRecords([{ partitionId: id, offset: 4 }]);
    expect(await w.process.append(id)).toMatchObject([
      { extents: [[{ baseOffset: 10, logStartOffset: 4 }]] },
    ]);
  });
});

it('the configs of a topic change for everybody, with its heads of now, and survive a restart', async () => {
  const w = await world();
  const { partitionIds, topicId } = await w.createTopic('events', { 'retention.ms': '5' });
  await w.append(partitionIds[0]!);
  const recorder = new Recorder();
  w.process.owner.subscribe({ commits: false }, recorder);
  await w.process.owner.alterConfigs(topicId, (current) => {
    expect([...current]).toEqual([['retention.ms', '5']]);
    return new Map([['max.message.bytes', '77']]);
  });
  expect(recorder.last).toMatchObject({
    events: [
      {
        kind: 'topic',
        topic: { settings: { messageBytesMax: 77 }, partitions: [{ highWatermark: 10 }] },
      },
    ],
  });
  expect([...w.process.owner.configsOf(topicId)]).toEqual([['max.message.bytes', '77']]);
  await expect(w.alter(randomUUID(), {})).rejects.toMatchObject({ code: 'TOPIC_UNKNOWN' });
  const after = await w.restart();
  expect([...after.process.owner.configsOf(topicId)]).toEqual([['max.message.bytes', '77']]);
});
