import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { invariant, OperatingError } from '@kafscale/core';

export interface Address {
  readonly host: string;
  readonly port: number;
}

const firstBufferBytes = 256 * 1024;
const frameBytesMax = 256 * 1024 * 1024;
const sizePrefixBytes = 4;

/**
 * A connection that gives Kafka frames to a callback. The kernel reads straight into the buffer that
 * the callback then sees, and the buffer is used again: a load generator must cost little, since it
 * shares the machine with the server it measures.
 */
export class FrameSocket {
  readonly #socket: Socket;
  #buffer = Buffer.allocUnsafeSlow(firstBufferBytes);
  /** What was received and not yet handed out lies from `#start` to `#end`. */
  #start = 0;
  #end = 0;
  #failure: unknown;
  #onFrame: (frame: Buffer) => void = () => invariant(false, 'nobody waits for a frame');
  #onFailure: (error: unknown) => void = () => {};

  private constructor(address: Address) {
    this.#socket = connect({
      ...address,
      noDelay: true,
      onread: {
        buffer: () => this.#buffer.subarray(this.#end),
        callback: (length) => this.#received(length),
      },
    });
    const lost = (reason: string): void => {
      const message = `${address.host}:${address.port} ${reason}`;
      this.#fail(new OperatingError('KAFKA_CONNECTION_LOST', message, { outcome: 'unknown' }));
    };
    this.#socket.on('error', (error) => lost(error.message));
    this.#socket.on('close', () => lost('closed the connection'));
  }

  static async open(address: Address): Promise<FrameSocket> {
    const opened = new FrameSocket(address);
    await once(opened.#socket, 'connect');
    return opened;
  }

  /** `frame` is what follows the length; it is overwritten after `onFrame` has returned. */
  listen(onFrame: (frame: Buffer) => void, onFailure: (error: unknown) => void): void {
    this.#onFrame = onFrame;
    this.#onFailure = onFailure;
    if (this.#failure !== undefined) onFailure(this.#failure);
  }

  /** The bytes must not change before they are sent: an answer to them proves that they are. */
  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  close(): void {
    this.#onFailure = () => {};
    this.#socket.destroy();
  }

  #received(length: number): boolean {
    this.#end += length;
    let frameEnd = this.#frameEnd();
    while (frameEnd <= this.#end) {
      const frame = this.#buffer.subarray(this.#start + sizePrefixBytes, frameEnd);
      this.#start = frameEnd;
      if (!this.#handOut(frame)) return false;
      frameEnd = this.#frameEnd();
    }
    this.#makeRoom(frameEnd - this.#start);
    return true;
  }

  /** What a listener throws fails the connection, not the process. */
  #handOut(frame: Buffer): boolean {
    try {
      this.#onFrame(frame);
      return true;
    } catch (error) {
      this.#fail(error);
      this.#socket.destroy();
      return false;
    }
  }

  /** Where the frame at `#start` ends; infinite until its length is known. */
  #frameEnd(): number {
    if (this.#end - this.#start < sizePrefixBytes) return Infinity;
    const frameBytes = this.#buffer.readInt32BE(this.#start);
    if (frameBytes < 0 || frameBytes > frameBytesMax) {
      this.#socket.destroy(new Error(`sent a frame of ${frameBytes} bytes`));
      return Infinity;
    }
    return this.#start + sizePrefixBytes + frameBytes;
  }

  /** Moves what is left to the front, of a larger buffer if the frame needs one. */
  #makeRoom(frameBytes: number): void {
    const neededBytes = Number.isFinite(frameBytes) ? frameBytes : firstBufferBytes;
    const from = this.#buffer;
    if (neededBytes > from.length) this.#buffer = Buffer.allocUnsafeSlow(2 * neededBytes);
    else if (this.#start < this.#end && this.#start + neededBytes <= from.length) return;
    from.copy(this.#buffer, 0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = error;
    this.#onFailure(error);
  }
}
