import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { laneNames } from '../src/segment/latency-lane.js';
import type { BatchOutcome } from '../src/segment/open-segment.js';
import { scriptedPipeline, send, turns } from './scripted.js';

const partitions = [0, 1, 2];

const step = fc.record({
  partition: fc.constantFrom(...partitions),
  /** A new flush interval of the partition's topic, now and then. */
  flushMs: fc.option(fc.constantFrom(-1, 0, 1, 3), { freq: 5 }),
  valueBytes: fc.nat(300),
  isCorrupt: fc.nat(30).map((dice) => dice === 0),
  timeoutMs: fc.constantFrom(0, 500, 500, 500),
  turnsAfter: fc.constantFrom(0, 0, 1, 3),
  isMemoryShort: fc.nat(20).map((dice) => dice === 0),
});

const upload = fc.record({
  /** Which of those under way ends next. */
  pick: fc.nat(100),
  fate: fc.constantFrom('succeed', 'succeed', 'succeed', 'fail', 'throttle'),
});

const bounds = fc.record({
  flushIntervalMs: fc.constantFrom(0, 2),
  flushInFlightMax: fc.integer({ min: 1, max: 4 }),
  flushOverlapBytesMin: fc.nat(300),
  flushGatherMsMax: fc.nat(2),
  segmentBytes: fc.integer({ min: 400, max: 2_400 }),
  uploadsMax: fc.integer({ min: 1, max: 4 }),
});

it('settles every batch once and keeps each partition in order (P3), whatever ends when', async () => {
  const run = fc.asyncProperty(
    bounds,
    fc.array(step, { minLength: 1, maxLength: 40 }),
    fc.array(upload, { minLength: 1, maxLength: 40 }),
    async (options, steps, fates) => {
      const { commits, pipeline, settledBytes, uploads } = scriptedPipeline(options);
      let ended = 0;
      const over = new AbortController();
      const store = async (): Promise<void> => {
        while (!over.signal.aborted) {
          await turns(1);
          const underWay = uploads.length - ended;
          if (underWay === 0) continue;
          const { fate, pick } = fates[ended % fates.length]!;
          const [next] = uploads.splice(ended + (pick % underWay), 1);
          uploads.splice(ended, 0, next!);
          ended += 1;
          next![fate as 'succeed']();
        }
      };
      const stored = store();
      const flushMs = partitions.map(() => -1);
      const outcomes: Promise<BatchOutcome>[] = [];
      let bytes = 0;
      for (const [sequence, each] of steps.entries()) {
        const { isCorrupt: corrupt, partition, timeoutMs } = each;
        if (each.flushMs !== null) flushMs[partition] = each.flushMs;
        const sent = send(pipeline, {
          partition,
          producerId: partition,
          sequence,
          corrupt,
          timeoutMs,
          flushMs: flushMs[partition]!,
          value: Buffer.alloc(each.valueBytes),
        });
        outcomes.push(sent.outcome);
        bytes += sent.records.length;
        await turns(each.turnsAfter);
        if (each.isMemoryShort) pipeline.relieve();
      }
      await pipeline.drain();
      const settled = await Promise.all(outcomes);
      over.abort();
      await stored;
      expect(settledBytes()).toBe(bytes);
      expect(laneNames.map((name) => pipeline.laneBytes(name))).toEqual([0, 0, 0]);
      expect(pipeline.uploadsInFlight).toBe(0);
      const written = commits
        .flat()
        .flatMap(({ extents }) => extents)
        .flatMap(({ batches }) => batches)
        .filter(({ excluded }) => !excluded);
      // As many as were told so, and of a partition in the order in which they came.
      expect(settled.filter(({ kind }) => kind === 'written')).toHaveLength(written.length);
      for (const partition of partitions) {
        const sequences = written
          .filter(({ producerId }) => producerId === partition)
          .map(({ baseSequence }) => baseSequence);
        expect(sequences).toEqual(sequences.toSorted((left, right) => left - right));
      }
    },
  );
  await fc.assert(run, { numRuns: 40 });
});
