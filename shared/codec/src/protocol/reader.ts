import { limits } from '@kafscale/core';
import { readInt64 } from '../int64-number.js';
import { ProtocolError } from './errors.js';
import { readInt64At } from './int64.js';
import { uuidBytes, uuidFromBytes } from './uuid.js';

/** Kafka's cap on every string, classic or compact (`Short.MAX_VALUE`). */
export const stringBytesMax = 0x7fff;

/**
 * Reads Kafka's primitive types, big-endian, from one buffer, and checks every length against what
 * is left before it acts on it.
 *
 * Byte fields are views into the buffer: valid as long as the caller does not reuse the buffer, and
 * holding one keeps the whole buffer alive. A reader that threw is dead: it throws at every later
 * read, so that nobody can go on from the middle of a message.
 */
export class Reader {
  readonly #buffer: Buffer;
  #position: number;
  /** Exclusive; -1 once dead, which makes every bounds check fail. */
  #end: number;
  #elementsLeft: number = limits.arrayElementsMax;

  constructor(buffer: Buffer, offset = 0) {
    this.#buffer = buffer;
    this.#position = offset;
    this.#end = buffer.length;
    if (offset > buffer.length) this.fail('the message is truncated');
  }

  get position(): number {
    return this.#position;
  }

  get remaining(): number {
    return this.#end - this.#position;
  }

  /** Kills the reader and throws. */
  fail(reason: string): never {
    const position = this.#position;
    this.#end = -1;
    throw new ProtocolError('MALFORMED_MESSAGE', `${reason} (byte ${position})`);
  }

  readBool(): boolean {
    return this.#buffer[this.#advance(1)] !== 0;
  }

  readInt8(): number {
    return this.#buffer.readInt8(this.#advance(1));
  }

  readInt16(): number {
    return this.#buffer.readInt16BE(this.#advance(2));
  }

  readUint16(): number {
    return this.#buffer.readUInt16BE(this.#advance(2));
  }

  readInt32(): number {
    return this.#buffer.readInt32BE(this.#advance(4));
  }

  readInt64(): bigint {
    return readInt64At(this.#buffer, this.#advance(8));
  }

  readSafeInt64(): number {
    const value = readInt64(this.#buffer, this.#advance(8));
    return Number.isSafeInteger(value) ? value : this.fail('an integer is beyond 2^53');
  }

  readFloat64(): number {
    return this.#buffer.readDoubleBE(this.#advance(8));
  }

  readUuid(): string {
    return uuidFromBytes(this.#buffer, this.#advance(uuidBytes));
  }

  /** At most 5 bytes, 32 bits. Like Kafka it takes an encoding that is longer than it must be. */
  readUnsignedVarint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.#buffer[this.#advance(1)] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    const last = this.#buffer[this.#advance(1)] ?? 0;
    if (last > 0x0f) this.fail('a variable-length integer has more than 32 bits');
    return value + last * 2 ** 28;
  }

  /** -1 is null. */
  readStringLength(flexible: boolean): number {
    const length = flexible ? this.readUnsignedVarint() - 1 : this.readInt16();
    if (length > stringBytesMax) this.fail(`a string of ${length} bytes is too long`);
    return this.#checkedLength(length);
  }

  /** -1 is null. */
  readBytesLength(flexible: boolean): number {
    return this.#checkedLength(flexible ? this.readUnsignedVarint() - 1 : this.readInt32());
  }

  /**
   * -1 is null. The elements of all arrays of a message together are bounded, because nested arrays
   * of tiny elements would else turn one request into gigabytes of objects.
   */
  readArrayCount(flexible: boolean, elementBytesMin: number): number {
    const count = flexible ? this.readUnsignedVarint() - 1 : this.readInt32();
    if (count < -1) this.fail(`an array has ${count} elements`);
    if (count * elementBytesMin > this.remaining) {
      this.fail(`an array of ${count} elements does not fit into ${this.remaining} bytes`);
    }
    this.#elementsLeft -= Math.max(count, 0);
    if (this.#elementsLeft < 0) this.fail('the message has too many array elements');
    return count;
  }

  /** Bytes that are not UTF-8 become U+FFFD, as in Kafka, so such a string does not round-trip. */
  readUtf8(length: number): string {
    if (length === 0) return '';
    const start = this.#advance(length);
    return this.#buffer.toString('utf8', start, start + length);
  }

  /** A view, not a copy. */
  readView(length: number): Buffer {
    const start = this.#advance(length);
    return this.#buffer.subarray(start, start + length);
  }

  skip(length: number): void {
    this.#advance(length);
  }

  readTagCount(): number {
    const count = this.readUnsignedVarint();
    if (count > limits.taggedFieldsMax || count * 2 > this.remaining) {
      this.fail(`a message with ${count} tagged fields`);
    }
    return count;
  }

  skipTaggedFields(): void {
    for (let left = this.readTagCount(); left > 0; left -= 1) {
      this.readUnsignedVarint();
      this.skip(this.readUnsignedVarint());
    }
  }

  /** Runs `read` on the next `length` bytes, which it must consume exactly. */
  readWithin<Value>(length: number, read: (reader: this) => Value): Value {
    if (length > this.remaining) this.fail(`a field of ${length} bytes is truncated`);
    const end = this.#end;
    this.#end = this.#position + length;
    const value = read(this);
    this.expectEnd();
    this.#end = end;
    return value;
  }

  expectEnd(): void {
    if (this.remaining !== 0) this.fail(`${this.remaining} bytes follow the end`);
  }

  #checkedLength(length: number): number {
    if (length < -1) this.fail(`a length of ${length}`);
    if (length > this.remaining) {
      this.fail(`a field of ${length} bytes does not fit into ${this.remaining} bytes`);
    }
    return length;
  }

  /** Returns where the next `length` bytes start and steps over them. */
  #advance(length: number): number {
    const start = this.#position;
    const next = start + length;
    if (next > this.#end) this.fail('the message is truncated');
    this.#position = next;
    return start;
  }
}
