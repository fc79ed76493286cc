import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import {
  MemoryPool,
  type PooledMemory,
  SlabMemory,
  slabPartBytesMin,
  slabUnitBytes,
} from '@kafscale/core';
import * as fc from 'fast-check';
import { expect, it } from 'vitest';

const slabBytes = 1024 * 1024;

function memoryOf(
  slabCountMax: number,
  { idleBytesMax = slabCountMax * slabBytes, hasSmall = true } = {},
): SlabMemory {
  return new SlabMemory({
    slabBytes,
    slabBytesMax: slabCountMax * slabBytes,
    idleBytesMax,
    small: hasSmall
      ? new MemoryPool({
          idleBytesMax: slabPartBytesMin,
          allocate: (bytes) => Buffer.allocUnsafeSlow(bytes),
        })
      : null,
  });
}

/** Where it lies, to see whether two overlap. */
function rangeOf({ bytes }: PooledMemory): { buffer: unknown; start: number; end: number } {
  return { buffer: bytes.buffer, start: bytes.byteOffset, end: bytes.byteOffset + bytes.length };
}

function overlap(one: PooledMemory, other: PooledMemory): boolean {
  const [left, right] = [rangeOf(one), rangeOf(other)];
  return left.buffer === right.buffer && left.start < right.end && right.start < left.end;
}

it('lets go of a slab of which all parts are lost, and of no other', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const memory = memoryOf(2);
  const half = slabBytes / 2;
  // Views outlive what they were taken from.
  const view = ((): Buffer => {
    memory.take(half);
    return memory.take(half).bytes;
  })();
  view.fill(7);
  const kept = memory.take(half);
  ((): void => void memory.take(half))();
  expect(memory.slabBytes).toBe(2 * slabBytes);
  for (let round = 0; memory.slabBytes > slabBytes && round < 100; round += 1) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(memory.slabBytes).toBe(slabBytes);
  const next = memory.take(half);
  expect(next.bytes.buffer).not.toBe(view.buffer);
  next.bytes.fill(9);
  expect(view.every((byte) => byte === 7)).toBe(true);
  kept.release();
  next.release();
});

it.each([true, false])('never gives a byte to two, a pool for small parts: %s', (hasSmall) => {
  const step = fc.record({
    bytes: fc.oneof(
      fc.integer({ min: 1, max: slabBytes + slabUnitBytes }),
      fc.integer({ min: 1, max: 4 * slabUnitBytes }),
    ),
    isHeldTwice: fc.boolean(),
    released: fc.nat(),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 3 }), (steps, max) => {
      const memory = memoryOf(max, { hasSmall });
      const live: { memory: PooledMemory; holds: number }[] = [];
      for (const { bytes, isHeldTwice, released } of steps) {
        const taken = memory.take(bytes);
        expect(taken.bytes).toHaveLength(bytes);
        expect(live.some((each) => overlap(each.memory, taken))).toBe(false);
        expect(memory.slabBytes).toBeLessThanOrEqual(max * slabBytes);
        if (isHeldTwice) taken.retain();
        live.push({ memory: taken, holds: isHeldTwice ? 2 : 1 });
        const index = released % (2 * live.length);
        const each = live[index];
        if (each === undefined) continue;
        each.memory.release();
        each.holds -= 1;
        if (each.holds === 0) live.splice(index, 1);
      }
      for (const each of live) for (; each.holds > 0; each.holds--) each.memory.release();
      // Every part came back: as much as there are slabs is free, in one piece each.
      const slabCount = memory.slabBytes / slabBytes;
      const whole = Array.from({ length: slabCount }, () => memory.take(slabBytes));
      expect(new Set(whole.map(({ bytes }) => bytes.buffer)).size).toBe(slabCount);
      expect(whole.every(({ bytes }) => bytes.buffer instanceof SharedArrayBuffer)).toBe(true);
      expect(memory.slabBytes).toBe(slabCount * slabBytes);
    }),
  );
});

it('fills the memory anew that was let go, and only then', () => {
  const memory = memoryOf(1);
  const first = memory.take(slabBytes / 2);
  const second = memory.take(slabBytes / 2);
  first.retain();
  first.release();
  const beside = memory.take(slabBytes / 2);
  expect(beside.bytes.buffer).not.toBe(first.bytes.buffer);
  first.release();
  expect(rangeOf(memory.take(slabBytes / 4)).start).toBe(rangeOf(first).start);
  expect(rangeOf(memory.take(slabBytes / 4)).buffer).toBe(second.bytes.buffer);
});

it('takes small parts of slabs if there is no pool for them', () => {
  const memory = memoryOf(1, { hasSmall: false });
  const one = memory.take(1);
  const other = memory.take(slabUnitBytes + 1);
  expect(one.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
  expect(other.bytes.buffer).toBe(one.bytes.buffer);
  expect(memory.idleBytes).toBe(slabBytes - 3 * slabUnitBytes);
  one.release();
  other.release();
  expect(memory.idleBytes).toBe(slabBytes);
});

it('keeps no more than it may of what nobody looks at, one slab after the other', async () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;
  const memory = memoryOf(4, { idleBytesMax: slabBytes });
  const use = (): void => {
    const taken = [0, 1, 2, 3].map(() => memory.take(slabBytes));
    expect(memory.slabBytes).toBe(4 * slabBytes);
    for (const each of taken) each.release();
  };
  use();
  // The first is let go. Until it is collected it is there, so no other is abandoned beside it.
  expect(memory.slabBytes).toBe(3 * slabBytes);
  use();
  expect(memory.slabBytes).toBe(4 * slabBytes);
  for (let round = 0; memory.slabBytes > slabBytes && round < 100; round += 1) {
    collectGarbage();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect(memory.slabBytes).toBe(slabBytes);
  expect(memory.idleBytes).toBe(slabBytes);
});
