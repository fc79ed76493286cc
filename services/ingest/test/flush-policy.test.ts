import { describe, expect, it } from 'vitest';
import { limits } from '@kafscale/core';
import { FlushPolicy } from '../src/segment/flush-policy.js';
import { scriptedPipeline, send, turns } from './scripted.js';
import { partitionFields } from '../src/seal/seal-job.js';

const gapMs = limits.flushReturnGapMsMax;
const answered = 4 * limits.flushReturnBytesMin;
const quarter = answered / 4;

/** A policy that was told at 1,000 ms that `answered` bytes were. */
function afterAnswer(): FlushPolicy {
  const policy = new FlushPolicy();
  policy.answered(answered, 1000);
  return policy;
}

describe('the flush policy', () => {
  it('expects nothing before anything was answered', () => {
    const policy = new FlushPolicy();
    policy.appended(answered, 0);
    expect(policy.earlySeal(answered)).toBe('no');
  });

  it('seals when what was answered has come back', () => {
    const policy = afterAnswer();
    for (const part of [1, 2]) {
      policy.appended(quarter, 1000 + part);
      expect(policy.earlySeal(part * quarter)).toBe('no');
    }
    policy.appended(quarter, 1003);
    expect(policy.earlySeal(3 * quarter)).toBe('later');
    expect(policy.quietLeftMs(1003)).toBe(gapMs);
    expect(policy.quietLeftMs(1003 + gapMs)).toBe(0);
    policy.appended(quarter, 1004);
    expect(policy.earlySeal(4 * quarter)).toBe('now');
  });

  it('expects all that is answered while a burst goes on', () => {
    const policy = afterAnswer();
    policy.appended(quarter, 1001);
    policy.answered(answered, 1002);
    policy.appended(answered, 1003);
    expect(policy.earlySeal(answered + quarter)).toBe('no');
    policy.appended(3 * quarter, 1004);
    expect(policy.earlySeal(2 * answered)).toBe('now');
  });

  it.each(['after the answer', 'within the burst'])('gives up at a gap %s', (place) => {
    const policy = afterAnswer();
    let nowMs = 1000;
    if (place === 'within the burst') policy.appended(quarter, (nowMs += gapMs));
    policy.appended(4 * quarter, (nowMs += gapMs + 1));
    expect(policy.earlySeal(5 * quarter)).toBe('no');
    policy.answered(quarter, nowMs + 300);
    policy.appended(quarter, nowMs + 301);
    expect(policy.earlySeal(6 * quarter)).toBe('now');
  });

  it('leaves what is not worth an object to its interval', () => {
    const policy = new FlushPolicy();
    policy.answered(1000, 0);
    policy.appended(1000, 1);
    expect(policy.earlySeal(limits.flushReturnBytesMin - 1)).toBe('no');
    expect(policy.earlySeal(limits.flushReturnBytesMin)).toBe('now');
  });

  it('counts what was sealed no more', () => {
    const policy = afterAnswer();
    policy.appended(quarter, 1001);
    policy.sealed();
    policy.appended(answered, 1002);
    expect(policy.earlySeal(answered)).toBe('no');
  });
});

describe('the flush policy, when producers that filled a segment stop', () => {
  const rest = limits.flushReturnBytesMin;
  const full = 8 * rest;

  /** What was answered has filled a segment, and `bytes` of it are in the next one. */
  function afterFullSegment(bytes: number): FlushPolicy {
    const policy = new FlushPolicy();
    policy.answered(full, 1000);
    policy.appended(full / 2, 1001);
    policy.filled();
    policy.appended(bytes, 1002);
    return policy;
  }

  it('seals the rest when no more comes behind the last answer', () => {
    const policy = afterFullSegment(rest);
    policy.answered(full, 1003);
    expect(policy.earlySeal(rest)).toBe('later');
    expect(policy.quietLeftMs(1003)).toBe(gapMs);
  });

  it('seals it also when that answer came late', () => {
    const policy = afterFullSegment(rest);
    policy.answered(full, 1003 + 2 * gapMs);
    expect(policy.earlySeal(rest)).toBe('later');
  });

  it('expects the other half of what was answered in the next segment', () => {
    const policy = afterFullSegment(full / 2 - 1);
    expect(policy.earlySeal(full / 2 - 1)).toBe('later');
    policy.appended(1, 1003);
    expect(policy.earlySeal(full / 2)).toBe('now');
  });

  it('leaves a rest that is not worth an object', () => {
    const policy = afterFullSegment(rest - 1);
    policy.answered(full, 1003);
    expect(policy.earlySeal(rest - 1)).toBe('no');
  });

  it('leaves what comes by itself until an answer shows that nothing comes behind it', () => {
    const policy = afterFullSegment(rest);
    policy.appended(rest, 1003 + gapMs);
    expect(policy.earlySeal(2 * rest)).toBe('no');
    policy.answered(full, 1004 + gapMs);
    expect(policy.earlySeal(2 * rest)).toBe('later');
  });

  it('leaves it when the segment was sealed for another reason', () => {
    const policy = afterFullSegment(rest);
    policy.sealed();
    policy.appended(rest, 1003);
    policy.answered(full, 1004);
    expect(policy.earlySeal(rest)).toBe('no');
  });
});

describe('a lane with a flush interval', () => {
  /** Longer than any test: what waits for it waits for ever. */
  const never = 60_000;
  const value = Buffer.alloc(limits.flushReturnBytesMin);
  /** Stands still, so that whatever a test does comes at once, however slow the machine is. */
  const clock = { arrivedAtMs: 0, monotonicMs: () => clock.arrivedAtMs, wallMs: () => 0 };
  const sendOne = (pipeline: Parameters<typeof send>[0], partition = 1) =>
    send(pipeline, { partition, value, arrivedAtMs: clock.arrivedAtMs }).outcome;
  const sendBoth = (pipeline: Parameters<typeof send>[0]) => [
    sendOne(pipeline, 1),
    sendOne(pipeline, 2),
  ];

  it('does not wait it out when its producers wait for answers', async () => {
    const { pipeline, uploads } = scriptedPipeline({ clock, flushIntervalMs: never });
    let waiting = sendBoth(pipeline);
    pipeline.relieve();
    for (let round = 0; round < 5; round++) {
      while (uploads.length <= round) await turns();
      expect(uploads[round]!.job.partitions).toHaveLength(2 * partitionFields);
      uploads[round]!.succeed();
      for (const outcome of waiting) expect(await outcome).toMatchObject({ kind: 'written' });
      waiting = sendBoth(pipeline);
    }
    pipeline.hurry();
  });

  it('does not wait it out when producers that filled segments stop', async () => {
    const segmentBytes = 2.5 * value.length;
    const { pipeline, uploads } = scriptedPipeline({ clock, flushIntervalMs: never, segmentBytes });
    const first = [sendOne(pipeline), sendOne(pipeline)];
    const open = sendOne(pipeline);
    expect(uploads).toHaveLength(1);
    uploads[0]!.succeed();
    await Promise.all(first);
    const full = [open, sendOne(pipeline)];
    const last = sendOne(pipeline);
    expect(uploads).toHaveLength(2);
    uploads[1]!.succeed();
    await Promise.all(full);
    clock.arrivedAtMs += gapMs;
    while (uploads.length < 3) await turns();
    uploads[2]!.succeed();
    expect(await last).toMatchObject({ kind: 'written' });
  });

  it('waits it out when fewer come back', async () => {
    const { pipeline, uploads } = scriptedPipeline({ clock, flushIntervalMs: never });
    const first = sendBoth(pipeline);
    pipeline.relieve();
    await turns();
    expect(uploads).toHaveLength(1);
    uploads[0]!.succeed();
    await Promise.all(first);
    void sendOne(pipeline);
    await new Promise((resolve) => setTimeout(resolve, 2 * gapMs));
    expect(uploads).toHaveLength(1);
    pipeline.hurry();
    expect(uploads).toHaveLength(2);
  });
});
