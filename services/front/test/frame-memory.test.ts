import { expect, it } from 'vitest';
import { limits } from '@kafscale/core';
import { FrameMemory } from '../src/frame-memory.js';

const KiB = 1024;

function memoryOf(): FrameMemory {
  return new FrameMemory({
    idleBytesMax: limits.frameSlabBytes,
    bytesMax: 2 * limits.frameSlabBytes,
  });
}

it.each([20 * KiB, 100 * KiB, 3000 * KiB])(
  'shares a frame of %d bytes with other threads, and uses its memory again',
  (bytes) => {
    const memory = memoryOf();
    const first = memory.take(bytes);
    expect(first.bytes.length).toBe(bytes);
    expect(first.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
    const { buffer, byteOffset } = first.bytes;
    first.release();
    const second = memory.take(bytes - 10);
    expect(second.bytes.buffer).toBe(buffer);
    expect(second.bytes.byteOffset).toBe(byteOffset);
  },
);

it.each([20 * KiB, 63 * KiB, 100 * KiB])(
  'shares no more than it may with other threads, however many frames of %d bytes are held',
  (bytes) => {
    const memory = memoryOf();
    const bytesMax = 2 * limits.frameSlabBytes;
    const shared = new Set<SharedArrayBuffer>();
    for (let taken = 0; taken <= 2 * bytesMax; taken += bytes) {
      const { buffer } = memory.take(bytes).bytes;
      if (buffer instanceof SharedArrayBuffer) shared.add(buffer);
    }
    const sharedBytes = [...shared].reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(sharedBytes).toBe(bytesMax);
  },
);

it('keeps nothing of small frames, and of those that are larger than a slab', () => {
  const memory = memoryOf();
  for (const bytes of [1, limits.sharedFrameBytesMin - 1, limits.frameSlabBytes + 1]) {
    const frame = memory.take(bytes);
    expect(frame.bytes.length).toBe(bytes);
    expect(frame.bytes.buffer).toBeInstanceOf(ArrayBuffer);
    frame.release();
  }
  expect(memory.idleBytes).toBe(0);
});
