import type { Extent } from '@kafscale/cluster';
import { encodePlainBatch } from '@kafscale/codec';
import { MemoryPool, sizeClassOf } from '@kafscale/core';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BlockCache } from '../src/blocks/block-cache.js';
import { forGood, Lease, nobody } from '../src/blocks/lease.js';
import { type LoadedExtent, verifyExtent } from '../src/blocks/verify-extent.js';
import { plainRecords } from './world.js';

function poolOf(idleBytesMax: number): MemoryPool {
  return new MemoryPool({ idleBytesMax, allocate: (bytes) => Buffer.allocUnsafeSlow(bytes) });
}

function load(pool: MemoryPool, segmentId: string, fill: number): LoadedExtent {
  const batch = encodePlainBatch(plainRecords(1, fill));
  const memory = pool.take(batch.length);
  batch.copy(memory.bytes);
  const extent: Extent = {
    partitionId: 1,
    baseOffset: 0,
    nextOffset: 1,
    segmentId,
    position: 0,
    length: batch.length,
    skippedBatches: [],
    firstTimestampMs: 0,
    maxTimestampMs: 0,
    absoluteOffsets: false,
    writerNodeId: 1,
  };
  const verdict = verifyExtent(memory.bytes, extent, 0, memory);
  if (verdict.kind !== 'intact') throw new Error(verdict.reason);
  return verdict.loaded;
}

describe('a lease', () => {
  it('keeps what was evicted as long as a response needs it', () => {
    const pool = poolOf(1024 * 1024);
    const cache = new BlockCache({ bytesMax: 10_000, catchUpBytesMax: 10_000 });
    const loaded = load(pool, 'a', 10);
    cache.insert([loaded], loaded.bytes.length, 'catchUp');
    const lease = new Lease();
    lease.hold(loaded);
    lease.hold(loaded);
    cache.clear();
    expect(pool.idleBytes).toBe(0);
    lease.release();
    expect(pool.idleBytes).toBeGreaterThan(0);
  });

  it('that is over holds nothing', () => {
    const pool = poolOf(1024 * 1024);
    const loaded = load(pool, 'a', 10);
    const lease = new Lease();
    lease.release();
    lease.hold(loaded);
    loaded.memory?.release();
    expect(pool.idleBytes).toBeGreaterThan(0);
  });

  it('is not needed by who leaves the memory to the garbage collector', () => {
    const pool = poolOf(1024 * 1024);
    const kept = load(pool, 'a', 10);
    forGood.hold(kept);
    kept.memory?.release();
    expect(pool.idleBytes).toBe(0);
    const ahead = load(pool, 'b', 10);
    nobody.hold(ahead);
    ahead.memory?.release();
    expect(pool.idleBytes).toBeGreaterThan(0);
  });

  it('never lets two look at the same memory, whatever is cached, evicted and sent', () => {
    const operation = fc.record({
      kind: fc.constantFrom('load', 'load', 'answer', 'sent'),
      segment: fc.nat(6),
      size: fc.integer({ min: 1, max: 3000 }),
    });
    fc.assert(
      fc.property(fc.array(operation, { maxLength: 100 }), (operations) => {
        const pool = poolOf(20_000);
        const cache = new BlockCache({ bytesMax: 10_000, catchUpBytesMax: 10_000 });
        const responses: { lease: Lease; loaded: LoadedExtent; copy: Buffer }[] = [];
        const known = new Map<string, LoadedExtent>();
        for (const { kind, segment, size } of operations) {
          const name = `segment-${segment}`;
          if (kind === 'load') {
            const loaded = load(pool, name, size);
            cache.insert([loaded], sizeClassOf(loaded.bytes.length), 'catchUp');
            known.set(name, loaded);
          }
          const wanted = known.get(name);
          const found = wanted && cache.find(wanted.extent);
          if (kind === 'answer' && found) {
            const lease = new Lease();
            lease.hold(found);
            responses.push({ lease, loaded: found, copy: Buffer.from(found.bytes) });
          }
          if (kind === 'sent') responses.shift()?.lease.release();
          for (const { loaded, copy } of responses) expect(loaded.bytes.equals(copy)).toBe(true);
        }
      }),
    );
  });
});
