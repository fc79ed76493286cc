import { limits } from '@kafscale/core';
import { expect, it } from 'vitest';
import { ChunkPool } from '../src/segment/chunk-pool.js';

it.each([100, limits.arenaChunkBytes, 4 * limits.arenaChunkBytes])(
  'fills the same memory again, however often %d bytes are wanted',
  (bytes) => {
    const pool = new ChunkPool(0);
    const kept = pool.take(1);
    const memories = new Set<unknown>();
    for (let round = 0; round < 100; round += 1) {
      const chunks = [0, 1, 2].map(() => pool.take(bytes));
      expect(chunks.every((chunk) => chunk.bytes.length >= bytes)).toBe(true);
      for (const { bytes: chunk } of chunks) memories.add(chunk.buffer);
      for (const chunk of chunks) chunk.release();
    }
    kept.release();
    expect([...memories]).toEqual([expect.any(SharedArrayBuffer)]);
    expect(pool.takenBytes).toBe(0);
  },
);

it('shares with other threads what is larger than a slab, too', () => {
  const { bytes } = new ChunkPool(0).take(limits.chunkSlabBytes + 1);
  expect(bytes.length).toBe(limits.chunkSlabBytes + 1);
  expect(bytes.buffer).toBeInstanceOf(SharedArrayBuffer);
});
