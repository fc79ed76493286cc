import { crc32c } from '@node-rs/crc32';
import {
  batchBytesBeforeCrc,
  batchCrcMatches,
  batchSizeAt,
  batchStoredCrcAt,
} from '../batch/batch-header.js';
import { multiplyModulo, powerOfX } from './crc32c-combine.js';

/**
 * The position of the first batch whose CRC-32C is wrong, or −1. The batches between `start` and `end`
 * are whole (nextBatchPosition has said so) and follow on one another.
 *
 * One native call for all of them: the sum that the range must have follows from what the headers say.
 * A call per batch costs 0.2 µs more than its bytes. From warm memory, batches of 1 KiB are checked at 5.7
 * instead of 4.0 GB/s, of 16 KiB at 14.3 instead of 11.0.
 */
export function firstCorruptBatch(buffer: Buffer, start: number, end: number): number {
  if (crc32c(buffer.subarray(start, end)) === expectedCrc(buffer, start, end)) return -1;
  for (let at = start; at < end; at += batchSizeAt(buffer, at)) {
    if (!batchCrcMatches(buffer, at)) return at;
  }
  return -1;
}

/** Of the range, if every batch in it is intact: header by header, CRC by CRC. */
function expectedCrc(buffer: Buffer, start: number, end: number): number {
  let crc = 0;
  for (let at = start; at < end;) {
    const size = batchSizeAt(buffer, at);
    const headerCrc = crcOfFew(buffer, at, at + batchBytesBeforeCrc);
    const batchCrc =
      multiplyModulo(powerOf(size - batchBytesBeforeCrc), headerCrc) ^ batchStoredCrcAt(buffer, at);
    crc = multiplyModulo(powerOf(size), crc) ^ batchCrc;
    at += size;
  }
  return crc >>> 0;
}

/** Batches of a topic come in few sizes, and a power costs up to 27 multiplications. */
const knownCount = 256;
const knownLengths = new Int32Array(knownCount).fill(-1);
const knownPowers = new Int32Array(knownCount);

function powerOf(bytes: number): number {
  const slot = (bytes ^ (bytes >>> 8)) % knownCount;
  if (knownLengths[slot] !== bytes) {
    knownLengths[slot] = bytes;
    knownPowers[slot] = powerOfX(bytes);
  }
  return knownPowers[slot] ?? 0;
}

/** By table: for a few bytes a native call is dearer. */
function crcOfFew(buffer: Buffer, start: number, end: number): number {
  let crc = -1;
  for (let at = start; at < end; at++) {
    crc = (crc >>> 8) ^ (table[(crc ^ (buffer[at] ?? 0)) & 0xff] ?? 0);
  }
  return ~crc;
}

const table = Int32Array.from({ length: 256 }, (_, byte) => crcOfByte(byte));

function crcOfByte(byte: number): number {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc;
}
