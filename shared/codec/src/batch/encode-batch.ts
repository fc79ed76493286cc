import { invariant } from '@kafscale/core';
import {
  type BatchHeader,
  batchHeaderBytes,
  compressionCodecs,
  type CompressionName,
  emptyBatchHeader,
  writeBatchHeader,
} from './batch-header.js';
import { compressRecords } from './compression.js';
import { varintBytes, writeVarint } from './varint.js';

export interface RecordToEncode {
  readonly timestampMs: number;
  readonly key?: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers?: readonly { readonly key: string; readonly value: Uint8Array | null }[];
}

export interface BatchToEncode {
  readonly records: readonly RecordToEncode[];
  readonly compression?: CompressionName;
  readonly producerId?: number;
  readonly producerEpoch?: number;
  readonly baseSequence?: number;
  readonly baseOffset?: number;
  readonly partitionLeaderEpoch?: number;
  readonly isTransactional?: boolean;
  readonly isControl?: boolean;
}

/** A record batch v2 as a producer makes it. For load generators, tools and tests. */
export async function encodeBatch(batch: BatchToEncode): Promise<Buffer> {
  const compression = batch.compression ?? 'none';
  return assemble(batch, await compressRecords(compression, encodeRecords(batch.records)));
}

/** {@link encodeBatch} without compression, at once. */
export function encodePlainBatch(batch: Omit<BatchToEncode, 'compression'>): Buffer {
  return assemble(batch, encodeRecords(batch.records));
}

function assemble(batch: BatchToEncode, storedRecords: Buffer): Buffer {
  const first = batch.records[0];
  invariant(first !== undefined, 'a batch has at least one record');
  const header: BatchHeader = {
    ...emptyBatchHeader(),
    baseOffset: batch.baseOffset ?? 0,
    sizeBytes: batchHeaderBytes + storedRecords.length,
    partitionLeaderEpoch: batch.partitionLeaderEpoch ?? -1,
    magic: 2,
    lastOffsetDelta: batch.records.length - 1,
    firstTimestampMs: first.timestampMs,
    maxTimestampMs: batch.records.reduce(
      (max, record) => Math.max(max, record.timestampMs),
      first.timestampMs,
    ),
    producerId: batch.producerId ?? -1,
    producerEpoch: batch.producerEpoch ?? -1,
    baseSequence: batch.baseSequence ?? -1,
    recordCount: batch.records.length,
    compressionCodec: compressionCodecs[batch.compression ?? 'none'],
    isTransactional: batch.isTransactional ?? false,
    isControl: batch.isControl ?? false,
  };
  const bytes = Buffer.allocUnsafeSlow(header.sizeBytes);
  storedRecords.copy(bytes, batchHeaderBytes);
  writeBatchHeader(bytes, 0, header);
  return bytes;
}

function encodeRecords(records: readonly RecordToEncode[]): Buffer {
  const firstTimestampMs = records[0]?.timestampMs ?? 0;
  const bodyBytes = records.map((record, index) =>
    recordBodyBytes(record, record.timestampMs - firstTimestampMs, index),
  );
  const total = bodyBytes.reduce((sum, bytes) => sum + varintBytes(bytes) + bytes, 0);
  const into = Buffer.allocUnsafe(total);
  let at = 0;
  records.forEach((record, index) => {
    at = writeVarint(into, at, bodyBytes[index] ?? 0);
    into[at] = 0; // attributes
    at = writeVarint(into, at + 1, record.timestampMs - firstTimestampMs);
    at = writeVarint(into, at, index);
    at = writeBytes(into, at, record.key ?? null);
    at = writeBytes(into, at, record.value);
    at = writeVarint(into, at, record.headers?.length ?? 0);
    for (const header of record.headers ?? []) {
      at = writeBytes(into, at, Buffer.from(header.key, 'utf8'));
      at = writeBytes(into, at, header.value);
    }
  });
  invariant(at === total, 'the record encoder wrote what it measured');
  return into;
}

function recordBodyBytes(record: RecordToEncode, timestampDelta: number, index: number): number {
  const headers = record.headers ?? [];
  const fixed = 1 + varintBytes(timestampDelta) + varintBytes(index) + varintBytes(headers.length);
  const headerBytes = headers.reduce(
    (sum, header) =>
      sum + prefixedBytes(Buffer.byteLength(header.key)) + prefixedBytes(header.value?.length),
    0,
  );
  return (
    fixed + prefixedBytes(record.key?.length) + prefixedBytes(record.value?.length) + headerBytes
  );
}

/** Bytes of a length-prefixed field; undefined is null. */
function prefixedBytes(length: number | undefined): number {
  return length === undefined ? varintBytes(-1) : varintBytes(length) + length;
}

function writeBytes(into: Buffer, at: number, bytes: Uint8Array | null): number {
  if (bytes === null) return writeVarint(into, at, -1);
  const start = writeVarint(into, at, bytes.length);
  into.set(bytes, start);
  return start + bytes.length;
}
