import { limits, OperatingError } from '@kafscale/core';
import { crc32c } from '@node-rs/crc32';
import { readInt64 } from '../int64-number.js';
import { uuidFromBytes } from '../protocol/uuid.js';
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

/** `longer`: the footer does not fit into the tail; read the last `tailBytes` and decode again. */
export type DecodedSegmentTail =
  | { readonly kind: 'footer'; readonly footer: SegmentFooter; readonly bodyBytes: number }
  | { readonly kind: 'longer'; readonly tailBytes: number };

/**
 * Decodes the end of a segment object of `objectBytes` bytes. `tail` is its last bytes;
 * limits.segmentTailBytes of them do for most. Throws SEGMENT_UNRECOGNIZED (not a segment, or cut
 * off), SEGMENT_VERSION_UNSUPPORTED, or SEGMENT_CORRUPT; a number from the object is held against
 * what is there before anything is allocated by it.
 */
export function decodeSegmentFooter(tail: Buffer, objectBytes: number): DecodedSegmentTail {
  const at = tail.length - trailer.bytes;
  if (at < 0 || tail.readUInt32BE(at + trailer.magic) !== segmentMagic) {
    throw new OperatingError('SEGMENT_UNRECOGNIZED', 'the object does not end as a segment does');
  }
  const version = tail.readUInt16BE(at + trailer.version);
  const flags = tail.readUInt16BE(at + trailer.incompatibleFlags);
  if (version !== segmentVersion || flags !== 0) {
    throw new OperatingError(
      'SEGMENT_VERSION_UNSUPPORTED',
      `segment format ${version}, flags ${flags}; this program reads format ${segmentVersion}`,
    );
  }
  const footerBytes = tail.readUInt32BE(at + trailer.footerLength);
  const tailBytes = footerBytes + trailer.bytes;
  if (tailBytes > limits.segmentFooterBytesMax || tailBytes > objectBytes) {
    throw corrupt(`footer of ${footerBytes} bytes in an object of ${objectBytes}`);
  }
  if (tailBytes > tail.length) return { kind: 'longer', tailBytes };
  const covered = tail.subarray(at - footerBytes, at + trailer.crc32c);
  if (crc32c(covered) !== tail.readUInt32BE(at + trailer.crc32c)) {
    throw corrupt('footer checksum does not match');
  }
  const bodyBytes = objectBytes - tailBytes;
  const footer = decodeSections(tail.subarray(at - footerBytes, at), bodyBytes);
  return { kind: 'footer', footer, bodyBytes };
}

function decodeSections(bytes: Buffer, bodyBytes: number): SegmentFooter {
  let extents: readonly SegmentExtent[] | undefined;
  let writer: SegmentWriter | undefined;
  let batchIndex: readonly BatchIndexEntry[] | undefined;
  let at = 0;
  for (let count = 0; at < bytes.length; count += 1) {
    if (count === limits.segmentSectionsMax) throw corrupt('too many footer sections');
    if (bytes.length - at < sectionHeaderBytes) throw corrupt('truncated section header');
    const type = bytes.readUInt16BE(at);
    const length = bytes.readUInt32BE(at + 4);
    at += sectionHeaderBytes;
    if (length > bytes.length - at) throw corrupt(`section ${type} is longer than the footer`);
    const section = bytes.subarray(at, at + length);
    at += length;
    if (type === segmentSections.extents) {
      if (extents) throw corrupt('two extent tables');
      extents = decodeExtents(section, bodyBytes);
    } else if (type === segmentSections.writer) {
      if (writer) throw corrupt('two writer sections');
      writer = decodeWriter(section);
    } else if (type === segmentSections.batchIndex) {
      if (batchIndex) throw corrupt('two batch indexes');
      batchIndex = decodeBatchIndex(section, bodyBytes);
    }
    // Any other type is of a later version that wants to be skipped.
  }
  if (!extents || !writer) throw corrupt('a footer has an extent table and a writer');
  return { extents, writer, ...(batchIndex && { batchIndex }) };
}

function decodeBatchIndex(section: Buffer, bodyBytes: number): readonly BatchIndexEntry[] {
  if (section.length < batchIndexHeadBytes) throw corrupt('truncated batch index');
  const entryBytes = section.readUInt16BE(2);
  const count = section.readUInt32BE(4);
  // An entry may be longer than we know: a later version appends fields.
  if (entryBytes < batchIndexEntryBytes)
    throw corrupt(`batch index entries of ${entryBytes} bytes`);
  if (section.length !== batchIndexHeadBytes + count * entryBytes) {
    throw corrupt('batch index and entry count differ');
  }
  let previous = -1;
  return Array.from({ length: count }, (_, index) => {
    const at = batchIndexHeadBytes + index * entryBytes;
    const entry = {
      position: safeInt64(section, at),
      baseOffset: safeInt64(section, at + 8),
      maxTimestampMs: safeInt64(section, at + 16),
    };
    if (entry.position <= previous) throw corrupt(`batch index entry ${index} goes back`);
    if (entry.position >= bodyBytes) throw corrupt(`batch index entry ${index} is beyond the body`);
    if (entry.baseOffset < 0) throw corrupt('negative base offset');
    previous = entry.position;
    return entry;
  });
}

function decodeExtents(section: Buffer, bodyBytes: number): readonly SegmentExtent[] {
  if (section.length < extentTableHeadBytes) throw corrupt('truncated extent table');
  const hasBaseOffsets = (section.readUInt16BE(0) & extentFlags.hasBaseOffsets) !== 0;
  const entryBytes = section.readUInt16BE(2);
  const count = section.readUInt32BE(4);
  const entryBytesMin = hasBaseOffsets ? extentEntryBytes.withBaseOffset : extentEntryBytes.plain;
  // An entry may be longer than we know: a later version appends fields.
  if (entryBytes < entryBytesMin) throw corrupt(`extent entries of ${entryBytes} bytes`);
  if (count === 0 || count > limits.segmentExtentsMax) throw corrupt(`${count} extents`);
  if (section.length !== extentTableHeadBytes + count * entryBytes) {
    throw corrupt('extent table and extent count differ');
  }
  let bodyPosition = 0;
  return Array.from({ length: count }, (_, index) => {
    const at = extentTableHeadBytes + index * entryBytes;
    const extent = decodeExtent(section, at, hasBaseOffsets);
    if (extent.position < bodyPosition) throw corrupt(`extent ${index} overlaps or goes back`);
    bodyPosition = extent.position + extent.length;
    if (bodyPosition > bodyBytes) throw corrupt(`extent ${index} ends beyond the body`);
    return extent;
  });
}

function decodeExtent(section: Buffer, at: number, hasBaseOffset: boolean): SegmentExtent {
  const extent: SegmentExtent = {
    topicId: uuidFromBytes(section, at),
    partitionIndex: section.readInt32BE(at + 16),
    length: section.readUInt32BE(at + 20),
    position: safeInt64(section, at + 24),
    recordCount: section.readUInt32BE(at + 32),
    batchCount: section.readUInt32BE(at + 36),
    firstTimestampMs: safeInt64(section, at + 40),
    maxTimestampMs: safeInt64(section, at + 48),
    crc32c: section.readUInt32BE(at + 56),
    baseOffset: hasBaseOffset ? safeInt64(section, at + 60) : null,
  };
  if (extent.partitionIndex < 0) throw corrupt('negative partition');
  if (extent.length === 0) throw corrupt('empty extent');
  if (extent.batchCount === 0) throw corrupt('extent without batches');
  if (extent.recordCount < extent.batchCount) throw corrupt('fewer records than batches');
  if (extent.baseOffset !== null && extent.baseOffset < 0) throw corrupt('negative base offset');
  return extent;
}

function decodeWriter(section: Buffer): SegmentWriter {
  if (section.length < writerFixedBytes) throw corrupt('truncated writer section');
  const textBytes = section.readUInt16BE(36);
  if (textBytes > softwareVersionBytesMax) throw corrupt('software version too long');
  // The section may be longer than we know: a later version appends fields.
  if (textBytes > section.length - writerFixedBytes) throw corrupt('truncated writer section');
  return {
    nodeId: section.readInt32BE(0),
    incarnation: safeInt64(section, 4),
    birthMs: safeInt64(section, 12),
    segmentId: uuidFromBytes(section, 20),
    softwareVersion: section.toString('utf8', writerFixedBytes, writerFixedBytes + textBytes),
  };
}

function safeInt64(bytes: Buffer, at: number): number {
  const value = readInt64(bytes, at);
  if (!Number.isSafeInteger(value)) throw corrupt('integer beyond 2^53');
  return value;
}

function corrupt(message: string): OperatingError {
  return new OperatingError('SEGMENT_CORRUPT', message);
}
