import { decodeSegmentFooter } from '@kafscale/codec';
import { OperatingError } from '@kafscale/core';
import { describe, expect, it } from 'vitest';
import { scriptedPipeline, send, turns } from './scripted.js';

const written = (baseOffset: number) => ({ kind: 'written', baseOffset });
const refused = (errorCode: number) => ({ kind: 'refused', errorCode });

describe('group commit', () => {
  it('seals what arrived in one turn as one segment and never an empty one', async () => {
    const { pipeline, uploads } = scriptedPipeline();
    send(pipeline, { partition: 0 });
    send(pipeline, { partition: 1 });
    await turns();
    expect(uploads).toHaveLength(1);
    await turns();
    expect(uploads).toHaveLength(1);
  });

  it('collects while the limit of segments under way is reached', async () => {
    const { pipeline, uploads } = scriptedPipeline({ flushInFlightMax: 1 });
    send(pipeline);
    await turns();
    const waiting = [send(pipeline), send(pipeline)];
    await turns();
    expect(uploads).toHaveLength(1);
    uploads[0]?.succeed();
    await turns();
    expect(uploads).toHaveLength(2);
    uploads[1]?.succeed();
    expect(await Promise.all(waiting.map((sent) => sent.outcome))).toMatchObject([
      written(1),
      written(2),
    ]);
  });

  it('does not seal little while a segment is under way, but does seal much', async () => {
    const { pipeline, uploads } = scriptedPipeline({ flushOverlapBytesMin: 5_000 });
    send(pipeline);
    await turns();
    send(pipeline);
    await turns();
    expect(uploads).toHaveLength(1);
    send(pipeline, { value: Buffer.alloc(6_000) });
    await turns();
    expect(uploads).toHaveLength(2);
  });

  it('gathers after an answer, for as much as was answered or until the time is up', async () => {
    const { pipeline, uploads } = scriptedPipeline({ flushGatherMsMax: 60_000 });
    const answered = send(pipeline, { value: Buffer.alloc(1_000) });
    await turns();
    uploads[0]?.succeed();
    await answered.outcome;
    send(pipeline, { value: Buffer.alloc(600) });
    await turns();
    expect(uploads).toHaveLength(1);
    send(pipeline, { value: Buffer.alloc(600) });
    await turns();
    expect(uploads).toHaveLength(2);
  });

  it('seals a full segment at once', async () => {
    const { pipeline, uploads } = scriptedPipeline({
      segmentBytes: 5_000,
      flushIntervalMs: 60_000,
    });
    for (let n = 0; n < 3; n++) send(pipeline, { value: Buffer.alloc(2_000) });
    await turns();
    expect(uploads).toHaveLength(1);
    void pipeline.drain();
    await turns();
    expect(uploads).toHaveLength(2);
  });
});

describe('commit order', () => {
  it('is seal order, whatever the order of the uploads, and ready segments share a call', async () => {
    const { pipeline, uploads, commits } = scriptedPipeline();
    const sent = [];
    for (let n = 0; n < 3; n++) {
      sent.push(send(pipeline));
      await turns();
    }
    uploads[2]?.succeed();
    uploads[1]?.succeed();
    await turns();
    expect(commits).toHaveLength(0);
    uploads[0]?.succeed();
    expect(await Promise.all(sent.map((one) => one.outcome))).toMatchObject([
      written(0),
      written(1),
      written(2),
    ]);
    expect(commits).toHaveLength(1);
  });
});

describe('a segment that fails for good', () => {
  it('takes with it what its producers have in later segments, and nothing else', async () => {
    const { pipeline, uploads, commits } = scriptedPipeline();
    const first = send(pipeline, { producerId: 1, sequence: 0 });
    await turns();
    const second = send(pipeline, { producerId: 1, sequence: 1 });
    const otherProducer = send(pipeline, { producerId: 2, sequence: 0 });
    const otherPartition = send(pipeline, { producerId: 1, sequence: 0, partition: 1 });
    await turns();
    uploads[1]?.succeed();
    uploads[0]?.fail();
    expect(await first.outcome).toMatchObject(refused(56));
    expect(await second.outcome).toMatchObject(refused(56));
    expect(await otherProducer.outcome).toMatchObject({ kind: 'written' });
    expect(await otherPartition.outcome).toMatchObject({ kind: 'written' });
    const excluded = commits
      .flat()
      .flatMap((segment) =>
        segment.extents.flatMap((extent) => extent.batches.map((batch) => batch.excluded)),
      );
    expect(excluded).toEqual([true, false, false]);
  });

  it('passes the loss on through a chain of segments but not to what is sent afterwards', async () => {
    const { pipeline, uploads } = scriptedPipeline();
    const lost = [];
    for (let sequence = 0; sequence < 3; sequence++) {
      lost.push(send(pipeline, { producerId: 1, sequence }));
      await turns();
    }
    uploads[1]?.fail();
    uploads[2]?.succeed();
    uploads[0]?.fail();
    for (const one of lost) expect(await one.outcome).toMatchObject(refused(56));
    const retry = send(pipeline, { producerId: 1, sequence: 0 });
    await turns();
    uploads[3]?.succeed();
    expect(await retry.outcome).toMatchObject(written(0));
  });

  it('leaves alone a retry when a segment between fails that has nothing of its producer', async () => {
    const { pipeline, uploads } = scriptedPipeline();
    const first = send(pipeline, { producerId: 1, sequence: 0 });
    await turns();
    const between = send(pipeline, { producerId: 2, sequence: 0 });
    await turns();
    uploads[0]?.fail();
    expect(await first.outcome).toMatchObject(refused(56));
    const retry = send(pipeline, { producerId: 1, sequence: 0 });
    await turns();
    uploads[1]?.fail();
    expect(await between.outcome).toMatchObject(refused(56));
    const next = send(pipeline, { producerId: 1, sequence: 1 });
    await turns();
    uploads[2]?.succeed();
    uploads[3]?.succeed();
    expect(await retry.outcome).toMatchObject(written(0));
    expect(await next.outcome).toMatchObject(written(1));
  });

  it('leaves alone a retry when what was sent behind it fails for itself', async () => {
    const { pipeline, uploads } = scriptedPipeline();
    const sent = [send(pipeline, { producerId: 1, sequence: 0 })];
    await turns();
    sent.push(send(pipeline, { producerId: 1, sequence: 1 }));
    await turns();
    uploads[0]?.fail();
    expect(await sent[0]!.outcome).toMatchObject(refused(56));
    // A client that repeats batch 0 before it has heard of batch 1.
    const retry = send(pipeline, { producerId: 1, sequence: 0 });
    await turns();
    uploads[1]?.fail();
    expect(await sent[1]!.outcome).toMatchObject(refused(56));
    const next = send(pipeline, { producerId: 1, sequence: 1 });
    await turns();
    uploads[2]?.succeed();
    uploads[3]?.succeed();
    expect(await retry.outcome).toMatchObject(written(0));
    expect(await next.outcome).toMatchObject(written(1));
  });

  it('ends where the lost batch comes again: what its client sent behind that is written', async () => {
    const { pipeline, uploads } = scriptedPipeline();
    const first = send(pipeline, { producerId: 1, sequence: 0 });
    await turns();
    const excluded = [1, 2].map((sequence) => send(pipeline, { producerId: 1, sequence }));
    await turns();
    uploads[0]?.fail();
    expect(await first.outcome).toMatchObject(refused(56));
    // All at once, before it has heard of the others, in two segments.
    const retries = [0, 1].map((sequence) => send(pipeline, { producerId: 1, sequence }));
    await turns();
    retries.push(send(pipeline, { producerId: 1, sequence: 2 }));
    await turns();
    uploads[1]?.succeed();
    for (const one of excluded) expect(await one.outcome).toMatchObject(refused(56));
    uploads[2]?.succeed();
    uploads[3]?.succeed();
    for (const [n, one] of retries.entries()) expect(await one.outcome).toMatchObject(written(n));
  });

  it('passes the loss of a batch that was excluded on to segments that were opened since', async () => {
    const { pipeline, uploads } = scriptedPipeline();
    const first = send(pipeline, { producerId: 1, sequence: 0 });
    await turns();
    const excluded = send(pipeline, { producerId: 1, sequence: 1 });
    await turns();
    uploads[0]?.fail();
    expect(await first.outcome).toMatchObject(refused(56));
    const behind = send(pipeline, { producerId: 1, sequence: 2 });
    await turns();
    uploads[1]?.succeed();
    expect(await excluded.outcome).toMatchObject(refused(56));
    uploads[2]?.succeed();
    expect(await behind.outcome).toMatchObject(refused(56));
  });

  it('does not let a retry share the open segment with what is excluded from it', async () => {
    const { pipeline, uploads } = scriptedPipeline({ flushInFlightMax: 1 });
    const first = send(pipeline, { producerId: 1, sequence: 0 });
    await turns();
    const second = send(pipeline, { producerId: 1, sequence: 1 });
    uploads[0]?.fail();
    expect(await first.outcome).toMatchObject(refused(56));
    const retry = send(pipeline, { producerId: 1, sequence: 0 });
    await turns();
    for (const upload of uploads) upload.succeed();
    await turns();
    for (const upload of uploads) upload.succeed();
    expect(await second.outcome).toMatchObject(refused(56));
    expect(await retry.outcome).toMatchObject({ kind: 'written' });
  });
});

describe('a commit', () => {
  it('is repeated when its outcome is unknown, with the same segments', async () => {
    let calls = 0;
    const scripted = scriptedPipeline({
      commit: (segments) => {
        calls += 1;
        if (calls < 3) {
          return Promise.reject(
            new OperatingError('LINK_LOST', 'scripted', { outcome: 'unknown' }),
          );
        }
        return scripted.acceptAll(segments);
      },
    });
    const sent = send(scripted.pipeline);
    await turns();
    scripted.uploads[0]?.succeed();
    expect(await sent.outcome).toMatchObject(written(0));
    const ids = scripted.commits.map((call) => call.map(({ segmentId }) => segmentId));
    expect(ids).toEqual([ids[0], ids[0], ids[0]]);
  });

  it('that certainly failed is answered "not written"', async () => {
    const { pipeline, uploads } = scriptedPipeline({
      commit: () => Promise.reject(new OperatingError('METADATA_FAILED', 'scripted')),
    });
    const sent = send(pipeline);
    await turns();
    uploads[0]?.succeed();
    expect(await sent.outcome).toMatchObject(refused(56));
  });

  it.each(['tooOld', 'fenced'] as const)('answered %s wrote nothing', async (kind) => {
    const { pipeline, uploads } = scriptedPipeline({ commit: () => Promise.resolve([{ kind }]) });
    const sent = send(pipeline);
    await turns();
    uploads[0]?.succeed();
    expect(await sent.outcome).toMatchObject(refused(56));
  });
});

describe('a batch with a wrong CRC', () => {
  it('is refused alone, and what its producer sent behind it is not written', async () => {
    const { pipeline, uploads } = scriptedPipeline();
    const bad = send(pipeline, { producerId: 1, sequence: 0, corrupt: true });
    const behind = send(pipeline, { producerId: 1, sequence: 1 });
    const other = send(pipeline, { producerId: 2, sequence: 0 });
    await turns();
    uploads[0]?.succeed();
    expect(await bad.outcome).toMatchObject(refused(2));
    expect(await behind.outcome).toMatchObject(refused(56));
    expect(await other.outcome).toMatchObject({ kind: 'written' });
  });

  it('takes with it what arrived after it was found and shares its commit', async () => {
    const { pipeline, uploads, commits } = scriptedPipeline();
    const head = send(pipeline);
    await turns();
    const bad = send(pipeline, { producerId: 1, sequence: 0, corrupt: true });
    const other = send(pipeline, { producerId: 2, sequence: 0 });
    await turns();
    uploads[1]?.succeed();
    await turns();
    const behind = send(pipeline, { producerId: 1, sequence: 1 });
    await turns();
    uploads[2]?.succeed();
    uploads[0]?.succeed();
    expect(await head.outcome).toMatchObject({ kind: 'written' });
    expect(await bad.outcome).toMatchObject(refused(2));
    expect(await other.outcome).toMatchObject({ kind: 'written' });
    expect(await behind.outcome).toMatchObject(refused(56));
    expect(commits.map((call) => call.length)).toEqual([3]);
  });

  it('alone in its segment costs no object and no commit', async () => {
    const { pipeline, uploads, commits } = scriptedPipeline();
    const bad = send(pipeline, { corrupt: true });
    await turns();
    expect(uploads[0]?.bytes.length).toBe(0);
    uploads[0]?.succeed();
    expect(await bad.outcome).toMatchObject(refused(2));
    expect(commits).toHaveLength(0);
  });
});

describe('the object', () => {
  it('has an extent per partition in order, and the batches byte for byte', async () => {
    const { pipeline, uploads } = scriptedPipeline();
    const sent = [2, 0, 2, 1].map((partition, sequence) => send(pipeline, { partition, sequence }));
    await turns();
    const bytes = uploads[0]?.bytes ?? Buffer.alloc(0);
    const decoded = decodeSegmentFooter(bytes, bytes.length);
    if (decoded.kind !== 'footer') throw new Error('the whole object was given');
    const { extents } = decoded.footer;
    expect(extents.map((extent) => extent.partitionIndex)).toEqual([0, 1, 2]);
    const body = [sent[1], sent[3], sent[0], sent[2]].map((one) => one?.records ?? Buffer.alloc(0));
    expect(bytes.subarray(0, Buffer.concat(body).length)).toEqual(Buffer.concat(body));
    expect(extents[2]).toMatchObject({ batchCount: 2, recordCount: 2 });
  });

  it('is read back from memory until it is evicted', async () => {
    const { pipeline, uploads, recent } = scriptedPipeline();
    const sent = [send(pipeline, { partition: 1 }), send(pipeline, { partition: 0 })];
    await turns();
    uploads[0]?.succeed();
    await Promise.all(sent.map((one) => one.outcome));
    const { job, result, bytes } = uploads[0]!;
    const body = result.extents[2]! + result.extents[3]!;
    for (let from = 0; from < body; from += 13) {
      const read = recent.read(job.segmentId, from, body - from);
      expect(read).toEqual(bytes.subarray(from, body));
    }
    expect(recent.read(job.segmentId, 0, bytes.length)).toBeNull(); // the footer is not kept
    recent.clear();
    expect(recent.read(job.segmentId, 0, 1)).toBeNull();
  });
});

it('can be read from its upload on, until it is known to be lost', async () => {
  let answer: (error: Error) => void = () => {};
  const { pipeline, uploads, recent } = scriptedPipeline({
    commit: () => new Promise((_, reject) => (answer = reject)),
  });
  const sent = send(pipeline);
  await turns();
  const { segmentId } = uploads[0]!.job;
  expect(recent.read(segmentId, 0, sent.records.length)).toBeNull();
  uploads[0]?.succeed();
  await turns();
  expect(recent.read(segmentId, 0, sent.records.length)).toEqual(sent.records);
  answer(new OperatingError('METADATA_FAILED', 'scripted'));
  await sent.outcome;
  expect(recent.read(segmentId, 0, sent.records.length)).toBeNull();
});

it('gives every byte of the budget back', async () => {
  const { pipeline, uploads, settledBytes } = scriptedPipeline();
  const sent = [send(pipeline), send(pipeline, { corrupt: true })];
  await turns();
  uploads[0]?.succeed();
  await Promise.all(sent.map((one) => one.outcome));
  await pipeline.drain();
  expect(settledBytes()).toBe(sent.reduce((sum, one) => sum + one.records.length, 0));
});
