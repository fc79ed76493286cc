import { readExtentBatches, readSegmentFooter, segmentKey } from '@kafscale/codec';
import type { BatchHeader, SegmentExtent, SegmentReader, SegmentWriter } from '@kafscale/codec';
import { isOperatingError, OperatingError } from '@kafscale/core';
import { openMetadataAudit } from '@kafscale/metadata';
import type { LocatedOffset } from '@kafscale/metadata';
import type { ObjectStore } from '@kafscale/storage';
import { readColdExtents } from '../../cold/cold-objects.js';

export interface ExplainOptions {
  readonly objects: ObjectStore;
  readonly metadataUrl: string;
  readonly topic: string;
  readonly partitionIndex: number;
  readonly offset: number;
}

/** Where a record is, who wrote it, and whether its bytes are what was written. */
export interface OffsetExplanation {
  readonly key: string;
  readonly located: LocatedOffset;
  readonly writer: SegmentWriter | null;
  /** As the footer has it; null: it has none at this place. */
  readonly writtenExtent: SegmentExtent | null;
  /** null: the extent's bytes could not be walked as far as the whole of it. */
  readonly extentCrcMatches: boolean | null;
  readonly batch: ExplainedBatch | null;
  /** Why something of the above is missing. */
  readonly problem: string | null;
}

export interface ExplainedBatch {
  /** In the object. */
  readonly position: number;
  /** Of its first record: in a fresh segment the header itself does not say it. */
  readonly baseOffset: number;
  readonly header: BatchHeader;
  readonly crcMatches: boolean;
  /** Batches before it in the extent, those that are not part of the log included. */
  readonly ordinal: number;
}

/**
 * Errors: PARTITION_UNKNOWN, OFFSET_NOT_IN_LOG, OFFSET_NOT_INDEXED, INDEX_OBJECT_* (of a cold range),
 * and those of both stores.
 */
export async function explainOffset(options: ExplainOptions): Promise<OffsetExplanation> {
  const { metadataUrl, objects, offset, partitionIndex, topic } = options;
  const audit = await openMetadataAudit(metadataUrl);
  try {
    const located = await audit.locate({ topic, partitionIndex, offset }, (range) =>
      readColdExtents(objects, range),
    );
    return await explainLocated(objects, located, offset);
  } finally {
    await audit.close();
  }
}

async function explainLocated(
  objects: ObjectStore,
  located: LocatedOffset,
  offset: number,
): Promise<OffsetExplanation> {
  const key = segmentKey(located.segment.segmentId);
  const reader: SegmentReader = {
    sizeBytes: located.segment.sizeBytes,
    read: (position, length) => objects.read(key, position, length),
  };
  let writer: SegmentWriter | null = null;
  let writtenExtent: SegmentExtent | null = null;
  const walked: Walked = { batch: null, extentCrcMatches: null };
  let problem: string | null = null;
  try {
    const footer = await readSegmentFooter(reader);
    ({ writer } = footer);
    const { position } = located.extent;
    writtenExtent = footer.extents.find((extent) => extent.position === position) ?? null;
    if (writtenExtent === null) {
      throw new OperatingError('SEGMENT_CORRUPT', `no extent begins at byte ${position}`);
    }
    await walkExtent(reader, { located, writtenExtent, offset }, walked);
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    problem = `${error.code}: ${error.message}`;
  }
  return { key, located, writer, writtenExtent, ...walked, problem };
}

interface Walked {
  batch: ExplainedBatch | null;
  extentCrcMatches: boolean | null;
}

/** Goes through the whole extent, for its checksum, and keeps the batch that has the offset. */
async function walkExtent(
  reader: SegmentReader,
  place: { located: LocatedOffset; writtenExtent: SegmentExtent; offset: number },
  walked: Walked,
): Promise<void> {
  const { absoluteOffsets, baseOffset, skippedBatches } = place.located.extent;
  const skipped = new Set(skippedBatches);
  const batches = readExtentBatches(reader, place.writtenExtent);
  let next = baseOffset;
  for (let ordinal = 0; ; ordinal += 1) {
    const step = await batches.next();
    if (step.done === true) {
      walked.extentCrcMatches = step.value;
      return;
    }
    if (skipped.has(ordinal)) continue;
    const { crcMatches, header, position } = step.value;
    const first = absoluteOffsets ? header.baseOffset : next;
    next = first + header.recordCount;
    if (place.offset >= first && place.offset < next && walked.batch === null) {
      walked.batch = { position, baseOffset: first, header: { ...header }, crcMatches, ordinal };
    }
  }
}
