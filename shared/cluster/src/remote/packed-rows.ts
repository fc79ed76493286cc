import { ProtocolError } from '@kafscale/codec';
import { invariant } from '@kafscale/core';

/**
 * Rows of fixed width in one bytes field. A commit may carry 20,000 batches: as structs of a schema
 * each would cost an object and a call per field and int64; as rows it costs a few stores.
 *
 * Counts, ids, offsets and times are doubles here, which hold every safe integer exactly.
 */
export class RowWriter {
  readonly #buffer: Buffer;
  #offset = 0;

  constructor(rows: number, rowBytes: number) {
    this.#buffer = Buffer.allocUnsafe(rows * rowBytes);
  }

  uint8(value: number): void {
    this.#offset = this.#buffer.writeUInt8(value, this.#offset);
  }

  int16(value: number): void {
    this.#offset = this.#buffer.writeInt16BE(value, this.#offset);
  }

  int32(value: number): void {
    this.#offset = this.#buffer.writeInt32BE(value, this.#offset);
  }

  float64(value: number): void {
    this.#offset = this.#buffer.writeDoubleBE(value, this.#offset);
  }

  finish(): Buffer {
    invariant(this.#offset === this.#buffer.length, 'every row was written whole');
    return this.#buffer;
  }
}

/** Reads what {@link RowWriter} wrote. Throws ProtocolError where the bytes can not be rows. */
export class RowReader {
  /** Rows in all. */
  readonly count: number;
  readonly #buffer: Buffer;
  readonly #rowBytes: number;
  #offset = 0;

  constructor(buffer: Buffer, rowBytes: number) {
    if (buffer.length % rowBytes !== 0) malformed('rows of another width');
    this.#buffer = buffer;
    this.#rowBytes = rowBytes;
    this.count = buffer.length / rowBytes;
  }

  get rowsLeft(): number {
    return (this.#buffer.length - this.#offset) / this.#rowBytes;
  }

  uint8(): number {
    const value = this.#buffer.readUInt8(this.#offset);
    this.#offset += 1;
    return value;
  }

  int16(): number {
    const value = this.#buffer.readInt16BE(this.#offset);
    this.#offset += 2;
    return value;
  }

  int32(): number {
    const value = this.#buffer.readInt32BE(this.#offset);
    this.#offset += 4;
    return value;
  }

  float64(): number {
    const value = this.#buffer.readDoubleBE(this.#offset);
    this.#offset += 8;
    return value;
  }

  /** A double that must be an exact integer. */
  integer(): number {
    return checkedInteger(this.float64());
  }

  /** A count of rows elsewhere that belong to this one. */
  countUpTo(max: number): number {
    const value = this.int32();
    if (value < 0 || value > max) malformed(`a count of ${value} where ${max} are left`);
    return value;
  }

  expectEnd(): void {
    if (this.#offset !== this.#buffer.length) malformed('rows that belong to nothing');
  }
}

export function checkedInteger(value: number): number {
  if (!Number.isSafeInteger(value)) malformed(`${value} is not a safe integer`);
  return value;
}

export function malformed(reason: string): never {
  throw new ProtocolError('MALFORMED_MESSAGE', reason);
}
