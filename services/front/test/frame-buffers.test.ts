import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { FrameBuffers } from '../src/frame-buffers.js';

const KiB = 1024;

it('never lends the same memory twice at once, and keeps no more than its bound', () => {
  const idleBytesMax = 512 * KiB;
  const size = fc.integer({ min: 1, max: 300 * KiB });
  const step = fc.oneof(size, fc.constant('give' as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const buffers = new FrameBuffers(idleBytesMax);
      const lent: Buffer[] = [];
      for (const [index, what] of steps.entries()) {
        if (what === 'give') {
          const frame = lent.shift();
          if (frame) buffers.give(frame);
        } else {
          const frame = buffers.take(what);
          expect(frame.length).toBe(what);
          frame.fill(index);
          lent.push(frame);
        }
        expect(buffers.idleBytes).toBeLessThanOrEqual(idleBytesMax);
      }
      const fills = new Map(lent.map((frame) => [frame, frame[0]]));
      for (const [frame, fill] of fills) expect(frame.every((byte) => byte === fill)).toBe(true);
    }),
    { numRuns: 50 },
  );
});

it('lends memory again', () => {
  const buffers = new FrameBuffers(1024 * KiB);
  const first = buffers.take(100 * KiB);
  buffers.give(first);
  expect(buffers.take(90 * KiB).buffer).toBe(first.buffer);
  expect(buffers.idleBytes).toBe(0);
});

it('lets go of what is not its own, too small or too large', () => {
  const buffers = new FrameBuffers(1024 * KiB * KiB);
  for (const frame of [
    Buffer.alloc(100),
    buffers.take(100),
    buffers.take(9 * KiB * KiB),
    Buffer.alloc(128 * KiB).subarray(1),
  ]) {
    buffers.give(frame);
  }
  expect(buffers.idleBytes).toBe(0);
});
