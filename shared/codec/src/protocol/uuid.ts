import { ProtocolError } from './errors.js';

/** `Uuid.ZERO_UUID`: on the wire "no id". */
export const zeroUuid = '00000000-0000-0000-0000-000000000000';

export const uuidBytes = 16;

/** The dashed, lower-case form of the 16 bytes at `offset`. */
export function uuidFromBytes(bytes: Buffer, offset: number): string {
  const hex = bytes.toString('hex', offset, offset + uuidBytes);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Writes the 16 bytes of a dashed uuid at `offset`. */
export function uuidToBytes(uuid: string, target: Buffer, offset: number): void {
  // Buffer.write stops at the first character that is no hex digit, and says so by its count.
  const written = target.write(uuid.replaceAll('-', ''), offset, uuidBytes, 'hex');
  if (uuid.length !== zeroUuid.length || written !== uuidBytes) {
    throw new ProtocolError('UNENCODABLE_MESSAGE', `"${uuid.slice(0, 64)}" is not a uuid`);
  }
}
