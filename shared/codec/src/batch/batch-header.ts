import { crc32c } from '@node-rs/crc32';
import { readInt64, writeInt64 } from '../int64-number.js';

/**
 * The header of a record batch v2 (KIP-98; Kafka's DefaultRecordBatch), read and patched in place:
 * 61 bytes, then the records, compressed or not. Nothing here looks at a record.
 *
 *      0 baseOffset int64            27 baseTimestamp int64
 *      8 batchLength int32           35 maxTimestamp int64
 *     12 partitionLeaderEpoch int32  43 producerId int64
 *     16 magic int8                  51 producerEpoch int16
 *     17 crc uint32                  53 baseSequence int32
 *     21 attributes int16            57 recordCount int32
 *     23 lastOffsetDelta int32       61 records
 *
 * `batchLength` counts from byte 12. The CRC-32C covers everything from `attributes` on, so that a
 * server can stamp offset and epoch without touching it.
 */
export const batchHeaderBytes = 61;

const position = {
  batchLength: 8,
  partitionLeaderEpoch: 12,
  magic: 16,
  crc: 17,
  attributes: 21,
  lastOffsetDelta: 23,
  baseTimestamp: 27,
  maxTimestamp: 35,
  producerId: 43,
  producerEpoch: 51,
  baseSequence: 53,
  recordCount: 57,
} as const;

/** What stands before the bytes that a batch's CRC covers. */
export const batchBytesBeforeCrc = position.attributes;

/** What stands before the bytes that `batchLength` counts. */
const lengthOverheadBytes = 12;

export const compressionCodecs = { none: 0, gzip: 1, snappy: 2, lz4: 3, zstd: 4 } as const;
export type CompressionName = keyof typeof compressionCodecs;

const attributeBits = {
  compressionMask: 0b111,
  logAppendTime: 1 << 3,
  transactional: 1 << 4,
  control: 1 << 5,
} as const;

/**
 * One header, made to be filled again and again. The int64 fields are plain numbers: exact up to
 * 2^53, and not a safe integer beyond (validateProducedRecords refuses those).
 */
export interface BatchHeader {
  baseOffset: number;
  /** The whole batch, its first 12 bytes included. */
  sizeBytes: number;
  partitionLeaderEpoch: number;
  magic: number;
  crc: number;
  attributes: number;
  lastOffsetDelta: number;
  firstTimestampMs: number;
  maxTimestampMs: number;
  /** −1: not idempotent; epoch and sequence then mean nothing. */
  producerId: number;
  producerEpoch: number;
  baseSequence: number;
  recordCount: number;
  /** 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd; 5 to 7 do not exist. */
  compressionCodec: number;
  isLogAppendTime: boolean;
  isTransactional: boolean;
  isControl: boolean;
}

export function emptyBatchHeader(): BatchHeader {
  return {
    baseOffset: 0,
    sizeBytes: 0,
    partitionLeaderEpoch: 0,
    magic: 0,
    crc: 0,
    attributes: 0,
    lastOffsetDelta: 0,
    firstTimestampMs: 0,
    maxTimestampMs: 0,
    producerId: -1,
    producerEpoch: -1,
    baseSequence: -1,
    recordCount: 0,
    compressionCodec: 0,
    isLogAppendTime: false,
    isTransactional: false,
    isControl: false,
  };
}

/** Bytes of the batch that starts at `at`, as it says itself: may be nonsense, even negative. */
export function batchSizeAt(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at + position.batchLength) + lengthOverheadBytes;
}

export function batchMagicAt(buffer: Buffer, at: number): number {
  return buffer.readInt8(at + position.magic);
}

/** lastOffsetDelta + 1: how many offsets the batch takes. */
export function batchOffsetSpanAt(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at + position.lastOffsetDelta) + 1;
}

export function batchBaseOffsetAt(buffer: Buffer, at: number): number {
  return readInt64(buffer, at);
}

/** Reads all 61 bytes, which must be there; judges nothing. */
export function readBatchHeader(
  buffer: Buffer,
  at: number,
  into: BatchHeader = emptyBatchHeader(),
): BatchHeader {
  const attributes = buffer.readInt16BE(at + position.attributes);
  into.baseOffset = readInt64(buffer, at);
  into.sizeBytes = batchSizeAt(buffer, at);
  into.partitionLeaderEpoch = buffer.readInt32BE(at + position.partitionLeaderEpoch);
  into.magic = batchMagicAt(buffer, at);
  into.crc = buffer.readUInt32BE(at + position.crc);
  into.attributes = attributes;
  into.lastOffsetDelta = buffer.readInt32BE(at + position.lastOffsetDelta);
  into.firstTimestampMs = readInt64(buffer, at + position.baseTimestamp);
  into.maxTimestampMs = readInt64(buffer, at + position.maxTimestamp);
  into.producerId = readInt64(buffer, at + position.producerId);
  into.producerEpoch = buffer.readInt16BE(at + position.producerEpoch);
  into.baseSequence = buffer.readInt32BE(at + position.baseSequence);
  into.recordCount = buffer.readInt32BE(at + position.recordCount);
  into.compressionCodec = attributes & attributeBits.compressionMask;
  into.isLogAppendTime = (attributes & attributeBits.logAppendTime) !== 0;
  into.isTransactional = (attributes & attributeBits.transactional) !== 0;
  into.isControl = (attributes & attributeBits.control) !== 0;
  return into;
}

/** The CRC-32C that the header says. */
export function batchStoredCrcAt(buffer: Buffer, at: number): number {
  return buffer.readUInt32BE(at + position.crc);
}

/** Whether the CRC-32C of the whole batch at `at` is what its header says. */
export function batchCrcMatches(buffer: Buffer, at: number): boolean {
  return buffer.readUInt32BE(at + position.crc) === computeBatchCrc(buffer, at);
}

/** Gives a stored batch its place in the log. Not covered by the CRC. */
export function stampBatch(
  buffer: Buffer,
  at: number,
  baseOffset: number,
  partitionLeaderEpoch: number,
): void {
  writeInt64(buffer, baseOffset, at);
  buffer.writeInt32BE(partitionLeaderEpoch, at + position.partitionLeaderEpoch);
}

/** message.timestamp.type=LogAppendTime: DefaultRecordBatch.setMaxTimestamp. Renews the CRC. */
export function setLogAppendTime(buffer: Buffer, at: number, timestampMs: number): void {
  const attributes = buffer.readInt16BE(at + position.attributes) | attributeBits.logAppendTime;
  buffer.writeInt16BE(attributes, at + position.attributes);
  writeInt64(buffer, timestampMs, at + position.maxTimestamp);
  buffer.writeUInt32BE(computeBatchCrc(buffer, at), at + position.crc);
}

/** Writes a header, its CRC included, before records that are already in the buffer. */
export function writeBatchHeader(buffer: Buffer, at: number, header: BatchHeader): void {
  const flags =
    (header.compressionCodec & attributeBits.compressionMask) |
    (header.isLogAppendTime ? attributeBits.logAppendTime : 0) |
    (header.isTransactional ? attributeBits.transactional : 0) |
    (header.isControl ? attributeBits.control : 0);
  writeInt64(buffer, header.baseOffset, at);
  buffer.writeInt32BE(header.sizeBytes - lengthOverheadBytes, at + position.batchLength);
  buffer.writeInt32BE(header.partitionLeaderEpoch, at + position.partitionLeaderEpoch);
  buffer.writeInt8(header.magic, at + position.magic);
  buffer.writeInt16BE(flags, at + position.attributes);
  buffer.writeInt32BE(header.lastOffsetDelta, at + position.lastOffsetDelta);
  writeInt64(buffer, header.firstTimestampMs, at + position.baseTimestamp);
  writeInt64(buffer, header.maxTimestampMs, at + position.maxTimestamp);
  writeInt64(buffer, header.producerId, at + position.producerId);
  buffer.writeInt16BE(header.producerEpoch, at + position.producerEpoch);
  buffer.writeInt32BE(header.baseSequence, at + position.baseSequence);
  buffer.writeInt32BE(header.recordCount, at + position.recordCount);
  buffer.writeUInt32BE(computeBatchCrc(buffer, at), at + position.crc);
}

function computeBatchCrc(buffer: Buffer, at: number): number {
  return crc32c(buffer.subarray(at + position.attributes, at + batchSizeAt(buffer, at)));
}
