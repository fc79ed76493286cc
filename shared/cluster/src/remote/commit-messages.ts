import { message, schema } from '@kafscale/codec';
import type {
  BatchAnswer,
  BatchCommit,
  ExtentCommit,
  SegmentAnswer,
  SegmentCommit,
} from '../commit.js';
import { checkedInteger, malformed, RowReader, RowWriter } from './packed-rows.js';

const commitMessage = message({
  name: 'CommitSegmentsRequest',
  versions: '0',
  flexible: '0+',
  fields: {
    segments: schema.array(
      schema.struct({
        segmentId: schema.uuid(),
        nodeId: schema.float64(),
        incarnation: schema.float64(),
        birthMs: schema.float64(),
        sizeBytes: schema.float64(),
        extents: schema.bytes(),
        /** Of all extents, one after the other. */
        batches: schema.bytes(),
      }),
    ),
  },
});

const answerMessage = message({
  name: 'CommitSegmentsResponse',
  versions: '0',
  flexible: '0+',
  fields: {
    answers: schema.array(
      schema.struct({ kind: schema.int8(), extents: schema.bytes(), batches: schema.bytes() }),
    ),
  },
});

const answerKinds = { committed: 0, tooOld: 1, fenced: 2 } as const;
const extentRowBytes = 3 * 8 + 4;
const batchRowBytes = 4 + 3 * 8 + 2 + 4 + 1;
const countRowBytes = 4;
const answerRowBytes = 2 + 2 * 8;

export function encodeCommit(segments: readonly SegmentCommit[]): Uint8Array[] {
  const packed = segments.map((segment) => ({
    segmentId: segment.segmentId,
    nodeId: segment.nodeId,
    incarnation: segment.incarnation,
    birthMs: segment.birthMs,
    sizeBytes: segment.sizeBytes,
    extents: packExtents(segment.extents),
    batches: packBatches(segment.extents),
  }));
  return commitMessage.encode({ segments: packed }, 0);
}

/** Throws ProtocolError. */
export function decodeCommit(payload: Buffer): SegmentCommit[] {
  return commitMessage.decode(payload, 0).segments.map((segment) => ({
    segmentId: segment.segmentId,
    nodeId: checkedInteger(segment.nodeId),
    incarnation: checkedInteger(segment.incarnation),
    birthMs: segment.birthMs,
    sizeBytes: checkedInteger(segment.sizeBytes),
    extents: unpackExtents(segment.extents, segment.batches),
  }));
}

export function encodeCommitAnswers(answers: readonly SegmentAnswer[]): Uint8Array[] {
  const packed = answers.map((answer) => {
    const kind = answerKinds[answer.kind];
    if (answer.kind !== 'committed') return { kind };
    const counts = new RowWriter(answer.extents.length, countRowBytes);
    for (const batches of answer.extents) counts.int32(batches.length);
    return { kind, extents: counts.finish(), batches: packAnswers(answer.extents) };
  });
  return answerMessage.encode({ answers: packed }, 0);
}

/** Throws ProtocolError. */
export function decodeCommitAnswers(payload: Buffer): SegmentAnswer[] {
  return answerMessage.decode(payload, 0).answers.map(({ kind, extents, batches }) => {
    switch (kind) {
      case answerKinds.committed:
        return { kind: 'committed', extents: unpackAnswers(extents, batches) };
      case answerKinds.tooOld:
        return { kind: 'tooOld' };
      case answerKinds.fenced:
        return { kind: 'fenced' };
      default:
        return malformed(`answer kind ${kind}`);
    }
  });
}

function packExtents(extents: readonly ExtentCommit[]): Buffer {
  const rows = new RowWriter(extents.length, extentRowBytes);
  for (const extent of extents) {
    rows.float64(extent.partitionId);
    rows.float64(extent.position);
    rows.float64(extent.length);
    rows.int32(extent.batches.length);
  }
  return rows.finish();
}

function packBatches(extents: readonly ExtentCommit[]): Buffer {
  let count = 0;
  for (const { batches } of extents) count += batches.length;
  const rows = new RowWriter(count, batchRowBytes);
  for (const { batches } of extents) {
    for (const batch of batches) {
      rows.int32(batch.recordCount);
      rows.float64(batch.firstTimestampMs);
      rows.float64(batch.maxTimestampMs);
      rows.float64(batch.producerId);
      rows.int16(batch.producerEpoch);
      rows.int32(batch.baseSequence);
      rows.uint8(batch.excluded ? 1 : 0);
    }
  }
  return rows.finish();
}

function unpackExtents(packedExtents: Buffer, packedBatches: Buffer): ExtentCommit[] {
  const rows = new RowReader(packedExtents, extentRowBytes);
  const batchRows = new RowReader(packedBatches, batchRowBytes);
  const extents: ExtentCommit[] = [];
  for (let row = 0; row < rows.count; row += 1) {
    const partitionId = rows.integer();
    const position = rows.integer();
    const length = rows.integer();
    const count = rows.countUpTo(batchRows.rowsLeft);
    const batches: BatchCommit[] = [];
    for (let index = 0; index < count; index += 1) batches.push(unpackBatch(batchRows));
    extents.push({ partitionId, position, length, batches });
  }
  batchRows.expectEnd();
  return extents;
}

/** The properties of an object literal are evaluated in order, which is the order of the row. */
function unpackBatch(rows: RowReader): BatchCommit {
  return {
    recordCount: rows.int32(),
    firstTimestampMs: rows.integer(),
    maxTimestampMs: rows.integer(),
    producerId: rows.integer(),
    producerEpoch: rows.int16(),
    baseSequence: rows.int32(),
    excluded: rows.uint8() !== 0,
  };
}

function packAnswers(extents: readonly (readonly BatchAnswer[])[]): Buffer {
  let count = 0;
  for (const batches of extents) count += batches.length;
  const rows = new RowWriter(count, answerRowBytes);
  for (const batches of extents) {
    for (const batch of batches) {
      rows.int16(batch.errorCode);
      rows.float64(batch.baseOffset);
      rows.float64(batch.logStartOffset);
    }
  }
  return rows.finish();
}

function unpackAnswers(packedCounts: Buffer, packedBatches: Buffer): BatchAnswer[][] {
  const counts = new RowReader(packedCounts, countRowBytes);
  const rows = new RowReader(packedBatches, answerRowBytes);
  const extents: BatchAnswer[][] = [];
  for (let extent = 0; extent < counts.count; extent += 1) {
    const count = counts.countUpTo(rows.rowsLeft);
    const batches: BatchAnswer[] = [];
    for (let index = 0; index < count; index += 1) {
      batches.push({
        errorCode: rows.int16(),
        baseOffset: rows.integer(),
        logStartOffset: rows.integer(),
      });
    }
    extents.push(batches);
  }
  rows.expectEnd();
  return extents;
}
