import type { BatchCommit, ExtentCommit, SegmentCommit } from '@kafscale/cluster';
import { invariant, limits, OperatingError } from '@kafscale/core';

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const int32Max = 2 ** 31 - 1;
const int16Max = 2 ** 15 - 1;

/**
 * Refuses what a correct node can not send: the segments come from another process, and a bad number
 * here would end in the index. Errors: COMMIT_INVALID.
 */
export function validateSegments(segments: readonly SegmentCommit[]): void {
  invariant(
    segments.length <= limits.commitSegmentsPerTransactionMax,
    'the caller bounds the segments of a commit',
  );
  segments.forEach(validateSegment);
}

function validateSegment(segment: SegmentCommit): void {
  require(uuidPattern.test(segment.segmentId), 'segmentId');
  require(within(segment.nodeId, 0, int32Max), 'nodeId');
  require(Number.isSafeInteger(segment.incarnation), 'incarnation');
  // The birth is an estimate with a fraction; the column is whole milliseconds.
  require(Number.isFinite(segment.birthMs) && segment.birthMs > 0, 'birthMs');
  require(within(segment.sizeBytes, 0, Number.MAX_SAFE_INTEGER), 'sizeBytes');
  require(segment.extents.length <= limits.segmentExtentsMax, 'extents');
  for (const extent of segment.extents) validateExtent(segment, extent);
}

function validateExtent(segment: SegmentCommit, extent: ExtentCommit): void {
  require(within(extent.partitionId, 1, int32Max), 'partitionId');
  require(within(extent.position, 0, segment.sizeBytes), 'position');
  require(within(extent.length, 1, segment.sizeBytes - extent.position), 'length');
  require(extent.batches.length > 0, 'batches');
  extent.batches.forEach(validateBatch);
}

function validateBatch(batch: BatchCommit): void {
  require(within(batch.recordCount, 1, int32Max), 'recordCount');
  require(Number.isSafeInteger(batch.firstTimestampMs), 'firstTimestampMs');
  require(Number.isSafeInteger(batch.maxTimestampMs), 'maxTimestampMs');
  require(within(batch.producerId, -1, Number.MAX_SAFE_INTEGER), 'producerId');
  if (batch.producerId === -1) return;
  require(within(batch.producerEpoch, 0, int16Max), 'producerEpoch');
  require(within(batch.baseSequence, 0, int32Max), 'baseSequence');
}

function within(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max;
}

function require(condition: boolean, field: string): void {
  if (!condition) throw new OperatingError('COMMIT_INVALID', `${field} of a segment is invalid`);
}
