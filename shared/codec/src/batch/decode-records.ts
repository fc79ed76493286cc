import { OperatingError } from '@kafscale/core';
import { batchHeaderBytes, type BatchHeader, readBatchHeader } from './batch-header.js';
import { decompressRecords } from './compression.js';
import { RecordReader } from './varint.js';
import { nextBatchPosition } from './walk-batches.js';

export interface RecordHeader {
  readonly key: string;
  readonly value: Buffer | null;
}

/** One record (Kafka's DefaultRecord). Its buffers are views of the decompressed batch. */
export interface DecodedRecord {
  readonly offsetDelta: number;
  /** Milliseconds; the batch's append time for all of its records when that is its type. */
  readonly timestampMs: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly RecordHeader[];
}

export interface DecodedBatch {
  readonly header: BatchHeader;
  /** Decodes while it is iterated; once. Throws RECORDS_CORRUPT at the record that lies. */
  readonly records: Iterable<DecodedRecord>;
}

/**
 * Decompresses the batch at `at` and hands out its records. Rejects with BATCH_CORRUPT when no
 * whole batch is there, else as {@link decompressRecords}. Does not check the CRC.
 */
export async function decodeRecords(buffer: Buffer, at = 0): Promise<DecodedBatch> {
  const end = nextBatchPosition(buffer, at, buffer.length);
  if (end === -1) throw new OperatingError('BATCH_CORRUPT', `no whole record batch at byte ${at}`);
  const header = readBatchHeader(buffer, at);
  const stored = buffer.subarray(at + batchHeaderBytes, end);
  const bytes = await decompressRecords(header.compressionCodec, stored);
  return { header, records: iterateRecords(header, bytes) };
}

function* iterateRecords(header: BatchHeader, bytes: Buffer): Generator<DecodedRecord> {
  const reader = new RecordReader(bytes);
  for (let index = 0; index < header.recordCount; index += 1) {
    const length = reader.varint();
    if (length < 0 || length > reader.remaining) throw corrupt('record longer than its batch');
    const end = reader.at + length;
    yield readRecord(reader, header);
    if (reader.at !== end) throw corrupt('record length does not match its fields');
  }
  if (reader.remaining !== 0) throw corrupt('bytes after the last record');
}

function readRecord(reader: RecordReader, header: BatchHeader): DecodedRecord {
  reader.byte(); // attributes: unused in v2
  const timestampDelta = reader.varlong();
  const offsetDelta = reader.varint();
  if (offsetDelta < 0 || offsetDelta > header.lastOffsetDelta) throw corrupt('offset delta');
  const key = reader.bytes();
  const value = reader.bytes();
  const timestampMs = header.isLogAppendTime
    ? header.maxTimestampMs
    : header.firstTimestampMs + timestampDelta;
  return { offsetDelta, timestampMs, key, value, headers: readHeaders(reader) };
}

function readHeaders(reader: RecordReader): readonly RecordHeader[] {
  const count = reader.varint();
  // A header is two bytes at least.
  if (count < 0 || count > reader.remaining / 2) throw corrupt(`${count} record headers`);
  if (count === 0) return noHeaders;
  return Array.from({ length: count }, () => {
    const key = reader.bytes();
    if (key === null) throw corrupt('record header without a key');
    return { key: key.toString('utf8'), value: reader.bytes() };
  });
}

const noHeaders: readonly RecordHeader[] = Object.freeze([]);

function corrupt(message: string): OperatingError {
  return new OperatingError('RECORDS_CORRUPT', message);
}
