import { limits, OperatingError } from '@kafscale/core';
import { mergeRowColumns, type MergePlan } from '@kafscale/metadata';
import { expect, it, vi } from 'vitest';
import { MergeMemory } from '../../src/compaction/merge-memory.js';
import { mergeSegments } from '../../src/compaction/merge-segments.js';

const segmentId = '00000000-0000-4000-8000-000000000001';

it('is filled again, as long as it is not larger than merges are', () => {
  const memories = new MergeMemory();
  const first = memories.take(1000);
  const beside = memories.take(limits.compactionBytesMax);
  // Not `toBe`, which compares what is in them.
  expect(beside === first).toBe(false);
  expect(beside.length).toBe(limits.compactionBytesMax);
  memories.give(first);
  expect(memories.take(limits.compactionBytesMax) === first).toBe(true);
  const large = memories.take(limits.compactionBytesMax + 1);
  expect(large.length).toBe(limits.compactionBytesMax + 1);
  memories.give(large);
  expect(memories.take(1) === large).toBe(false);
});

it('is not filled again after a failure, when another read may still write to it', async () => {
  const memories = new MergeMemory();
  const give = vi.spyOn(memories, 'give');
  const failure = new OperatingError('STORE_UNAVAILABLE', 'down', { outcome: 'failed' });
  const store = { read: () => Promise.reject(failure), put: () => Promise.resolve() };
  const job = { plan: planOfOne(), segmentId, softwareVersion: 'test' };
  expect(await mergeSegments(store, job, memories)).toMatchObject({ kind: 'failed' });
  expect(give).not.toHaveBeenCalled();
});

function planOfOne(): MergePlan {
  const rows = new Float64Array(mergeRowColumns.count);
  rows[mergeRowColumns.length] = 100;
  const run = { partitionId: 1, topicId: segmentId, partitionIndex: 0, leaderEpoch: 0 };
  const offsets = { baseOffset: 0, nextOffset: 1, skippedBatches: new Map<number, number[]>() };
  return {
    kind: 'fresh',
    segmentIds: [segmentId],
    runs: [{ ...run, ...offsets, rowCount: 1, rows, bytes: 100 }],
    rowCount: 1,
    bytes: 100,
    birthMs: 0,
    incarnation: 1,
  };
}
