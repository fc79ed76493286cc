import { readSegmentFooter, segmentKey } from '@kafscale/codec';
import type { SegmentFooter } from '@kafscale/codec';
import { isOperatingError, limits } from '@kafscale/core';
import type { UnknownSegment } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';

/** An object that no manifest names, and what it says it holds. */
export interface SegmentAfter extends UnknownSegment {
  readonly key: string;
  /** null: its footer can't be read. */
  readonly content: SegmentContent | null;
  /** Why, then. */
  readonly problem: string | null;
}

export interface SegmentContent {
  readonly nodeId: number;
  readonly incarnation: number;
  readonly birthMs: number;
  readonly extents: readonly {
    readonly topicId: string;
    readonly partitionIndex: number;
    readonly recordCount: number;
    readonly bytes: number;
    readonly firstTimestampMs: number;
    readonly maxTimestampMs: number;
  }[];
}

/** Reads the footers, some at a time. */
export async function describeSegments(
  store: ObjectStore,
  segments: readonly UnknownSegment[],
): Promise<readonly SegmentAfter[]> {
  const described: SegmentAfter[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let segment = segments[next]; segment !== undefined; segment = segments[next]) {
      const place = next;
      next += 1;
      described[place] = await describeSegment(store, segment);
    }
  };
  await Promise.all(Array.from({ length: limits.checkReadsInFlightMax }, lane));
  return described;
}

async function describeSegment(store: ObjectStore, segment: UnknownSegment): Promise<SegmentAfter> {
  const key = segmentKey(segment.segmentId);
  try {
    const footer = await readSegmentFooter({
      sizeBytes: segment.sizeBytes,
      read: (position, length) => store.read(key, position, length),
    });
    return { ...segment, key, content: contentOf(footer), problem: null };
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    return { ...segment, key, content: null, problem: `${error.code}: ${error.message}` };
  }
}

function contentOf({ extents, writer }: SegmentFooter): SegmentContent {
  return {
    nodeId: writer.nodeId,
    incarnation: writer.incarnation,
    birthMs: writer.birthMs,
    extents: extents.map((extent) => ({
      topicId: extent.topicId,
      partitionIndex: extent.partitionIndex,
      recordCount: extent.recordCount,
      bytes: extent.length,
      firstTimestampMs: extent.firstTimestampMs,
      maxTimestampMs: extent.maxTimestampMs,
    })),
  };
}
