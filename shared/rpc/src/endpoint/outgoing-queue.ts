import { byteLengthOf, encodeFrameHeader } from '../protocol/frames.js';
import { Fifo } from '../protocol/fifo.js';
import type { ServerSocket } from '../server/http-and-websocket-server.js';

/** Whom a queued frame counts against. */
export interface Backlog {
  bytes: number;
  /** True: what is still queued for it is thrown away instead of sent. */
  dropped: boolean;
}

interface QueuedFrame {
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
  readonly backlog: Backlog | null;
  readonly release: (() => void) | undefined;
}

interface PushOptions {
  readonly backlog?: Backlog;
  /** Called once nothing refers to the payload any more; not if the connection breaks meanwhile. */
  readonly release?: (() => void) | undefined;
}

/**
 * Frames on their way to one socket, first in first out. The socket holds at most
 * `socketBufferedBytesMax` (and one frame more); what waits behind it is references, not copies.
 */
export class OutgoingQueue {
  readonly #socket: ServerSocket;
  readonly #socketBufferedBytesMax: number;
  readonly #frames = new Fifo<QueuedFrame>();
  #queuedBytes = 0;
  #flushScheduled = false;
  #closed = false;

  readonly #onFlushed: () => void;

  /** `onFlushed` is told whenever frames may have left. */
  constructor(socket: ServerSocket, socketBufferedBytesMax: number, onFlushed: () => void) {
    this.#socket = socket;
    this.#socketBufferedBytesMax = socketBufferedBytesMax;
    this.#onFlushed = onFlushed;
  }

  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  push(
    head: { readonly kind: number; readonly id: number },
    payload: readonly Uint8Array[],
    { backlog, release }: PushOptions = {},
  ): void {
    if (this.#closed) {
      release?.();
      return;
    }
    const chunks = [encodeFrameHeader(head.kind, 0, head.id), ...payload];
    const bytes = byteLengthOf(chunks);
    this.#queuedBytes += bytes;
    if (backlog) backlog.bytes += bytes;
    this.#frames.push({ chunks, bytes, backlog: backlog ?? null, release });
    this.#scheduleFlush();
  }

  /** Sends as much as the socket has room for. */
  flush(): void {
    if (this.#closed || !this.#hasRoom() || this.#frames.length === 0) return;
    this.#socket.batch(() => {
      while (this.#hasRoom()) {
        const frame = this.#frames.shift();
        if (frame === undefined) break;
        this.#queuedBytes -= frame.bytes;
        if (frame.backlog) frame.backlog.bytes -= frame.bytes;
        if (frame.backlog?.dropped === true) frame.release?.();
        else this.#socket.send(frame.chunks, frame.bytes, frame.release);
      }
    });
    this.#onFlushed();
  }

  close(): void {
    this.#closed = true;
    for (let frame = this.#frames.shift(); frame; frame = this.#frames.shift()) frame.release?.();
    this.#queuedBytes = 0;
  }

  #hasRoom(): boolean {
    return !this.#closed && this.#socket.bufferedBytes() < this.#socketBufferedBytesMax;
  }

  /**
   * Once per turn, after the promise callbacks that are due: one commit settles hundreds of answers
   * in one turn, and they leave in one write.
   */
  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    process.nextTick(() => {
      this.#flushScheduled = false;
      this.flush();
    });
  }
}
