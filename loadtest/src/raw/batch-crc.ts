import { batchHeaderBytes } from '@kafscale/codec';
import { crc32c } from '@node-rs/crc32';

/** The checksum that a batch carries, which is of everything but offset, length, epoch and itself. */
export function batchCrcAt(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at + crcPosition);
}

/** The same, computed from what is there. */
export function computedBatchCrc(batch: Buffer): number {
  return crc32c(batch.subarray(attributesPosition));
}

/** Which number a batch of ours has. */
export function numberOfBatch(batch: Buffer): number {
  return batch.readDoubleBE(numberPosition);
}

/** Makes a batch differ from all others: a number in its first value. */
export function restampBatchCrc(batch: Buffer, number: number): void {
  batch.writeDoubleBE(number, numberPosition);
  batch.writeUInt32BE(computedBatchCrc(batch), crcPosition);
}

const crcPosition = 17;
const attributesPosition = 21;

/**
 * Well within the first value, of 64 bytes or more without a key: before it stand up to 9 bytes of
 * lengths and deltas.
 */
const numberPosition = batchHeaderBytes + 16;
