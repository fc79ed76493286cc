/**
 * An int64 through a scratch view: one BigInt per value, where Buffer's own methods shift and add
 * their way through several. Nothing here is asynchronous, so one scratch serves everybody.
 */
const scratch = new DataView(new ArrayBuffer(8));

export function readInt64At(bytes: Buffer, offset: number): bigint {
  scratch.setInt32(0, bytes.readInt32BE(offset));
  scratch.setInt32(4, bytes.readInt32BE(offset + 4));
  return scratch.getBigInt64(0);
}

/** false if the value has more than 64 bits; then nothing is written. */
export function writeInt64At(value: bigint, bytes: Buffer, offset: number): boolean {
  scratch.setBigInt64(0, value);
  if (scratch.getBigInt64(0) !== value) return false;
  bytes.writeInt32BE(scratch.getInt32(0), offset);
  bytes.writeInt32BE(scratch.getInt32(4), offset + 4);
  return true;
}
