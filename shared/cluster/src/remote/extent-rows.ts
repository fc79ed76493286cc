import { schema } from '@kafscale/codec';
import type { Decoded, Encodable, Message } from '@kafscale/codec';
import type { Extent } from '../feed.js';
import { malformed, RowReader, RowWriter } from './packed-rows.js';

/**
 * Extents as rows. Segment ids are listed once: the extents of one commit share theirs, on the wire
 * and as one string in the memory of whoever decodes them.
 */
export const extentFields = {
  segmentIds: schema.array(schema.uuid()),
  extents: schema.bytes(),
  skippedBatches: schema.bytes(),
} as const;

type ExtentRows = Decoded<Message<typeof extentFields>>;
type ExtentRowsInput = Encodable<Message<typeof extentFields>>;

const extentRowBytes = 7 * 8 + 8 + 4 + 4 + 1;
const skippedRowBytes = 4;

export function encodeExtents(extents: readonly Extent[]): ExtentRowsInput {
  const segments = new Map<string, number>();
  let skippedCount = 0;
  for (const extent of extents) {
    if (!segments.has(extent.segmentId)) segments.set(extent.segmentId, segments.size);
    skippedCount += extent.skippedBatches.length;
  }
  const rows = new RowWriter(extents.length, extentRowBytes);
  const skipped = new RowWriter(skippedCount, skippedRowBytes);
  for (const extent of extents) {
    rows.float64(extent.partitionId);
    rows.float64(extent.baseOffset);
    rows.float64(extent.nextOffset);
    rows.float64(extent.position);
    rows.float64(extent.length);
    rows.float64(extent.firstTimestampMs);
    rows.float64(extent.maxTimestampMs);
    rows.float64(extent.writerNodeId);
    rows.int32(segments.get(extent.segmentId) ?? -1);
    rows.int32(extent.skippedBatches.length);
    rows.uint8(extent.absoluteOffsets ? 1 : 0);
    for (const ordinal of extent.skippedBatches) skipped.int32(ordinal);
  }
  return {
    segmentIds: [...segments.keys()],
    extents: rows.finish(),
    skippedBatches: skipped.finish(),
  };
}

/** Throws ProtocolError. */
export function decodeExtents(packed: ExtentRows): Extent[] {
  const rows = new RowReader(packed.extents, extentRowBytes);
  const skipped = new RowReader(packed.skippedBatches, skippedRowBytes);
  const extents: Extent[] = [];
  for (let row = 0; row < rows.count; row += 1) {
    extents.push(decodeExtent(rows, skipped, packed.segmentIds));
  }
  skipped.expectEnd();
  return extents;
}

function decodeExtent(rows: RowReader, skipped: RowReader, segmentIds: readonly string[]): Extent {
  const partitionId = rows.integer();
  const baseOffset = rows.integer();
  const nextOffset = rows.integer();
  const position = rows.integer();
  const length = rows.integer();
  const firstTimestampMs = rows.integer();
  const maxTimestampMs = rows.integer();
  const writerNodeId = rows.integer();
  const segmentId = segmentIds[rows.int32()] ?? malformed('an extent names no segment');
  const skippedCount = rows.countUpTo(skipped.rowsLeft);
  const absoluteOffsets = rows.uint8() !== 0;
  const skippedBatches = skippedCount === 0 ? none : readOrdinals(skipped, skippedCount);
  return {
    partitionId,
    baseOffset,
    nextOffset,
    segmentId,
    position,
    length,
    skippedBatches,
    firstTimestampMs,
    maxTimestampMs,
    absoluteOffsets,
    writerNodeId,
  };
}

/** Shared by nearly every extent. */
const none: readonly number[] = Object.freeze([]);

function readOrdinals(rows: RowReader, count: number): number[] {
  const ordinals: number[] = [];
  for (let index = 0; index < count; index += 1) ordinals.push(rows.int32());
  return ordinals;
}
