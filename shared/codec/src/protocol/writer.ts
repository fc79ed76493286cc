import { invariant } from '@kafscale/core';
import { writeInt64 } from '../int64-number.js';
import { ProtocolError } from './errors.js';
import { writeInt64At } from './int64.js';
import { stringBytesMax } from './reader.js';
import { uuidBytes, uuidToBytes } from './uuid.js';

/** What a bytes field takes on encode: one piece, or pieces that are sent one after the other. */
export type GatherBytes = Uint8Array | readonly Uint8Array[];

/** From this size on a piece is passed on by reference; below it a copy is cheaper than a chunk. */
const referencedBytesMin = 1024;
const firstChunkBytes = 512;
const chunkBytesMax = 64 * 1024;

/**
 * Writes Kafka's primitive types into a list of chunks whose concatenation is the message. Chunks
 * it allocates grow geometrically, so it never copies what it has written; large byte fields join
 * the list by reference and must not change until the list has been sent.
 */
export class Writer {
  readonly #chunks: Uint8Array[] = [];
  #buffer: Buffer = Buffer.allocUnsafe(firstChunkBytes);
  /** Where the part of `#buffer` starts that is not in `#chunks` yet. */
  #start = 0;
  #position = 0;
  /** Bytes in `#chunks`. */
  #flushedBytes = 0;

  get byteLength(): number {
    return this.#flushedBytes + this.#position - this.#start;
  }

  /** The chunks; the writer is not usable afterwards. */
  finish(): Uint8Array[] {
    this.#flush();
    return this.#chunks;
  }

  writeBool(value: boolean): void {
    this.writeInt8(value ? 1 : 0);
  }

  writeInt8(value: number): void {
    checkRange(value, -0x80, 0x7f);
    this.#writeByte(value);
  }

  writeInt16(value: number): void {
    checkRange(value, -0x8000, 0x7fff);
    const start = this.#reserve(2);
    this.#buffer.writeInt16BE(value, start);
  }

  writeUint16(value: number): void {
    checkRange(value, 0, 0xffff);
    const start = this.#reserve(2);
    this.#buffer.writeUInt16BE(value, start);
  }

  writeInt32(value: number): void {
    checkRange(value, -0x80000000, 0x7fffffff);
    const start = this.#reserve(4);
    this.#buffer.writeInt32BE(value, start);
  }

  writeInt64(value: bigint): void {
    const start = this.#reserve(8);
    if (!writeInt64At(value, this.#buffer, start)) unencodable(`${value} is not an int64`);
  }

  writeSafeInt64(value: number): void {
    checkRange(value, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    const start = this.#reserve(8);
    writeInt64(this.#buffer, value, start);
  }

  writeFloat64(value: number): void {
    const start = this.#reserve(8);
    this.#buffer.writeDoubleBE(value, start);
  }

  writeUuid(value: string): void {
    const start = this.#reserve(uuidBytes);
    uuidToBytes(value, this.#buffer, start);
  }

  writeUnsignedVarint(value: number): void {
    checkRange(value, 0, 0xffffffff);
    let rest = value;
    while (rest > 0x7f) {
      this.#writeByte((rest & 0x7f) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.#writeByte(rest);
  }

  writeString(value: string, flexible: boolean): void {
    const length = Buffer.byteLength(value);
    if (length > stringBytesMax) unencodable(`a string of ${length} bytes`);
    if (flexible) this.writeUnsignedVarint(length + 1);
    else this.writeInt16(length);
    const start = this.#reserve(length);
    this.#buffer.write(value, start, length);
  }

  writeNullString(flexible: boolean): void {
    if (flexible) this.writeUnsignedVarint(0);
    else this.writeInt16(-1);
  }

  /** The length prefix of bytes and of arrays; -1 is null. */
  writeLength(length: number, flexible: boolean): void {
    if (flexible) this.writeUnsignedVarint(length + 1);
    else this.writeInt32(length);
  }

  writeBytes(value: GatherBytes, flexible: boolean): void {
    this.writeLength(gatherLength(value), flexible);
    if (value instanceof Uint8Array) this.append(value);
    else for (const piece of value) this.append(piece);
  }

  /** Adds bytes as they are: by copy if they are few, else by reference. */
  append(bytes: Uint8Array): void {
    if (bytes.length < referencedBytesMin) {
      const start = this.#reserve(bytes.length);
      this.#buffer.set(bytes, start);
      return;
    }
    this.#flush();
    this.#push(bytes);
  }

  appendAll(chunks: readonly Uint8Array[]): void {
    for (const chunk of chunks) this.append(chunk);
  }

  #writeByte(value: number): void {
    const start = this.#reserve(1);
    this.#buffer[start] = value;
  }

  /** Makes room for `length` contiguous bytes and returns where they start. May replace `#buffer`. */
  #reserve(length: number): number {
    if (this.#position + length > this.#buffer.length) this.#grow(length);
    const start = this.#position;
    this.#position = start + length;
    return start;
  }

  #grow(length: number): void {
    this.#flush();
    const doubled = Math.min(this.#buffer.length * 2, chunkBytesMax);
    this.#buffer = Buffer.allocUnsafe(Math.max(doubled, length));
    this.#start = 0;
    this.#position = 0;
  }

  #flush(): void {
    if (this.#position === this.#start) return;
    this.#push(this.#buffer.subarray(this.#start, this.#position));
    this.#start = this.#position;
  }

  #push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#flushedBytes += chunk.length;
    invariant(Number.isSafeInteger(this.#flushedBytes), 'a message has a size');
  }
}

/** The bytes of all pieces together. */
export function gatherLength(value: GatherBytes): number {
  if (value instanceof Uint8Array) return value.length;
  let length = 0;
  for (const piece of value) length += piece.length;
  return length;
}

function checkRange(value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max) {
    unencodable(`${value} is not an integer from ${min} to ${max}`);
  }
}

function unencodable(reason: string): never {
  throw new ProtocolError('UNENCODABLE_MESSAGE', reason);
}
