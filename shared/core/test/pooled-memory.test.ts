import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { MemoryPool, PooledMemory, sizeClassOf } from '@kafscale/core';

const KiB = 1024;

function poolOf(idleBytesMax: number): MemoryPool {
  return new MemoryPool({ idleBytesMax, allocate: (bytes) => Buffer.alloc(bytes) });
}

it('never lends the same memory twice at once, and keeps no more than its bound', () => {
  const idleBytesMax = 512 * KiB;
  const size = fc.integer({ min: 1, max: 300 * KiB });
  const step = fc.oneof(size, fc.constant('retain' as const), fc.constant('release' as const));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const pool = poolOf(idleBytesMax);
      const held: PooledMemory[] = [];
      for (const [index, what] of steps.entries()) {
        const oldest = held[0];
        if (what === 'release') {
          held.shift()?.release();
        } else if (what === 'retain') {
          oldest?.retain();
          if (oldest) held.push(oldest);
        } else {
          const memory = pool.take(what);
          expect(memory.bytes.length).toBe(what);
          memory.bytes.fill(index);
          held.push(memory);
        }
        expect(pool.idleBytes).toBeLessThanOrEqual(idleBytesMax);
      }
      const memories = new Set(held);
      expect(new Set([...memories].map(({ bytes }) => bytes.buffer)).size).toBe(memories.size);
      for (const { bytes } of memories) expect(new Set(bytes).size).toBe(1);
    }),
    { numRuns: 50 },
  );
});

it('lends memory again when its last holder has let go', () => {
  const pool = poolOf(1024 * KiB);
  const first = pool.take(100 * KiB);
  first.retain();
  first.release();
  expect(pool.idleBytes).toBe(0);
  first.release();
  expect(pool.idleBytes).toBe(sizeClassOf(100 * KiB));
  expect(pool.take(99 * KiB).bytes.buffer).toBe(first.bytes.buffer);
});

it('does not take back what nobody holds', () => {
  const memory = new PooledMemory(Buffer.alloc(1));
  memory.release();
  expect(() => memory.release()).toThrow('let go once');
  expect(() => memory.retain()).toThrow('free memory');
});

it('wastes at most an eighth', () => {
  fc.assert(
    fc.property(fc.integer({ min: 8 * KiB, max: 2 ** 30 }), (bytes) => {
      const capacity = sizeClassOf(bytes);
      expect(capacity).toBeGreaterThanOrEqual(bytes);
      expect(capacity).toBeLessThanOrEqual(bytes * 1.125);
      expect(sizeClassOf(capacity)).toBe(capacity);
    }),
  );
});
