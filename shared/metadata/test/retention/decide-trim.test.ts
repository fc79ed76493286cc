import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { decideTrim } from '../../src/retention/decide-trim.js';
import type { RetentionPolicy, TrimExtent } from '../../src/retention/decide-trim.js';

const nowMs = 1_000_000;
const unlimited: RetentionPolicy = { retentionMs: -1, retentionBytes: -1 };

/** Extents of 10 records and 100 bytes each, with these ages. */
function extentsOf(...agesMs: number[]): TrimExtent[] {
  return agesMs.map((ageMs, index) => ({
    baseOffset: index * 10,
    nextOffset: index * 10 + 10,
    length: 100,
    timestampMs: nowMs - ageMs,
  }));
}

function decide(
  extents: readonly TrimExtent[],
  policy: Partial<RetentionPolicy>,
  logStartOffset = 0,
) {
  const partition = {
    partitionId: 1,
    logStartOffset,
    nextOffset: extents.at(-1)?.nextOffset ?? logStartOffset,
    sizeBytes: extents.reduce((sum, { length }) => sum + length, 0),
  };
  return decideTrim(partition, extents, { ...unlimited, ...policy }, { nowMs, isAll: true });
}

describe('by time', () => {
  it('goes what is older than retention.ms, and not what is exactly as old', () => {
    const extents = extentsOf(1001, 1000, 999);
    expect(decide(extents, { retentionMs: 1000 })).toMatchObject({
      logStartOffset: 10,
      more: true,
      overdueMs: 1,
      dueInMs: 0,
    });
    expect(decide(extents, { retentionMs: 1001 })).toMatchObject({
      logStartOffset: 0,
      more: false,
      dueInMs: 0,
    });
  });

  it('goes everything, the newest too, and says when the next is due', () => {
    expect(decide(extentsOf(50, 40, 30), { retentionMs: 10 })).toMatchObject({
      logStartOffset: 30,
      dueInMs: Infinity,
      overdueMs: 40,
    });
    expect(decide(extentsOf(50, 40, 30), { retentionMs: 60 }).dueInMs).toBe(10);
  });

  it('stops at the first that is young enough, whatever comes behind it', () => {
    expect(decide(extentsOf(5, 500, 500), { retentionMs: 10 })).toMatchObject({
      logStartOffset: 0,
      more: false,
    });
  });

  it('goes nothing without a limit', () => {
    expect(decide(extentsOf(5_000_000), unlimited)).toMatchObject({
      more: false,
      dueInMs: Infinity,
    });
  });
});

describe('by size', () => {
  it('go the oldest while the rest is still retention.bytes', () => {
    const extents = extentsOf(0, 0, 0);
    expect(decide(extents, { retentionBytes: 300 }).logStartOffset).toBe(0);
    expect(decide(extents, { retentionBytes: 201 }).logStartOffset).toBe(0);
    expect(decide(extents, { retentionBytes: 200 }).logStartOffset).toBe(10);
    expect(decide(extents, { retentionBytes: 0 }).logStartOffset).toBe(30);
  });

  it('what is below the log start already does not count', () => {
    expect(decide(extentsOf(0, 0, 0), { retentionBytes: 200 }, 10)).toMatchObject({
      deadExtents: 1,
      deadBytes: 100,
      deadEndOffset: 10,
      logStartOffset: 10,
      more: false,
    });
  });
});

it('an extent that a log start lies within stays, and its size counts', () => {
  expect(decide(extentsOf(0, 0), { retentionBytes: 200 }, 5)).toMatchObject({
    deadExtents: 0,
    logStartOffset: 5,
    more: false,
  });
  // One that has expired goes as a whole.
  expect(decide(extentsOf(50, 0), { retentionMs: 10 }, 5)).toMatchObject({ logStartOffset: 10 });
});

/** Kafka's two passes over a whole log, one after the other, as it writes them. */
function kafkaLogStart(extents: readonly TrimExtent[], policy: RetentionPolicy, from: number) {
  let segments = extents.filter(({ nextOffset }) => nextOffset > from);
  const isBreached = ({ timestampMs }: TrimExtent): boolean =>
    policy.retentionMs >= 0 && nowMs - timestampMs > policy.retentionMs;
  while (segments[0] !== undefined && isBreached(segments[0])) segments = segments.slice(1);
  const size = segments.reduce((sum, { length }) => sum + length, 0);
  if (policy.retentionBytes >= 0 && size >= policy.retentionBytes) {
    let diff = size - policy.retentionBytes;
    while (segments[0] !== undefined && diff - segments[0].length >= 0) {
      diff -= segments[0].length;
      segments = segments.slice(1);
    }
  }
  return Math.max(from, segments[0]?.baseOffset ?? extents.at(-1)?.nextOffset ?? from);
}

it('in steps of any size ends where Kafka ends when one limit is set, and at no less when both are', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ ageMs: fc.nat(100), length: fc.integer({ min: 1, max: 50 }) }), {
        maxLength: 20,
      }),
      fc.record({
        retentionMs: fc.integer({ min: -1, max: 100 }),
        retentionBytes: fc.integer({ min: -1, max: 400 }),
      }),
      fc.integer({ min: 1, max: 5 }),
      fc.nat(200),
      (sizes, policy, rowsPerStep, deletedTo) => {
        const all = sizes.map(({ ageMs, length }, index): TrimExtent => ({
          baseOffset: index * 10,
          nextOffset: index * 10 + 10,
          length,
          timestampMs: nowMs - ageMs,
        }));
        const nextOffset = all.length * 10;
        const first = Math.min(deletedTo, nextOffset);
        let rows = all;
        let logStartOffset = first;
        for (let more = true, steps = 0; more; steps += 1) {
          expect(steps).toBeLessThan(3 * all.length + 2);
          const seen = rows.slice(0, rowsPerStep);
          const decision = decideTrim(
            {
              partitionId: 1,
              logStartOffset,
              nextOffset,
              sizeBytes: rows.reduce((sum, { length }) => sum + length, 0),
            },
            seen,
            policy,
            { nowMs, isAll: seen.length < rowsPerStep },
          );
          const dead = rows.slice(0, decision.deadExtents);
          expect(dead.every((row) => row.nextOffset <= logStartOffset)).toBe(true);
          expect(decision.deadBytes).toBe(dead.reduce((sum, { length }) => sum + length, 0));
          expect(decision.deadEndOffset).toBe(dead.at(-1)?.nextOffset ?? 0);
          expect(decision.logStartOffset).toBeGreaterThanOrEqual(logStartOffset);
          rows = rows.slice(decision.deadExtents);
          ({ logStartOffset, more } = decision);
        }
        // Nothing is left below the log start but the extent that it lies within.
        expect(rows.every((row) => row.nextOffset > logStartOffset)).toBe(true);
        const kafka = kafkaLogStart(all, policy, first);
        if (policy.retentionMs < 0 || policy.retentionBytes < 0) expect(logStartOffset).toBe(kafka);
        else expect(logStartOffset).toBeGreaterThanOrEqual(kafka);
      },
    ),
    { numRuns: 2000 },
  );
});
