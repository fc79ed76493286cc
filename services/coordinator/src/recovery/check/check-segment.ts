import { readExtentBatches, readSegmentFooter, segmentKey } from '@kafscale/codec';
import type { SegmentExtent, SegmentFooter, SegmentReader } from '@kafscale/codec';
import { isOperatingError } from '@kafscale/core';
import type { AuditedExtent, AuditedSegment } from '@kafscale/metadata';
import type { ObjectInfo, ObjectStore } from '@kafscale/storage';
import type { Problem, ProblemKind } from './check-report.js';

export interface SegmentToCheck {
  readonly row: AuditedSegment;
  readonly object: ObjectInfo;
  readonly extents: readonly AuditedExtent[];
  readonly deep: boolean;
}

export interface SegmentVerdict {
  readonly problems: readonly Problem[];
  /** Checked, with `deep`. */
  readonly batches: number;
}

/** Holds the rows of a segment against its length, its footer and, if asked, its bytes. */
export async function checkSegment(
  objects: ObjectStore,
  segment: SegmentToCheck,
): Promise<SegmentVerdict> {
  const { extents, object, row } = segment;
  const key = segmentKey(row.segmentId);
  const problem = (kind: ProblemKind, reason: string, ranges = extents): Problem => ({
    kind,
    key,
    reason,
    ranges: ranges.slice(0, 100),
  });
  if (object.sizeBytes !== row.sizeBytes) {
    const reason = `${object.sizeBytes} bytes instead of ${row.sizeBytes}`;
    return { problems: [problem('damaged', reason)], batches: 0 };
  }
  const reader: SegmentReader = {
    sizeBytes: object.sizeBytes,
    read: (position, length) => objects.read(key, position, length),
  };
  try {
    const footer = await readSegmentFooter(reader);
    const problems: Problem[] = [];
    if (footer.writer.segmentId !== row.segmentId) {
      problems.push(problem('damaged', `it says that it is segment ${footer.writer.segmentId}`));
    }
    let batches = 0;
    for (const extent of extents) {
      const verdict = await checkExtent(reader, extent, { footer, deep: segment.deep });
      batches += verdict.batches;
      if (verdict.reason !== null) problems.push(problem(verdict.kind, verdict.reason, [extent]));
    }
    return { problems, batches };
  } catch (error) {
    if (!isOperatingError(error)) throw error;
    const kind = error.code === 'OBJECT_NOT_FOUND' ? 'lost' : 'damaged';
    return { problems: [problem(kind, `${error.code}: ${error.message}`)], batches: 0 };
  }
}

interface ExtentVerdict {
  readonly kind: ProblemKind;
  readonly reason: string | null;
  readonly batches: number;
}

async function checkExtent(
  reader: SegmentReader,
  extent: AuditedExtent,
  { deep, footer }: { footer: SegmentFooter; deep: boolean },
): Promise<ExtentVerdict> {
  const wrong = (reason: string): ExtentVerdict => ({ kind: 'inconsistent', reason, batches: 0 });
  const written = footer.extents.find(({ position }) => position === extent.position);
  const place = `bytes ${extent.position}+${extent.length}`;
  if (written === undefined || written.length !== extent.length) {
    return wrong(`its footer has no extent at ${place}`);
  }
  if (written.topicId !== extent.topicId || written.partitionIndex !== extent.partitionIndex) {
    return wrong(`its footer has another partition at ${place}`);
  }
  if (extent.absoluteOffsets !== (written.baseOffset !== null)) {
    return wrong(`its footer disagrees about base offsets at ${place}`);
  }
  if (written.baseOffset !== null && written.baseOffset !== extent.baseOffset) {
    return wrong(`its footer says offset ${written.baseOffset} at ${place}`);
  }
  const records = extent.nextOffset - extent.baseOffset;
  if (extent.skippedBatches.length === 0 && written.recordCount !== records) {
    return wrong(`its footer says ${written.recordCount} records at ${place}, not ${records}`);
  }
  if (!deep) return { kind: 'damaged', reason: null, batches: 0 };
  return checkBatches(reader, extent, written);
}

/** Batches that were not accepted are part of the extent's checksum only. */
async function checkBatches(
  reader: SegmentReader,
  extent: AuditedExtent,
  written: SegmentExtent,
): Promise<ExtentVerdict> {
  const batches = readExtentBatches(reader, written);
  const skipped = new Set(extent.skippedBatches);
  let offset = extent.baseOffset;
  let ordinal = 0;
  const damaged = (reason: string): ExtentVerdict => ({
    kind: 'damaged',
    reason,
    batches: ordinal,
  });
  for (;;) {
    const step = await batches.next();
    if (step.done === true) {
      if (!step.value) return damaged(`the extent at byte ${extent.position} fails its CRC-32C`);
      if (offset !== extent.nextOffset) {
        return damaged(`its batches end at offset ${offset}, not ${extent.nextOffset}`);
      }
      return { kind: 'damaged', reason: null, batches: ordinal };
    }
    const { crcMatches, header, position } = step.value;
    const isSkipped = skipped.has(ordinal);
    ordinal += 1;
    if (isSkipped) continue;
    if (!crcMatches) return damaged(`the batch at byte ${position} fails its CRC-32C`);
    if (extent.absoluteOffsets && header.baseOffset !== offset) {
      return damaged(
        `the batch at byte ${position} says offset ${header.baseOffset}, not ${offset}`,
      );
    }
    offset += header.recordCount;
  }
}
