import { copyInto, invariant, PooledMemory } from '@kafscale/core';

import type { FrameMemory } from './frame-memory.js';
import { refuseFrameLength } from './frame-refusal.js';
import type { FrameRefusal } from './frame-refusal.js';

/**
 * `more`: every byte given so far is used up. `announced`: a length prefix was read, see
 * {@link FrameAssembler.announcedBytes}; nothing is allocated before {@link FrameAssembler.admit}.
 * `refused`: see {@link FrameAssembler.refusal}; the assembler is dead. Memory: one whole frame,
 * without its length prefix.
 */
export type FrameStep = PooledMemory | 'more' | 'announced' | 'refused';

type Phase = 'header' | 'announced' | 'body' | 'refused';

const noBytes = Buffer.alloc(0);
const noFrame = new PooledMemory(noBytes);

/** The first buffer of a frame that spans chunks; larger announcements must first send this much. */
const bodyBytesInitial = 1024 * 1024;
/** A read of its own for less than this would cost more than copying it. */
const filledBytesMin = 64 * 1024;
/** How much more than what really arrived may be allocated. Untouched pages cost no memory. */
const bodyGrowthFactor = 8;

/**
 * Cuts the bytes of a connection into length-prefixed frames. Pure: the caller moves the bytes and
 * decides when a frame may be collected.
 *
 * Ownership: a chunk is the caller's, who may use its memory again after `keepRest`. A frame is a
 * copy, in memory from `FrameMemory`, and is the caller's to release.
 */
export class FrameAssembler {
  readonly #frameBytesMax: number;
  readonly #memory: FrameMemory;
  #phase: Phase = 'header';
  #chunk: Buffer = noBytes;
  #offset = 0;
  #headerBytes = 0;
  #headerValue = 0;
  #frameBytes = 0;
  #body: PooledMemory = noFrame;
  #bodyBytes = 0;
  #refusal: FrameRefusal | null = null;

  constructor(frameBytesMax: number, memory: FrameMemory) {
    this.#frameBytesMax = frameBytesMax;
    this.#memory = memory;
  }

  /** The size of the frame that was announced last, without its length prefix. */
  get announcedBytes(): number {
    return this.#frameBytes;
  }

  get refusal(): FrameRefusal | null {
    return this.#refusal;
  }

  /** True while some, but not all bytes of a frame and its length prefix have been seen. */
  get inProgress(): boolean {
    return this.#headerBytes > 0 || this.#phase === 'announced' || this.#phase === 'body';
  }

  /** True when the announced frame has arrived in full: it needs no buffer of its own. */
  get announcedHasArrived(): boolean {
    return this.#chunk.length - this.#offset >= this.#frameBytes;
  }

  /** What has not arrived of the frame that is announced or being collected. */
  get missingBytes(): number {
    if (this.#phase !== 'announced' && this.#phase !== 'body') return 0;
    const arrived = this.#bodyBytes + this.#chunk.length - this.#offset;
    return Math.max(0, this.#frameBytes - arrived);
  }

  /**
   * Memory for the next bytes of a frame that has begun, if they are many: whoever puts them there
   * says so with `filled` instead of `push`. It is the frame's: nobody else's until it is complete.
   */
  get bodyMemory(): Buffer | null {
    if (this.#phase !== 'body') return null;
    const { bytes } = this.#body;
    return bytes.length - this.#bodyBytes < filledBytesMin ? null : bytes.subarray(this.#bodyBytes);
  }

  /** Only after `next` has said `more`: that many bytes are in `bodyMemory`. */
  filled(bytes: number): void {
    invariant(this.#bodyBytes + bytes <= this.#body.bytes.length, 'a body is filled to its end');
    this.#bodyBytes += bytes;
  }

  /** Only after `next` has said `more`. */
  push(chunk: Buffer): void {
    if (this.#phase === 'refused') return;
    invariant(this.#offset === this.#chunk.length, 'a chunk is used up before the next one comes');
    this.#chunk = chunk;
    this.#offset = 0;
  }

  /** Copies what is not used up yet, so that the chunk's memory can be used again. */
  keepRest(): void {
    if (this.#offset === this.#chunk.length) return;
    this.#chunk = Buffer.from(this.#chunk.subarray(this.#offset));
    this.#offset = 0;
  }

  /** The announced frame may be collected now. */
  admit(): void {
    invariant(this.#phase === 'announced', 'only an announced frame is admitted');
    this.#phase = 'body';
  }

  next(): FrameStep {
    if (this.#phase === 'header' && !this.#readHeader()) return this.#starve();
    if (this.#phase === 'refused') return 'refused';
    if (this.#phase === 'announced') return 'announced';
    return this.#readBody();
  }

  #readHeader(): boolean {
    const chunk = this.#chunk;
    if (this.#headerBytes === 0 && chunk.length - this.#offset >= 4) {
      this.#announce(chunk.readInt32BE(this.#offset));
      this.#offset += 4;
      return true;
    }
    while (this.#offset < chunk.length) {
      this.#headerValue = (this.#headerValue << 8) | chunk.readUInt8(this.#offset);
      this.#offset += 1;
      this.#headerBytes += 1;
      if (this.#headerBytes === 4) {
        this.#announce(this.#headerValue);
        return true;
      }
    }
    return false;
  }

  #announce(frameBytes: number): void {
    this.#headerBytes = 0;
    this.#headerValue = 0;
    this.#refusal = refuseFrameLength(frameBytes, this.#frameBytesMax);
    if (this.#refusal !== null) {
      this.#phase = 'refused';
      this.#starve();
      return;
    }
    this.#frameBytes = frameBytes;
    this.#phase = 'announced';
  }

  #readBody(): FrameStep {
    const available = this.#chunk.length - this.#offset;
    const taken = Math.min(available, this.#frameBytes - this.#bodyBytes);
    if (taken > 0) {
      this.#reserve(this.#bodyBytes + taken);
      const bytes = this.#chunk.subarray(this.#offset, this.#offset + taken);
      copyInto(bytes, this.#body.bytes, this.#bodyBytes);
      this.#offset += taken;
      this.#bodyBytes += taken;
    }
    return this.#bodyBytes === this.#frameBytes ? this.#takeBody() : this.#starve();
  }

  /** Grows in few, large steps: an 8 MiB frame is copied once plus 1 MiB. */
  #reserve(bytes: number): void {
    const left = this.#body;
    if (bytes <= left.bytes.length) return;
    const wanted = Math.max(bodyBytesInitial, bytes * bodyGrowthFactor);
    this.#body = this.#memory.take(Math.min(this.#frameBytes, wanted));
    copyInto(left.bytes.subarray(0, this.#bodyBytes), this.#body.bytes, 0);
    if (left !== noFrame) left.release();
  }

  #takeBody(): PooledMemory {
    const frame = this.#body;
    invariant(frame.bytes.length === this.#frameBytes, 'a whole frame fills its memory');
    this.#body = noFrame;
    this.#bodyBytes = 0;
    this.#phase = 'header';
    return frame;
  }

  /** Lets go of the used chunk, so that an idle connection holds no memory. */
  #starve(): 'more' {
    this.#chunk = noBytes;
    this.#offset = 0;
    return 'more';
  }
}
