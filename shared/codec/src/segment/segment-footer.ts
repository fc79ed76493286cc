/**
 * What a segment object says about itself. docs/segment-format.md has every byte; design §8.
 */
export interface SegmentExtent {
  /** Lower-case dashed UUID. */
  readonly topicId: string;
  readonly partitionIndex: number;
  /** First byte in the object. */
  readonly position: number;
  readonly length: number;
  readonly recordCount: number;
  readonly batchCount: number;
  /** Base timestamp of the first batch; −1: none. */
  readonly firstTimestampMs: number;
  /** The highest maximum timestamp of the batches. */
  readonly maxTimestampMs: number;
  /** CRC-32C of the extent's bytes as stored. */
  readonly crc32c: number;
  /** Offset of the first record: in compacted segments only, else null. */
  readonly baseOffset: number | null;
}

export interface SegmentWriter {
  readonly nodeId: number;
  readonly incarnation: number;
  /** Database time at which the segment was opened. */
  readonly birthMs: number;
  readonly segmentId: string;
  /** For people: name and version of the program, at most 64 bytes of UTF-8. */
  readonly softwareVersion: string;
}

/** The first batch of a part of a large extent: where it is, and what the part holds. */
export interface BatchIndexEntry {
  /** First byte of the batch in the object. */
  readonly position: number;
  /** Offset of its first record. */
  readonly baseOffset: number;
  /** The highest maximum timestamp of the batches from this one to the next entry. */
  readonly maxTimestampMs: number;
}

export interface SegmentFooter {
  /** In order of position; the extents do not overlap. */
  readonly extents: readonly SegmentExtent[];
  readonly writer: SegmentWriter;
  /**
   * Compacted segments: ascending by position; the parts of every extent that has more than one, the
   * first included. An extent without entries is one part. Absent: the segment has no such section.
   */
  readonly batchIndex?: readonly BatchIndexEntry[];
}

/** Padding: zeros that bring the object to a size which the store writes at the least cost. */
export const segmentSections = { extents: 1, writer: 2, batchIndex: 3, padding: 4 } as const;

/** Trailer: footer length u32, version u16, incompatible flags u16, CRC-32C u32, magic. */
export const trailer = {
  bytes: 16,
  footerLength: 0,
  version: 4,
  incompatibleFlags: 6,
  crc32c: 8,
  magic: 12,
} as const;

export const segmentMagic = 0x4b534547; // "KSEG"
export const segmentVersion = 1;

/** Section header: type u16, reserved u16, length u32. */
export const sectionHeaderBytes = 8;

/** Head of the extent table: flags u16, bytes per entry u16, entries u32. */
export const extentTableHeadBytes = 8;
export const extentFlags = { hasBaseOffsets: 1 } as const;
export const extentEntryBytes = { plain: 60, withBaseOffset: 68 } as const;

/** Head of the batch index: reserved u16, bytes per entry u16, entries u32. */
export const batchIndexHeadBytes = 8;
/** Position i64, base offset i64, max timestamp i64. */
export const batchIndexEntryBytes = 24;

/** Node id i32, incarnation i64, birth i64, segment id 16 bytes, length of the version text u16. */
export const writerFixedBytes = 38;
export const softwareVersionBytesMax = 64;
