const twoPow32 = 2 ** 32;

// Two 32-bit halves instead of a bigint: these run for every batch, and a bigint is an allocation.

/** A big-endian int64 as a number: exact to ±2^53, and not a safe integer beyond. */
export function readInt64(buffer: Buffer, at: number): number {
  return buffer.readInt32BE(at) * twoPow32 + buffer.readUInt32BE(at + 4);
}

/** Writes a safe integer as a big-endian int64. */
export function writeInt64(buffer: Buffer, value: number, at: number): void {
  const high = Math.floor(value / twoPow32);
  buffer.writeInt32BE(high, at);
  buffer.writeUInt32BE(value - high * twoPow32, at + 4);
}
