import { invariant } from '@kafscale/core';
import type { Clock } from '@kafscale/core';

/** The part of a socket that the writer uses. */
export interface ResponseSocket {
  readonly writableLength: number;
  readonly destroyed: boolean;
  cork(): void;
  uncork(): void;
  write(bytes: Uint8Array, done?: (error?: Error | null) => void): boolean;
  end(): void;
}

export interface ResponseWriterOptions {
  readonly socket: ResponseSocket;
  readonly clock: Clock;
  /** Bytes have left for the client. */
  readonly onProgress: () => void;
}

/**
 * What is handed to the socket at a time. The kernel takes a slice whole before the next follows, so
 * each one is a sign of life: a reader that takes less than this in `responseDrainMsMax` is dead.
 */
const sliceBytesMax = 1024 * 1024;
/** Below this a copy is cheaper than a gather write. */
const copiedBytesMax = 1024;

/** What to do once the response before that byte of the connection has left. */
interface Release {
  readonly endByte: number;
  readonly release: () => void;
}

/**
 * Writes responses in the order given, without copying them, and keeps count of what the client has
 * not taken yet. The bytes must not change until they have left.
 */
export class ResponseWriter {
  readonly #socket: ResponseSocket;
  readonly #clock: Clock;
  readonly #onProgress: () => void;
  readonly #queue: Uint8Array[] = [];
  readonly #releases: Release[] = [];
  #queuedBytes = 0;
  /** Handed to the socket, and not yet taken by the kernel. */
  #sliceBytes = 0;
  /** Taken by the kernel since the connection was made. */
  #sentBytes = 0;
  #sliceOut = false;
  #flushScheduled = false;
  #ending = false;
  #progressMs = 0;

  constructor(options: ResponseWriterOptions) {
    this.#socket = options.socket;
    this.#clock = options.clock;
    this.#onProgress = options.onProgress;
  }

  /** Bytes that the client's kernel has not taken from us. */
  get bufferedBytes(): number {
    return this.#queuedBytes + this.#socket.writableLength;
  }

  /** How long the client has taken nothing, 0 when there is nothing to take. Milliseconds. */
  stalledMs(nowMs: number): number {
    return this.bufferedBytes === 0 ? 0 : nowMs - this.#progressMs;
  }

  /** `release` is called when the chunks have left, or the socket is gone. */
  write(head: Uint8Array, chunks: readonly Uint8Array[], release?: () => void): void {
    if (this.bufferedBytes === 0) this.#progressMs = this.#clock.monotonicMs();
    this.#queue.push(head);
    this.#queuedBytes += head.length;
    for (const chunk of chunks) {
      if (chunk.length === 0) continue;
      this.#queue.push(chunk);
      this.#queuedBytes += chunk.length;
    }
    if (release) this.#releases.push({ endByte: this.#endByte(), release });
    this.#scheduleFlush();
  }

  /** Ends the stream once everything has been written. */
  end(): void {
    this.#ending = true;
    this.#scheduleFlush();
  }

  /** The socket has closed, its writes have ended before: lets go of the bytes. */
  discard(): void {
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    for (const { release } of this.#releases.splice(0)) release();
  }

  /**
   * Acks of one segment settle in one turn of the microtask queue; the flush comes after it, so that
   * they leave in one system call.
   *
   * A large response lets the others have a turn after each slice: the kernel may take all of its slices at
   * once, and whoever else is waited for by then has waited for all of them.
   */
  #scheduleFlush(isAfterOthers = false): void {
    if (this.#flushScheduled || this.#sliceOut) return;
    this.#flushScheduled = true;
    if (isAfterOthers) setImmediate(this.#flush);
    else process.nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    this.#flushScheduled = false;
    if (this.#sliceOut || this.#socket.destroyed) return;
    if (this.#queue.length > 0) {
      this.#sliceOut = true;
      this.#writeSlice(this.#takeSlice());
    } else if (this.#ending) {
      this.#socket.end();
    }
  };

  readonly #sliceDone = (error?: Error | null): void => {
    this.#sliceOut = false;
    // The socket's own close event follows.
    if (error) return;
    this.#progressMs = this.#clock.monotonicMs();
    const isFullSlice = this.#sliceBytes === sliceBytesMax;
    this.#sentBytes += this.#sliceBytes;
    this.#sliceBytes = 0;
    this.#releaseSent();
    if (this.#queue.length > 0 || this.#ending) this.#scheduleFlush(isFullSlice);
    this.#onProgress();
  };

  #endByte(): number {
    return this.#sentBytes + this.#sliceBytes + this.#queuedBytes;
  }

  #releaseSent(): void {
    for (let next = this.#releases[0]; next; next = this.#releases[0]) {
      if (next.endByte > this.#sentBytes) return;
      this.#releases.shift();
      next.release();
    }
  }

  #takeSlice(): Uint8Array[] {
    let sliceBytes = 0;
    let whole = 0;
    for (const chunk of this.#queue) {
      if (sliceBytes + chunk.length > sliceBytesMax) break;
      sliceBytes += chunk.length;
      whole += 1;
    }
    const slice = this.#queue.splice(0, whole);
    const cut = this.#queue[0];
    const room = sliceBytesMax - sliceBytes;
    if (cut !== undefined && room > 0) {
      slice.push(cut.subarray(0, room));
      this.#queue[0] = cut.subarray(room);
      sliceBytes = sliceBytesMax;
    }
    this.#queuedBytes -= sliceBytes;
    this.#sliceBytes = sliceBytes;
    return slice;
  }

  #writeSlice(slice: Uint8Array[]): void {
    const socket = this.#socket;
    const sliceBytes = slice.reduce((sum, chunk) => sum + chunk.length, 0);
    if (slice.length > 1 && sliceBytes <= copiedBytesMax) {
      socket.write(Buffer.concat(slice, sliceBytes), this.#sliceDone);
      return;
    }
    const last = slice.pop();
    invariant(last, 'a slice is taken from a queue that is not empty');
    socket.cork();
    for (const chunk of slice) socket.write(chunk);
    socket.write(last, this.#sliceDone);
    socket.uncork();
  }
}
