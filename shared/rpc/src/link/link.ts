import { invariant, OperatingError, systemClock } from '@kafscale/core';
import { Fifo } from '../protocol/fifo.js';
import { byteLengthOf, frameHeaderBytes, frameKind } from '../protocol/frames.js';
import type { Frame } from '../protocol/frames.js';
import { decodeFailure } from '../protocol/remote-failure.js';
import { LinkConnection } from './link-connection.js';
import { defaultLinkBounds } from './link-options.js';
import type { RpcLinkBounds, RpcLinkOptions } from './link-options.js';
import { cancelled, PendingCall } from './pending-call.js';
import type { CallOptions } from './pending-call.js';

export interface RpcStreamListener {
  /** In order. Owns `payload`. */
  onMessage(payload: Buffer): void;
  /** Once, and the last event; not after the caller's own `close`. */
  onClosed(reason: string): void;
}

export interface RpcStream {
  close(): void;
}

interface PendingStream {
  readonly method: number;
  readonly chunks: readonly Uint8Array[];
  readonly bytes: number;
  readonly listener: RpcStreamListener;
  readonly enqueuedAtMs: number;
  id: number;
  isSettled: boolean;
}

type Pending = PendingCall | PendingStream;

/**
 * A lasting, self-healing connection to one endpoint of one process. Calls are multiplexed; they
 * are handed to the service in the order in which `call` was called.
 *
 * When the link is lost every call that was sent fails with LINK_LOST, outcome `unknown`; calls that
 * were not sent wait for the next connection, at most `reconnectWaitMsMax`, and then fail with
 * LINK_DOWN, outcome `failed`.
 */
export class RpcLink {
  readonly url: string;
  readonly #options: RpcLinkOptions;
  readonly #bounds: RpcLinkBounds;
  readonly #waiting = new Fifo<Pending>();
  readonly #calls = new Map<number, PendingCall>();
  readonly #streams = new Map<number, PendingStream>();
  #connection: LinkConnection | undefined;
  #state: 'connecting' | 'up' | 'leaving' | 'down' | 'closed' = 'down';
  #unansweredBytes = 0;
  #lastId = 0;
  #failedAttempts = 0;
  #downSinceMs = systemClock.monotonicMs();
  #downReason = 'not connected yet';
  #reconnectTimer: NodeJS.Timeout | undefined;
  #expiryTimer: NodeJS.Timeout | undefined;

  constructor(options: RpcLinkOptions) {
    this.url = options.url;
    if (!URL.canParse(options.url)) {
      throw new OperatingError('LINK_URL_INVALID', `${options.url} is not a URL`);
    }
    this.#options = options;
    this.#bounds = { ...defaultLinkBounds, ...options.bounds };
    this.#connect();
  }

  get isUp(): boolean {
    return this.#state === 'up';
  }

  /** Calls sent and not yet answered. */
  get callsInFlight(): number {
    return this.#calls.size;
  }

  get callsWaiting(): number {
    return this.#waiting.length;
  }

  /** The chunks are sent as they are and must not be changed before the promise settles. */
  call(method: number, chunks: readonly Uint8Array[], options: CallOptions = {}): Promise<Buffer> {
    const bytes = byteLengthOf(chunks);
    const refusal = options.signal?.aborted === true ? cancelled('failed') : this.#refusal(bytes);
    if (refusal !== null) return Promise.reject(refusal);
    const call = new PendingCall({ method, chunks }, bytes, systemClock.monotonicMs());
    call.watch(options, { sendCancel: (sent) => this.#sendCancel(sent.id) });
    this.#enqueue(call);
    return call.promise;
  }

  /** Ends with the connection: it is the listener's to open it again. */
  openStream(
    method: number,
    chunks: readonly Uint8Array[],
    listener: RpcStreamListener,
  ): RpcStream {
    const bytes = byteLengthOf(chunks);
    const enqueuedAtMs = systemClock.monotonicMs();
    const isSettled = false;
    const stream: PendingStream = {
      method,
      chunks,
      bytes,
      listener,
      enqueuedAtMs,
      id: 0,
      isSettled,
    };
    const refusal = this.#refusal(bytes);
    if (refusal === null) this.#enqueue(stream);
    else queueMicrotask(() => this.#endStream(stream, refusal.message));
    return { close: () => this.#closeStream(stream) };
  }

  /** Everything in flight fails as if the link were lost. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    clearTimeout(this.#reconnectTimer);
    clearTimeout(this.#expiryTimer);
    this.#connection?.close('closed by this process');
    this.#connection = undefined;
    this.#failSent('this process closed the link');
    this.#failWaiting('LINK_CLOSED', 'this process closed the link', () => true);
  }

  #refusal(bytes: number): OperatingError | null {
    if (this.#state === 'closed') {
      return new OperatingError('LINK_CLOSED', `the link to ${this.url} is closed`);
    }
    if (bytes + frameHeaderBytes > this.#bounds.messageBytesMax) {
      const text = `a message of ${bytes} bytes is longer than ${this.#bounds.messageBytesMax}`;
      return new OperatingError('MESSAGE_TOO_LARGE', text);
    }
    if (this.#waiting.length >= this.#bounds.callsWaitingMax) {
      const text = `${this.#waiting.length} calls wait for the link to ${this.url} already`;
      return new OperatingError('LINK_SATURATED', text, { retriable: true });
    }
    return null;
  }

  #enqueue(pending: Pending): void {
    this.#waiting.push(pending);
    this.#pump();
    if (this.#state !== 'up') this.#armExpiry();
  }

  /** Sends what the link has room for, in order; nothing overtakes the head of the queue. */
  #pump(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    while (this.#state === 'up' && connection.hasRoom) {
      const head = this.#waiting.peek();
      if (head === undefined || !(head.isSettled || this.#fits(head))) return;
      this.#waiting.shift();
      if (!head.isSettled) this.#send(connection, head);
    }
  }

  #fits(pending: Pending): boolean {
    if (!(pending instanceof PendingCall)) return true;
    if (this.#calls.size >= this.#bounds.callsInFlightMax) return false;
    const { unansweredBytesMax } = this.#bounds;
    return this.#calls.size === 0 || this.#unansweredBytes + pending.bytes <= unansweredBytesMax;
  }

  #send(connection: LinkConnection, pending: Pending): void {
    pending.id = this.#nextId();
    const { id, method } = pending;
    if (pending instanceof PendingCall) {
      this.#calls.set(id, pending);
      this.#unansweredBytes += pending.bytes;
      connection.send({ kind: frameKind.call, method, id }, pending.takeChunks());
    } else {
      this.#streams.set(id, pending);
      connection.send({ kind: frameKind.streamOpen, method, id }, pending.chunks);
    }
  }

  #onFrame(frame: Frame): void {
    if (frame.kind === frameKind.reply || frame.kind === frameKind.error) {
      const call = this.#calls.get(frame.id);
      if (call === undefined) return; // answers a connection that is gone: ids are not reused
      this.#calls.delete(frame.id);
      this.#unansweredBytes -= call.bytes;
      invariant(this.#unansweredBytes >= 0, 'a call is answered once');
      if (frame.kind === frameKind.reply) call.succeed(frame.payload);
      else call.fail(decodeFailure(frame.payload));
      if (this.#state === 'leaving') this.#leaveWhenIdle();
      return this.#pump();
    }
    const stream = this.#streams.get(frame.id);
    if (stream === undefined) return; // closed here while the message was on its way
    if (frame.kind === frameKind.streamMessage) return stream.listener.onMessage(frame.payload);
    if (frame.kind !== frameKind.streamEnd) return;
    this.#streams.delete(frame.id);
    this.#endStream(stream, frame.payload.toString('utf8'));
  }

  #connect(): void {
    this.#state = 'connecting';
    const connection: LinkConnection = new LinkConnection(this.#options, this.#bounds, {
      onUp: () => {
        this.#state = 'up';
        this.#failedAttempts = 0;
        clearTimeout(this.#expiryTimer);
        this.#expiryTimer = undefined;
        this.#log('info', 'link up', {});
        this.#pump();
      },
      onFrame: (frame) => this.#onFrame(frame),
      onRoom: () => this.#pump(),
      onGoodbye: () => {
        this.#state = 'leaving';
        this.#downSinceMs = systemClock.monotonicMs();
        this.#armExpiry();
        this.#leaveWhenIdle();
      },
      onDown: (reason) => {
        if (this.#connection === connection) this.#onDown(reason);
      },
    });
    this.#connection = connection;
  }

  /** The server waits for this: a link that ends when nothing is in flight leaves no doubts. */
  #leaveWhenIdle(): void {
    if (this.#calls.size === 0) this.#connection?.close('the server is going away');
  }

  #onDown(reason: string): void {
    if (this.#state === 'closed') return;
    const wasUp = this.#state !== 'connecting';
    if (this.#state !== 'leaving' && wasUp) this.#downSinceMs = systemClock.monotonicMs();
    if (wasUp || reason !== this.#downReason) this.#log('warn', 'link down', { reason });
    this.#state = 'down';
    this.#connection = undefined;
    this.#downReason = reason;
    this.#failSent(reason);
    this.#armExpiry();
    const { reconnectBackoffMsMin, reconnectBackoffMsMax } = this.#bounds;
    const ceiling = Math.min(
      reconnectBackoffMsMin * 2 ** this.#failedAttempts,
      reconnectBackoffMsMax,
    );
    this.#failedAttempts = Math.min(this.#failedAttempts + 1, 30);
    const delayMs = ceiling * (0.5 + Math.random() / 2);
    this.#reconnectTimer = setTimeout(() => this.#connect(), delayMs);
  }

  #failSent(reason: string): void {
    const calls = [...this.#calls.values()];
    const streams = [...this.#streams.values()];
    this.#calls.clear();
    this.#streams.clear();
    this.#unansweredBytes = 0;
    for (const call of calls) {
      const text = `the link to ${this.url} was lost before the answer came: ${reason}`;
      const how = { retriable: true, outcome: 'unknown' } as const;
      call.fail(new OperatingError('LINK_LOST', text, how));
    }
    for (const stream of streams) this.#endStream(stream, reason);
  }

  #failWaiting(code: string, reason: string, isDue: (pending: Pending) => boolean): void {
    for (let head = this.#waiting.peek(); head && isDue(head); head = this.#waiting.peek()) {
      this.#waiting.shift();
      if (head instanceof PendingCall) {
        const text = `the link to ${this.url} is not up: ${reason}`;
        head.fail(new OperatingError(code, text, { retriable: code === 'LINK_DOWN' }));
      } else if (!head.isSettled) {
        this.#endStream(head, reason);
      }
    }
  }

  /** One timer for the whole queue: it is in order of arrival, so its head is due first. */
  #armExpiry(): void {
    const head = this.#waiting.peek();
    if (head === undefined || this.#expiryTimer !== undefined) return;
    const dueMs = this.#dueMs(head);
    this.#expiryTimer = setTimeout(
      () => {
        this.#expiryTimer = undefined;
        const nowMs = systemClock.monotonicMs();
        this.#failWaiting(
          'LINK_DOWN',
          this.#downReason,
          (pending) => this.#dueMs(pending) <= nowMs,
        );
        this.#armExpiry();
      },
      Math.max(1, Math.ceil(dueMs - systemClock.monotonicMs())),
    );
  }

  #dueMs(pending: Pending): number {
    return Math.max(pending.enqueuedAtMs, this.#downSinceMs) + this.#bounds.reconnectWaitMsMax;
  }

  #endStream(stream: PendingStream, reason: string): void {
    if (stream.isSettled) return;
    stream.isSettled = true;
    stream.listener.onClosed(reason);
  }

  #closeStream(stream: PendingStream): void {
    if (stream.isSettled) return;
    stream.isSettled = true;
    if (this.#streams.delete(stream.id)) this.#sendCancel(stream.id);
  }

  #sendCancel(id: number): void {
    this.#connection?.send({ kind: frameKind.cancel, method: 0, id }, []);
  }

  /** Unique among what is in flight; 0 means not sent. */
  #nextId(): number {
    do {
      this.#lastId = this.#lastId >= 0xffff_ffff ? 1 : this.#lastId + 1;
    } while (this.#calls.has(this.#lastId) || this.#streams.has(this.#lastId));
    return this.#lastId;
  }

  #log(level: 'info' | 'warn', message: string, fields: Record<string, string>): void {
    const { linkClass } = this.#options.caller();
    const { url, path } = this.#options;
    this.#options.log(level, message, { url, path, linkClass, ...fields });
  }
}
