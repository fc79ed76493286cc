import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { UploadLimit } from '../src/segment/upload-limit.js';

describe('the limit of uploads', () => {
  it('is halved once for all uploads of one moment, and raised by one per round', () => {
    const limit = new UploadLimit(16);
    for (let upload = 0; upload < 16; upload += 1) limit.throttled(0, 10 + upload);
    expect(limit.uploads).toBe(8);
    limit.throttled(11, 30);
    expect(limit.uploads).toBe(4);
    for (let upload = 0; upload < 4; upload += 1) limit.succeeded();
    expect(limit.uploads).toBe(4);
    for (let upload = 0; upload < 2; upload += 1) limit.succeeded();
    expect(limit.uploads).toBe(5);
  });

  it('any history keeps it between 1 and the maximum, and successes bring it back to that', () => {
    const event = fc.oneof(
      { weight: 2, arbitrary: fc.constant('success' as const) },
      { weight: 1, arbitrary: fc.record({ startedAgoMs: fc.nat(100) }) },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), fc.array(event), (uploadsMax, events) => {
        const limit = new UploadLimit(uploadsMax);
        let nowMs = 1_000;
        for (const each of events) {
          nowMs += 7;
          const before = limit.uploads;
          if (each === 'success') {
            limit.succeeded();
            expect(limit.uploads - before).toBeGreaterThanOrEqual(0);
            expect(limit.uploads - before).toBeLessThanOrEqual(1);
          } else {
            limit.throttled(nowMs - each.startedAgoMs, nowMs);
            expect(limit.uploads).toBeLessThanOrEqual(before);
            expect(limit.uploads).toBeGreaterThanOrEqual(Math.floor(before / 2));
          }
          expect(limit.uploads).toBeGreaterThanOrEqual(1);
          expect(limit.uploads).toBeLessThanOrEqual(uploadsMax);
        }
        // A round for every step from 1.
        for (let count = 0; count < uploadsMax ** 2; count += 1) limit.succeeded();
        expect(limit.uploads).toBe(uploadsMax);
      }),
    );
  });
});
