import { limits, OperatingError } from '@kafscale/core';
import { describe, expect, it } from 'vitest';
import { laneOf } from '../src/segment/latency-lane.js';
import { scriptedPipeline, send, turns } from './scripted.js';
import { partitionFields } from '../src/seal/seal-job.js';

const written = { kind: 'written' };
/** Whatever a test does comes at once by it, however slow the machine is. */
const standingClock = { monotonicMs: () => 0, wallMs: () => 0 };
const lost = { kind: 'refused', errorCode: 56 };
/** Longer than any test: what waits for it waits for ever. */
const never = 60_000;

const isSettled = async (outcome: Promise<unknown>): Promise<boolean> => {
  const pending = Symbol('pending');
  await turns();
  return (await Promise.race([outcome, Promise.resolve(pending)])) !== pending;
};

it.each([
  [250, 250, 'standard'],
  [0, 0, 'standard'],
  [249, 250, 'express'],
  [0, 250, 'express'],
  [251, 250, 'economy'],
  [1, 0, 'economy'],
] as const)('a topic of %i ms on a node of %i ms is %s', (flushMs, nodeFlushMs, lane) => {
  expect(laneOf(flushMs, nodeFlushMs)).toBe(lane);
});

describe('lanes', () => {
  it('are written apart: an express batch waits for nothing of the others', async () => {
    const { pipeline, uploads } = scriptedPipeline({ flushIntervalMs: never - 1 });
    const economy = send(pipeline, { partition: 1, flushMs: never });
    const standard = send(pipeline, { partition: 2 });
    const express = send(pipeline, { partition: 3, flushMs: 0 });
    await turns();
    expect(uploads.map(({ job }) => job.partitions.length)).toEqual([partitionFields]);
    uploads[0]!.succeed();
    expect(await express.outcome).toMatchObject(written);
    expect(await isSettled(economy.outcome)).toBe(false);
    expect(await isSettled(standard.outcome)).toBe(false);
    const drained = pipeline.drain();
    await turns();
    for (const upload of uploads) upload.succeed();
    await drained;
    expect(await economy.outcome).toMatchObject(written);
    expect(await standard.outcome).toMatchObject(written);
  });

  it('are shared by topics with different intervals: the earliest deadline counts', async () => {
    const { pipeline, uploads } = scriptedPipeline({ flushIntervalMs: 0 });
    const patient = send(pipeline, { partition: 1, flushMs: never });
    await turns();
    expect(uploads).toHaveLength(0);
    const hasty = send(pipeline, { partition: 2, flushMs: 1 });
    while (uploads.length === 0) await turns();
    expect(uploads[0]!.job.partitions).toHaveLength(2 * partitionFields);
    uploads[0]!.succeed();
    expect(await patient.outcome).toMatchObject(written);
    expect(await hasty.outcome).toMatchObject(written);
  });

  it('commit on their own: neither an upload nor a commit of one holds up another', async () => {
    let answerStandard: () => void = () => {};
    const scripted = scriptedPipeline({
      flushIntervalMs: 1,
      commit: async (segments) => {
        const isStandard = segments.some(({ extents }) => extents[0]!.partitionId < 10);
        if (isStandard) await new Promise<void>((go) => (answerStandard = go));
        return scripted.acceptAll(segments);
      },
    });
    const { commits, pipeline, uploads } = scripted;
    const uploading = send(pipeline, { partition: 20, flushMs: 5 });
    while (uploads.length < 1) await turns();
    const committing = send(pipeline, { partition: 1 });
    while (uploads.length < 2) await turns();
    uploads[1]!.succeed();
    while (commits.length < 1) await turns();
    const express = send(pipeline, { partition: 10, flushMs: 0 });
    while (uploads.length < 3) await turns();
    uploads[2]!.succeed();
    expect(await express.outcome).toMatchObject(written);
    expect(await isSettled(committing.outcome)).toBe(false);
    expect(await isSettled(uploading.outcome)).toBe(false);
    answerStandard();
    uploads[0]!.succeed();
    expect(await committing.outcome).toMatchObject(written);
    expect(await uploading.outcome).toMatchObject(written);
  });

  it('keep seal order each, and lose what is behind a lost batch in their own only', async () => {
    const { pipeline, uploads } = scriptedPipeline();
    const first = send(pipeline, { partition: 1, producerId: 1, sequence: 0 });
    await turns();
    const behind = send(pipeline, { partition: 1, producerId: 1, sequence: 1 });
    const elsewhere = send(pipeline, { partition: 2, producerId: 1, sequence: 1, flushMs: 1 });
    while (uploads.length < 3) await turns();
    uploads[0]!.fail();
    uploads[1]!.succeed();
    uploads[2]!.succeed();
    expect(await first.outcome).toMatchObject(lost);
    expect(await behind.outcome).toMatchObject(lost);
    expect(await elsewhere.outcome).toMatchObject(written);
  });
});

describe('a partition whose topic changes its lane', () => {
  it('stays in the old one until nothing of it is unsettled there', async () => {
    const { commits, pipeline, uploads } = scriptedPipeline();
    const before = send(pipeline, { producerId: 1, sequence: 0 });
    await turns();
    // Its topic is economy from here on.
    const during = send(pipeline, { producerId: 1, sequence: 1, flushMs: never });
    const other = send(pipeline, { partition: 1, flushMs: never });
    uploads[0]!.succeed();
    expect(await before.outcome).toMatchObject(written);
    await turns();
    // Still behind it in the standard lane, but no longer at its pace.
    const moreDuring = send(pipeline, { producerId: 1, sequence: 2, flushMs: 0 });
    await turns();
    uploads[1]!.succeed();
    expect(await during.outcome).toMatchObject(written);
    expect(await moreDuring.outcome).toMatchObject(written);
    expect(await isSettled(other.outcome)).toBe(false);
    const after = send(pipeline, { producerId: 1, sequence: 3, flushMs: never });
    expect(await isSettled(after.outcome)).toBe(false);
    const drained = pipeline.drain();
    await turns();
    uploads[2]!.succeed();
    await drained;
    expect(commits.map((call) => call[0]!.extents.length)).toEqual([1, 1, 2]);
    expect(await after.outcome).toMatchObject(written);
  });

  it('can be waited for, although its old lane would wait long', async () => {
    const { pipeline, uploads } = scriptedPipeline({ flushIntervalMs: 250 });
    const before = send(pipeline, { partition: 4, flushMs: never });
    send(pipeline, { partition: 5, flushMs: 0 }); // there is an express lane
    await turns();
    expect(pipeline.laneChange(4, never)).toBeUndefined();
    expect(pipeline.laneChange(5, 0)).toBeUndefined();
    expect(pipeline.laneChange(6, 0)).toBeUndefined();
    const change = pipeline.laneChange(4, 0);
    if (change === undefined) throw new Error('it has to change its lane');
    const changed = change();
    await turns();
    expect(uploads).toHaveLength(2);
    expect(await isSettled(changed)).toBe(false);
    uploads[1]!.succeed();
    await changed;
    expect(await before.outcome).toMatchObject(written);
    expect(pipeline.laneChange(4, 0)).toBeUndefined();
  });

  it('takes its losses with it: what was sent behind a lost batch is not written elsewhere', async () => {
    const { pipeline, uploads } = scriptedPipeline();
    const first = send(pipeline, { producerId: 1, sequence: 0 });
    send(pipeline, { partition: 9, flushMs: never }); // the other lane is in use
    await turns();
    const behind = send(pipeline, { producerId: 1, sequence: 1, flushMs: 1 });
    uploads[0]!.fail();
    expect(await first.outcome).toMatchObject(lost);
    while (uploads.length < 2) await turns();
    uploads[1]!.succeed();
    expect(await behind.outcome).toMatchObject(lost);
  });
});

it.each([
  ['standard', -1, 2],
  ['economy', never, 1],
] as const)('what comes back after an answer: %s', async (_, flushMs, uploadsExpected) => {
  const { pipeline, uploads } = scriptedPipeline({
    clock: standingClock,
    flushIntervalMs: never - 1,
  });
  const value = Buffer.alloc(limits.flushReturnBytesMin);
  const first = send(pipeline, { value, flushMs, arrivedAtMs: 0 });
  pipeline.relieve();
  uploads[0]!.succeed();
  expect(await first.outcome).toMatchObject(written);
  send(pipeline, { value, flushMs, arrivedAtMs: 0 });
  await turns();
  expect(uploads).toHaveLength(uploadsExpected);
});

describe('memory that is short', () => {
  it('does not wait for the interval of an open segment, unless sealed ones give some back', async () => {
    const { pipeline, uploads } = scriptedPipeline({ flushIntervalMs: never });
    send(pipeline, { partition: 1 });
    send(pipeline, { partition: 2, flushMs: 0 });
    await turns();
    pipeline.relieve();
    await turns();
    expect(uploads).toHaveLength(1);
    uploads[0]!.succeed();
    while (pipeline.laneBytes('express') > 0) await turns();
    pipeline.relieve();
    expect(uploads).toHaveLength(2);
    expect(pipeline.laneBytes('standard')).toBeGreaterThan(0);
  });
});

it('an idle lane makes no call and has no timer', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = timers();
  const { commits, pipeline, uploads } = scriptedPipeline({ flushIntervalMs: never - 1 });
  const sent = [0, -1, never].map((flushMs, partition) => send(pipeline, { partition, flushMs }));
  expect(timers()).toBeGreaterThan(before);
  const drained = pipeline.drain();
  for (const upload of uploads) upload.succeed();
  await drained;
  for (const { outcome } of sent) expect(await outcome).toMatchObject(written);
  while (timers() > before) await turns();
  expect(commits).toHaveLength(3);
  expect(uploads).toHaveLength(3);
});

it('counts the segments whose commit was answered, and no others', async () => {
  const counts: number[] = [];
  let answers = 0;
  const scripted = scriptedPipeline({
    metrics: { segmentsCommitted: (_lane, count) => counts.push(count) },
    commit: (segments) => {
      answers += 1;
      if (answers > 1) return scripted.acceptAll(segments);
      return Promise.reject(
        new OperatingError('COMMIT_REFUSED', 'scripted', { outcome: 'failed' }),
      );
    },
  });
  const { pipeline, uploads } = scripted;
  for (const outcome of [lost, written]) {
    const sent = send(pipeline);
    await turns();
    uploads.at(-1)!.succeed();
    expect(await sent.outcome).toMatchObject(outcome);
  }
  expect(counts).toEqual([0, 1]);
});
