import { describe, expect, it } from 'vitest';
import { scriptedPipeline, send, turns } from './scripted.js';
import type { ScriptedUpload, Sent } from './scripted.js';

const written = { kind: 'written' };

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1);
}

/** One segment each: every batch in a turn of its own. */
async function sendApart(
  pipeline: ReturnType<typeof scriptedPipeline>['pipeline'],
  count: number,
): Promise<Sent[]> {
  const sent: Sent[] = [];
  for (let sequence = 0; sequence < count; sequence += 1) {
    sent.push(send(pipeline, { producerId: 1, sequence }));
    await turns();
  }
  return sent;
}

describe('a store that throttles', () => {
  it('gets fewer uploads at a time, and every segment in the end, in order', async () => {
    const { commits, pipeline, uploads } = scriptedPipeline({ uploadsMax: 4 });
    const sent = await sendApart(pipeline, 4);
    expect(uploads).toHaveLength(4);
    for (const upload of uploads) upload.throttle();
    await until(() => uploads.length > 4);
    expect(pipeline.uploadsLimit).toBe(2);
    await turns();
    // The limit holds for repetitions as well, and the first segment goes first.
    expect(uploads).toHaveLength(6);
    expect(uploads[4]!.job.segmentId).toBe(uploads[0]!.job.segmentId);
    expect(uploads[5]!.job.key).toBe(uploads[1]!.job.key);
    for (let next = 4; next < 8; next += 1) {
      await until(() => uploads.length > next);
      uploads[next]!.succeed();
    }
    for (const { outcome } of sent) expect(await outcome).toMatchObject(written);
    const order = commits.flat().map(({ segmentId }) => segmentId);
    expect(order).toEqual(uploads.slice(0, 4).map(({ job }) => job.segmentId));
    expect(pipeline.uploadsInFlight).toBe(0);
  });

  it('gets larger segments: what is due stays open while no upload may begin', async () => {
    const { pipeline, uploads } = scriptedPipeline({ uploadsMax: 1, segmentBytes: 20_000 });
    const first = send(pipeline);
    await turns();
    const waiting = await sendApart(pipeline, 10);
    expect(uploads).toHaveLength(1);
    uploads[0]!.succeed();
    expect(await first.outcome).toMatchObject(written);
    await until(() => uploads.length === 2);
    expect(uploads[1]!.result.extents).toHaveLength(2);
    expect(uploads[1]!.bytes.length).toBeGreaterThan(10 * waiting[0]!.records.length);
    uploads[1]!.succeed();
    for (const { outcome } of waiting) expect(await outcome).toMatchObject(written);
  });

  it('gets no segment larger than one may be', async () => {
    const { pipeline, uploads } = scriptedPipeline({ uploadsMax: 1, segmentBytes: 5_000 });
    const value = Buffer.alloc(2_000);
    const sent = Array.from({ length: 9 }, () => send(pipeline, { value }));
    const seen: ScriptedUpload[] = [];
    for (let next = 0; next < 5; next += 1) {
      await until(() => uploads.length > next);
      expect(pipeline.uploadsInFlight).toBe(1);
      seen.push(uploads[next]!);
      uploads[next]!.succeed();
    }
    for (const { outcome } of sent) expect(await outcome).toMatchObject(written);
    expect(seen.every(({ result }) => result.extents[1]! <= 5_000)).toBe(true);
  });

  it('is asked again until nobody waits for the answer', async () => {
    const { commits, pipeline, uploads } = scriptedPipeline();
    const patient = send(pipeline, { partition: 1 });
    await turns();
    const hasty = send(pipeline, { partition: 2, timeoutMs: 0 });
    await turns();
    uploads[0]!.throttle();
    uploads[1]!.throttle();
    await until(() => uploads.length === 3);
    expect(uploads[2]!.job.segmentId).toBe(uploads[0]!.job.segmentId);
    uploads[2]!.succeed();
    expect(await patient.outcome).toMatchObject(written);
    expect(await hasty.outcome).toMatchObject({ kind: 'refused', errorCode: 56 });
    expect(commits).toHaveLength(1);
  });

  it('is left alone with what nobody waits for any more, and goes on with the rest', async () => {
    const { pipeline, uploads } = scriptedPipeline({ uploadsMax: 1, segmentBytes: 200 });
    const value = Buffer.alloc(200); // a segment each
    const late = [1, 2, 3].map((partition) => send(pipeline, { partition, value, timeoutMs: 0 }));
    const last = send(pipeline, { partition: 4, value });
    expect(uploads).toHaveLength(1);
    uploads[0]!.throttle();
    for (const { outcome } of late) {
      expect(await outcome).toMatchObject({ kind: 'refused', errorCode: 56 });
    }
    await until(() => uploads.length === 2);
    expect(uploads[1]!.job.partitions[1]!).toBe(4);
    uploads[1]!.succeed();
    expect(await last.outcome).toMatchObject(written);
    // It takes puts again: nothing is given up without a try.
    const next = send(pipeline, { partition: 5, value, timeoutMs: 0 });
    await until(() => uploads.length === 3);
    uploads[2]!.succeed();
    expect(await next.outcome).toMatchObject(written);
  });

  it('is tried again for what came after it refused, however hasty its clients are', async () => {
    const { pipeline, uploads } = scriptedPipeline();
    const refused = send(pipeline, { timeoutMs: 0 });
    await turns();
    uploads[0]!.throttle();
    expect(await refused.outcome).toMatchObject({ kind: 'refused', errorCode: 56 });
    // All of them are late as soon as they are there; without a try nobody learned that it takes puts.
    const next = send(pipeline, { timeoutMs: 0 });
    await Promise.race([next.outcome, until(() => uploads.length === 2)]);
    uploads[1]?.succeed();
    expect(await next.outcome).toMatchObject(written);
  });

  it('serves the lanes by their deadlines: express first', async () => {
    const { pipeline, uploads } = scriptedPipeline({
      uploadsMax: 1,
      segmentBytes: 200,
      flushIntervalMs: 1_000,
    });
    const value = Buffer.alloc(200);
    const first = send(pipeline, { partition: 1, value });
    const economy = send(pipeline, { partition: 2, value, flushMs: 5_000 });
    const standard = send(pipeline, { partition: 3, value });
    const express = send(pipeline, { partition: 4, value, flushMs: 10 });
    const partitions: number[] = [];
    for (let next = 0; next < 4; next += 1) {
      await until(() => uploads.length > next);
      partitions.push(uploads[next]!.job.partitions[1]!);
      uploads[next]!.succeed();
    }
    expect(partitions).toEqual([1, 4, 3, 2]);
    for (const { outcome } of [first, economy, standard, express]) {
      expect(await outcome).toMatchObject(written);
    }
  });
});
