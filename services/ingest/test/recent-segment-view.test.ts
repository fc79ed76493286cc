import { emptyBatchHeader, encodePlainBatch, readBatchHeader } from '@kafscale/codec';
import { limits } from '@kafscale/core';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildSegment } from '../src/seal/build-segment.js';
import { ChunkPool } from '../src/segment/chunk-pool.js';
import { OpenSegment } from '../src/segment/open-segment.js';
import { RecentSegments } from '../src/segment/recent-segments.js';
import { SealedSegment } from '../src/segment/sealed-segment.js';
import { topicId } from './scripted.js';

interface Made {
  readonly segment: SealedSegment;
  readonly object: Buffer;
  /** Position and length of each partition's bytes. */
  readonly extents: Float64Array;
}

interface Batch {
  readonly partition: number;
  readonly bytes: number;
  readonly isCorrupt?: boolean;
}

function make(pool: ChunkPool, segmentId: string, batches: readonly Batch[]): Made {
  const open = new OpenSegment({ segmentId, birthMs: 0, openedAtMs: 0, pool });
  for (const { partition, bytes, isCorrupt } of batches) {
    const value = Buffer.alloc(bytes, partition);
    const records = encodePlainBatch({ records: [{ key: null, value, timestampMs: 1 }] });
    if (isCorrupt === true) records.writeUInt8(records.readUInt8(70) ^ 1, 70);
    open.append({
      target: { partitionId: partition, topicId: topicId(0), partitionIndex: partition },
      records,
      header: readBatchHeader(records, 0, emptyBatchHeader()),
      logAppendTimeMs: -1,
      listener: { settled: () => undefined },
    });
  }
  const segment = new SealedSegment(open, { nodeId: 1, incarnation: 1 });
  const { chunks, result } = buildSegment(segment.job('key', 'test'));
  segment.uploaded(result);
  return { segment, object: Buffer.concat(chunks), extents: result.extents };
}

const first = '00000000-0000-4000-8000-000000000001';
const second = '00000000-0000-4000-8000-000000000002';

const noted = (): void => undefined;

describe('a view of a recent segment', () => {
  it('is the bytes of the object, in memory that is not a copy', () => {
    const batch = fc.record({
      partition: fc.nat(4),
      bytes: fc.integer({ min: 10, max: 5000 }),
      isCorrupt: fc.integer({ min: 0, max: 5 }).map((dice) => dice === 0),
    });
    fc.assert(
      fc.property(fc.array(batch, { minLength: 1, maxLength: 40 }), (batches) => {
        fc.pre(batches.some(({ isCorrupt }) => !isCorrupt));
        const pool = new ChunkPool(0);
        const recent = new RecentSegments(64 * 1024 * 1024);
        const { segment, object, extents } = make(pool, first, batches);
        recent.show(segment);
        const view = recent.view(first, noted)!;
        for (let at = 0; at < extents.length; at += 2) {
          const [position, length] = [extents[at]!, extents[at + 1]!];
          if (length === 0) continue;
          const pieces = view.pieces(position, length)!;
          const bytes = object.subarray(position, position + length);
          expect(Buffer.concat(pieces).equals(bytes)).toBe(true);
          const memories = new Set(segment.source.chunks.map((chunk) => chunk.buffer));
          expect(pieces.every((piece) => memories.has(piece.buffer))).toBe(true);
          // Not where no batch begins or ends.
          expect(view.pieces(position + 1, length - 1)).toBeNull();
          expect(view.pieces(position, length - 1)).toBeNull();
        }
        view.release();
      }),
    );
  });

  it('is one piece where batches lie in a row', () => {
    const recent = new RecentSegments(64 * 1024 * 1024);
    const same = [1, 1, 1].map((partition) => ({ partition, bytes: 100 }));
    const { segment, extents } = make(new ChunkPool(0), first, same);
    recent.show(segment);
    expect(recent.view(first, noted)!.pieces(0, extents[1]!)).toHaveLength(1);
  });

  it('keeps the memory from being used again, and asks for it', () => {
    const pool = new ChunkPool(limits.chunkSlabBytes);
    // Room for one segment: the second one evicts the first.
    const recent = new RecentSegments(limits.arenaChunkBytes);
    const evicted = make(pool, first, [{ partition: 0, bytes: 100 }]);
    recent.show(evicted.segment);
    let isWanted = 0;
    const views = [1, 2].map(() => recent.view(first, () => (isWanted += 1))!);
    recent.keep(evicted.segment);
    recent.keep(make(pool, second, [{ partition: 0, bytes: 100 }]).segment);
    expect(isWanted).toBe(2);
    expect(recent.view(first, noted)).toBeNull();
    expect(pool.takenBytes).toBe(2 * limits.arenaChunkBytes);
    views[0]!.release();
    expect(pool.takenBytes).toBe(2 * limits.arenaChunkBytes);
    views[1]!.release();
    expect(pool.takenBytes).toBe(limits.arenaChunkBytes);
  });

  it('may be let go by whoever is asked for it, there and then', () => {
    const pool = new ChunkPool(limits.chunkSlabBytes);
    const recent = new RecentSegments(limits.arenaChunkBytes);
    const { segment } = make(pool, first, [{ partition: 0, bytes: 100 }]);
    recent.show(segment);
    const view = recent.view(first, () => view.release())!;
    // Nobody can tell whether it was committed: it may have readers.
    recent.drop(segment);
    expect(pool.takenBytes).toBe(0);
  });

  it('leaves the memory to the garbage collector if it is never let go', async () => {
    setFlagsFromString('--expose-gc');
    const collectGarbage = runInNewContext('gc') as () => void;
    const recent = new RecentSegments(limits.arenaChunkBytes);
    // In a function of its own, so that nothing of it is on the stack afterwards.
    const forgotten = (() => {
      const { segment } = make(new ChunkPool(0), first, [{ partition: 0, bytes: 100 }]);
      recent.show(segment);
      recent.view(first, noted);
      recent.keep(segment);
      recent.clear();
      return new WeakRef(segment);
    })();
    // A weak reference holds until the turn that made it has ended.
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    expect(forgotten.deref() === undefined).toBe(true);
  });

  it('costs nothing once it is over', () => {
    const pool = new ChunkPool(limits.chunkSlabBytes);
    const recent = new RecentSegments(limits.arenaChunkBytes);
    const { segment } = make(pool, first, [{ partition: 0, bytes: 100 }]);
    recent.show(segment);
    recent.view(first, noted)!.release();
    recent.keep(segment);
    recent.clear();
    expect(pool.takenBytes).toBe(0);
  });
});
