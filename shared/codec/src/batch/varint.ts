import { OperatingError } from '@kafscale/core';

/**
 * Reads the zigzag varints of record format v2 (ByteUtils.readVarint, readVarlong) and byte runs,
 * front to back, never past the end: RECORDS_CORRUPT.
 */
export class RecordReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get at(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  byte(): number {
    const value = this.#bytes[this.#at];
    if (value === undefined) throw corrupt('truncated record');
    this.#at += 1;
    return value;
  }

  /** int32. */
  varint(): number {
    const value = this.#zigzag(5);
    if (value !== (value | 0)) throw corrupt('varint beyond 32 bits');
    return value;
  }

  /** int64, of which only ±2^53 are accepted: all that time in milliseconds needs. */
  varlong(): number {
    const value = this.#zigzag(10);
    if (!Number.isSafeInteger(value)) throw corrupt('varlong beyond 2^53');
    return value;
  }

  /** Length-prefixed bytes, a view; null when the length is negative. */
  bytes(): Buffer | null {
    const length = this.varint();
    if (length < 0) return null;
    if (length > this.remaining) throw corrupt('field longer than its record');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  #zigzag(bytesMax: number): number {
    let value = 0;
    let scale = 1;
    for (let count = 0; count < bytesMax; count += 1) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
      scale *= 128;
    }
    throw corrupt(`varint of over ${bytesMax} bytes`);
  }
}

/** Bytes that `value` takes as a zigzag varint. */
export function varintBytes(value: number): number {
  let unsigned = zigzag(value);
  let length = 1;
  while (unsigned >= 128) {
    unsigned = Math.floor(unsigned / 128);
    length += 1;
  }
  return length;
}

/** Writes `value` as a zigzag varint; returns the position after it. */
export function writeVarint(into: Buffer, at: number, value: number): number {
  let unsigned = zigzag(value);
  let position = at;
  while (unsigned >= 128) {
    into[position] = (unsigned % 128) | 0x80;
    unsigned = Math.floor(unsigned / 128);
    position += 1;
  }
  into[position] = unsigned;
  return position + 1;
}

/** Exact to ±2^52: half of the safe range, because zigzag doubles. */
function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1;
}

function corrupt(message: string): OperatingError {
  return new OperatingError('RECORDS_CORRUPT', message);
}
