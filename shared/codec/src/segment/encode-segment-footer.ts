import { invariant, limits } from '@kafscale/core';
import { crc32c } from '@node-rs/crc32';
import { writeInt64 } from '../int64-number.js';
import { uuidToBytes } from '../protocol/uuid.js';
import {
  type BatchIndexEntry,
  batchIndexEntryBytes,
  batchIndexHeadBytes,
  extentEntryBytes,
  extentFlags,
  extentTableHeadBytes,
  sectionHeaderBytes,
  type SegmentExtent,
  type SegmentFooter,
  segmentMagic,
  segmentSections,
  segmentVersion,
  type SegmentWriter,
  softwareVersionBytesMax,
  trailer,
  writerFixedBytes,
} from './segment-footer.js';

/**
 * Everything that follows the body of a segment. The extents are in order of position and do not
 * overlap; either all of them have a base offset (a compacted segment) or none. With `sizeMultiple`
 * the whole object, which begins with `bodyBytes` of body, is padded to a multiple of it.
 */
export function encodeSegmentFooter(
  footer: SegmentFooter,
  padding: { bodyBytes: number; sizeMultiple: number } = { bodyBytes: 0, sizeMultiple: 1 },
): Buffer {
  const { batchIndex, extents, writer } = footer;
  invariant(extents.length > 0, 'an empty segment is never written');
  invariant(extents.length <= limits.segmentExtentsMax, 'the extents of a segment are bounded');
  const hasBaseOffsets = extents[0]?.baseOffset !== null;
  const entryBytes = hasBaseOffsets ? extentEntryBytes.withBaseOffset : extentEntryBytes.plain;
  const version = Buffer.from(writer.softwareVersion, 'utf8');
  invariant(version.length <= softwareVersionBytesMax, 'the software version is short');
  const tableBytes = extentTableHeadBytes + extents.length * entryBytes;
  const indexBytes = batchIndex === undefined ? 0 : batchIndexBytes(batchIndex);
  const contentBytes =
    2 * sectionHeaderBytes + tableBytes + writerFixedBytes + version.length + indexBytes;
  const unpaddedBytes = padding.bodyBytes + contentBytes + trailer.bytes;
  const paddingBytes = paddingSectionBytes(unpaddedBytes, padding.sizeMultiple);
  const footerBytes = contentBytes + paddingBytes;
  invariant(footerBytes + trailer.bytes <= limits.segmentFooterBytesMax, 'a footer is bounded');
  const bytes = Buffer.alloc(footerBytes + trailer.bytes);

  let at = writeSectionHeader(bytes, 0, segmentSections.extents, tableBytes);
  bytes.writeUInt16BE(hasBaseOffsets ? extentFlags.hasBaseOffsets : 0, at);
  bytes.writeUInt16BE(entryBytes, at + 2);
  bytes.writeUInt32BE(extents.length, at + 4);
  at += extentTableHeadBytes;
  let bodyEnd = 0;
  for (const extent of extents) {
    invariant(extent.position >= bodyEnd, 'extents are in order and do not overlap');
    invariant(
      (extent.baseOffset !== null) === hasBaseOffsets,
      'all extents have base offsets or none',
    );
    bodyEnd = extent.position + extent.length;
    writeExtent(bytes, at, extent);
    at += entryBytes;
  }
  at = writeSectionHeader(bytes, at, segmentSections.writer, writerFixedBytes + version.length);
  at = writeWriter(bytes, at, writer, version);
  if (batchIndex !== undefined) at = writeBatchIndex(bytes, at, batchIndex);
  if (paddingBytes > 0) {
    writeSectionHeader(bytes, at, segmentSections.padding, paddingBytes - sectionHeaderBytes);
    at += paddingBytes;
  }
  invariant(at === footerBytes, 'the footer encoder wrote what it measured');
  writeTrailer(bytes, footerBytes);
  return bytes;
}

/** 0, or at least a section's header. */
function paddingSectionBytes(objectBytes: number, sizeMultiple: number): number {
  const missingBytes = (sizeMultiple - (objectBytes % sizeMultiple)) % sizeMultiple;
  return missingBytes > 0 && missingBytes < sectionHeaderBytes
    ? missingBytes + sizeMultiple
    : missingBytes;
}

function writeSectionHeader(bytes: Buffer, at: number, type: number, length: number): number {
  bytes.writeUInt16BE(type, at);
  bytes.writeUInt32BE(length, at + 4);
  return at + sectionHeaderBytes;
}

function writeExtent(bytes: Buffer, at: number, extent: SegmentExtent): void {
  invariant(extent.length > 0, 'an extent has bytes');
  invariant(extent.batchCount > 0, 'an extent has batches');
  invariant(extent.recordCount >= extent.batchCount, 'a batch has records');
  uuidToBytes(extent.topicId, bytes, at);
  bytes.writeInt32BE(extent.partitionIndex, at + 16);
  bytes.writeUInt32BE(extent.length, at + 20);
  writeInt64(bytes, extent.position, at + 24);
  bytes.writeUInt32BE(extent.recordCount, at + 32);
  bytes.writeUInt32BE(extent.batchCount, at + 36);
  writeInt64(bytes, extent.firstTimestampMs, at + 40);
  writeInt64(bytes, extent.maxTimestampMs, at + 48);
  bytes.writeUInt32BE(extent.crc32c, at + 56);
  if (extent.baseOffset !== null) writeInt64(bytes, extent.baseOffset, at + 60);
}

function writeWriter(bytes: Buffer, at: number, writer: SegmentWriter, version: Buffer): number {
  bytes.writeInt32BE(writer.nodeId, at);
  writeInt64(bytes, writer.incarnation, at + 4);
  writeInt64(bytes, writer.birthMs, at + 12);
  uuidToBytes(writer.segmentId, bytes, at + 20);
  bytes.writeUInt16BE(version.length, at + 36);
  version.copy(bytes, at + writerFixedBytes);
  return at + writerFixedBytes + version.length;
}

function batchIndexBytes(entries: readonly BatchIndexEntry[]): number {
  return sectionHeaderBytes + batchIndexHeadBytes + entries.length * batchIndexEntryBytes;
}

function writeBatchIndex(
  bytes: Buffer,
  start: number,
  entries: readonly BatchIndexEntry[],
): number {
  const contentBytes = batchIndexBytes(entries) - sectionHeaderBytes;
  let at = writeSectionHeader(bytes, start, segmentSections.batchIndex, contentBytes);
  bytes.writeUInt16BE(batchIndexEntryBytes, at + 2);
  bytes.writeUInt32BE(entries.length, at + 4);
  at += batchIndexHeadBytes;
  let previous = -1;
  for (const { baseOffset, maxTimestampMs, position } of entries) {
    invariant(position > previous, 'the batch index ascends');
    previous = position;
    writeInt64(bytes, position, at);
    writeInt64(bytes, baseOffset, at + 8);
    writeInt64(bytes, maxTimestampMs, at + 16);
    at += batchIndexEntryBytes;
  }
  return at;
}

function writeTrailer(bytes: Buffer, at: number): void {
  bytes.writeUInt32BE(at, at + trailer.footerLength);
  bytes.writeUInt16BE(segmentVersion, at + trailer.version);
  bytes.writeUInt16BE(0, at + trailer.incompatibleFlags);
  bytes.writeUInt32BE(crc32c(bytes.subarray(0, at + trailer.crc32c)), at + trailer.crc32c);
  bytes.writeUInt32BE(segmentMagic, at + trailer.magic);
}
