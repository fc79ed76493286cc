import type { Extent } from '@kafscale/cluster';
import { expect, it } from 'vitest';
import type { FoundExtent } from '../src/extents/extent-index.js';
import { type CollectExtents, UpcomingExtents } from '../src/read/upcoming-extents.js';

const extentBytes = 100;
const bounds = {
  readersMax: 3,
  idleMsMax: 1000,
  bytesMax: 1200,
  bytesPerReaderMax: 500,
  extentsMax: 100,
};

/** A partition of extents of 10 records, each in the segment that has its number. */
function logOf(partitionId: number): CollectExtents {
  return (offset, bytes) => {
    const first = Math.floor(offset / 10);
    const count = Math.ceil(bytes / extentBytes);
    return Array.from({ length: count }, (_, index): FoundExtent => {
      const baseOffset = (first + index) * 10;
      const extent = { partitionId, baseOffset, nextOffset: baseOffset + 10, length: extentBytes };
      const segmentId = `s${first + index}`;
      return { extent: { ...extent, segmentId } as Extent, arrival: 0, isTail: false };
    });
  };
}

function setUp(changed = {}): {
  read: (partitionId: number, offset: number) => void;
  partitionsOf: (segment: number) => number[];
  clock: { nowMs: number };
} {
  const clock = { nowMs: 0 };
  const upcoming = new UpcomingExtents(
    { ...bounds, ...changed },
    {
      monotonicMs: () => clock.nowMs,
      wallMs: () => 0,
    },
  );
  return {
    clock,
    read: (partitionId, offset) => {
      upcoming.advance(`reader/${partitionId}`, { offset, leaderEpoch: 0 }, logOf(partitionId));
    },
    partitionsOf: (segment) =>
      [...upcoming.of(`s${segment}`)].map(({ extent }) => extent.partitionId),
  };
}

it('names what readers will want of a segment, up to their share of the bytes', () => {
  const { partitionsOf, read } = setUp();
  read(1, 0);
  expect(partitionsOf(0)).toEqual([1]);
  expect(partitionsOf(4)).toEqual([1]);
  expect(partitionsOf(5)).toEqual([]); // 500 bytes each at most
  read(2, 20);
  expect(partitionsOf(1)).toEqual([1]);
  expect(partitionsOf(2)).toEqual([1, 2]);
  expect(partitionsOf(6)).toEqual([2]);
  read(3, 20);
  expect(partitionsOf(5)).toEqual([2, 3]);
  expect(partitionsOf(6)).toEqual([2]); // a third of 1200 bytes for the third one
});

it('forgets what a reader has behind it, and all of it when it jumps', () => {
  const { partitionsOf, read } = setUp();
  read(1, 0);
  read(1, 25); // in the middle of an extent
  expect([0, 1, 2, 6].map(partitionsOf)).toEqual([[], [], [1], [1]]);
  read(1, 1000);
  expect([2, 6, 99, 100, 104, 105].map(partitionsOf)).toEqual([[], [], [], [1], [1], []]);
  read(1, 0);
  expect([0, 4, 100].map(partitionsOf)).toEqual([[1], [1], []]);
});

it('forgets readers that are too many, or have left', () => {
  const { clock, partitionsOf, read } = setUp();
  for (const partition of [1, 2, 3, 4]) read(partition, 0);
  expect(partitionsOf(0)).toEqual([2, 3, 4]);
  clock.nowMs = 600;
  read(2, 0);
  clock.nowMs = 1200;
  read(4, 0);
  expect(partitionsOf(0)).toEqual([2, 4]);
});

it('has room for so many extents', () => {
  const { partitionsOf, read } = setUp({ extentsMax: 11 });
  const segments = (partition: number): number =>
    [...Array(40).keys()].filter((segment) => partitionsOf(segment).includes(partition)).length;
  read(1, 0);
  read(2, 100);
  read(3, 200);
  expect([1, 2, 3].map(segments)).toEqual([5, 5, 1]);
  read(1, 20);
  read(3, 200);
  expect([1, 2, 3].map(segments)).toEqual([4, 5, 2]);
});
