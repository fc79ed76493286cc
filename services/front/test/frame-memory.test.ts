import { expect, it } from 'vitest';
import { FrameMemory } from '../src/frame-memory.js';

const KiB = 1024;

it('shares large frames with other threads, and uses their memory again', () => {
  const memory = new FrameMemory(1024 * KiB);
  const first = memory.take(100 * KiB);
  expect(first.bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
  first.release();
  const second = memory.take(99 * KiB);
  expect(second.bytes.buffer).toBe(first.bytes.buffer);
  expect(second.bytes.length).toBe(99 * KiB);
});

it('keeps nothing of small frames and of very large ones', () => {
  const memory = new FrameMemory(1024 * KiB * KiB);
  for (const bytes of [1, 16 * KiB - 1, 8 * KiB * KiB + 1]) {
    const frame = memory.take(bytes);
    expect(frame.bytes.length).toBe(bytes);
    expect(frame.bytes.buffer).toBeInstanceOf(ArrayBuffer);
    frame.release();
  }
  expect(memory.idleBytes).toBe(0);
});
