import { readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorCodes, segmentKey } from '@kafscale/codec';
import { OperatingError } from '@kafscale/core';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { plainRecords, World } from './world.js';

let world: World;

beforeEach(async () => {
  world = await World.open({ loadGraceMs: 5_000 });
});

afterEach(async () => {
  await world.close();
});

function pathOf(segmentId: string): string {
  return join(fileURLToPath(world.store.url), segmentKey(segmentId));
}

async function flipByte(segmentId: string, position: number): Promise<void> {
  const bytes = await readFile(pathOf(segmentId));
  bytes[position]! ^= 0x01;
  // A new file: the store may have the old one open.
  await rm(pathOf(segmentId));
  await writeFile(pathOf(segmentId), bytes);
}

async function threePartitions(): Promise<{ ids: readonly number[]; segmentId: string }> {
  const ids = world.createTopic('t', 3);
  const segmentId = await world.commit(
    ids.map((partitionId) => ({ partitionId, batches: [plainRecords(2, 100), plainRecords(1)] })),
  );
  return { ids, segmentId };
}

const everyPartition = [0, 1, 2].map((partition) => ({ partition, offset: 0 }));

async function expectOnlyDamaged(damaged: number, ids: readonly number[]): Promise<void> {
  const answers = await world.fetchPartitions('t', everyPartition, { maxWaitMs: 60_000 });
  for (const [partition, partitionId] of ids.entries()) {
    const answer = answers.get(partition)!;
    if (partition === damaged) {
      expect(answer.errorCode).toBe(errorCodes.KAFKA_STORAGE_ERROR);
      expect(answer.records).toHaveLength(0);
    } else {
      expect(answer.errorCode).toBe(0);
      const bytes = world.expected(partitionId, 0).map((batch) => batch.bytes);
      expect(answer.records).toEqual(Buffer.concat(bytes));
    }
  }
}

it('never serves a flipped byte, and serves everything else of the segment', async () => {
  const { ids, segmentId } = await threePartitions();
  const row = world.model(ids[1]!).rows[0]!;
  await flipByte(segmentId, row.position + 80);
  await expectOnlyDamaged(1, ids);
  await expectOnlyDamaged(1, ids);
  const errors = world.logLines.filter(({ level }) => level === 'error');
  expect(errors).toHaveLength(1);
  expect(errors[0]!.fields).toMatchObject({ segmentId, position: row.position });
  // One read for all, one more for the damaged extent, none for the second request.
  expect(world.reads).toHaveLength(2);
});

it('serves what lies before the damage', async () => {
  const [p0] = world.createTopic('t');
  await world.commit([{ partitionId: p0!, batches: [plainRecords(2)] }]);
  const bad = await world.commit([{ partitionId: p0!, batches: [plainRecords(2)] }]);
  await flipByte(bad, 70);
  const first = await world.fetchPartitions('t', [{ partition: 0, offset: 0 }]);
  expect(first.get(0)!.errorCode).toBe(0);
  expect(first.get(0)!.records).toEqual(world.expected(p0!, 0)[0]!.bytes);
  const second = await world.fetchPartitions('t', [{ partition: 0, offset: 2 }]);
  expect(second.get(0)!.errorCode).toBe(errorCodes.KAFKA_STORAGE_ERROR);
});

it('reads anew what a first read brought wrong', async () => {
  const { ids } = await threePartitions();
  world.afterRead = (bytes) => {
    world.afterRead = () => undefined;
    bytes[world.model(ids[2]!).rows[0]!.position + 65]! ^= 0x10;
  };
  await expectOnlyDamaged(-1, ids);
  expect(world.reads).toHaveLength(2);
  expect(world.logLines).toEqual([]);
});

it('serves the whole extents of a truncated object', async () => {
  const { ids, segmentId } = await threePartitions();
  await truncate(pathOf(segmentId), world.model(ids[2]!).rows[0]!.position + 10);
  await expectOnlyDamaged(2, ids);
});

it('does not believe a row that says more records than the batches have', async () => {
  const { ids } = await threePartitions();
  world.resync();
  const { rows } = world.model(ids[0]!);
  rows[0] = { ...rows[0]!, nextOffset: rows[0]!.nextOffset + 1 };
  world.setHead(ids[0]!, { highWatermark: rows[0].nextOffset });
  await expectOnlyDamaged(0, ids);
});

it('answers a lost object with an error for its partitions only, after asking the index', async () => {
  const ids = world.createTopic('t', 3);
  const segments: string[] = [];
  for (const partitionId of ids) {
    segments.push(await world.commit([{ partitionId, batches: [plainRecords(2, 100)] }]));
  }
  await rm(pathOf(segments[0]!));
  await expectOnlyDamaged(0, ids);
  await expectOnlyDamaged(0, ids);
  expect(world.lookups).toEqual([{ partitionId: ids[0], offset: 0 }]);
  expect(world.logLines.filter(({ level }) => level === 'error')).toHaveLength(1);
});

it('follows the index to the object that replaced a gone one', async () => {
  const [p0] = world.createTopic('t');
  const first = await world.commit([{ partitionId: p0!, batches: [plainRecords(2)] }]);
  const second = await world.commit([{ partitionId: p0!, batches: [plainRecords(3)] }]);
  await world.compact(p0!);
  await rm(pathOf(first));
  await rm(pathOf(second));
  const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 1 }]);
  expect(answers.get(0)!.errorCode).toBe(0);
  const bytes = world.expected(p0!, 1).map((batch) => batch.bytes);
  expect(Buffer.concat(bytes)).toEqual(answers.get(0)!.records);
  expect(world.logLines).toEqual([]);
});

it('tells an offset that retention has taken from one that is lost', async () => {
  const [p0] = world.createTopic('t');
  const segmentId = await world.commit([{ partitionId: p0!, batches: [plainRecords(2)] }]);
  await world.commit([{ partitionId: p0!, batches: [plainRecords(2)] }]);
  world.beforeRead = async () => {
    world.beforeRead = () => Promise.resolve();
    world.advanceLogStart(p0!, 2);
    await rm(pathOf(segmentId));
  };
  const answers = await world.fetchPartitions('t', [{ partition: 0, offset: 0, bytesMax: 1 }]);
  expect(answers.get(0)!.errorCode).toBe(errorCodes.OFFSET_OUT_OF_RANGE);
  expect(answers.get(0)!.logStartOffset).toBe(2n);
});

it('answers without the partition whose object does not come', async () => {
  const ids = world.createTopic('t', 2);
  const slow = await world.commit([{ partitionId: ids[0]!, batches: [plainRecords(2)] }]);
  await world.commit([{ partitionId: ids[1]!, batches: [plainRecords(2)] }]);
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  world.beforeRead = (key) => (key === segmentKey(slow) ? gate : Promise.resolve());
  const wanted = everyPartition.slice(0, 2);
  const first = await world.fetchPartitions('t', wanted);
  expect(first.get(0)!.records).toHaveLength(0);
  expect(first.get(0)!.errorCode).toBe(0);
  expect(first.get(1)!.records).toEqual(world.expected(ids[1]!, 0)[0]!.bytes);
  release();
  const second = await world.fetchPartitions('t', wanted);
  expect(second.get(0)!.records).toEqual(world.expected(ids[0]!, 0)[0]!.bytes);
});

it('recovers by itself when the store answers again', async () => {
  const { ids } = await threePartitions();
  world.beforeRead = () =>
    Promise.reject(new OperatingError('STORE_UNREACHABLE', 'no', { retriable: true }));
  const answers = await world.fetchPartitions('t', everyPartition);
  for (const answer of answers.values()) {
    expect(answer.errorCode).toBe(errorCodes.KAFKA_STORAGE_ERROR);
  }
  world.beforeRead = () => Promise.resolve();
  await expectOnlyDamaged(-1, ids);
});
