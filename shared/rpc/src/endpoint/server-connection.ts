import { invariant, isOperatingError } from '@kafscale/core';
import type { RpcLog } from '../log.js';
import { Fifo } from '../protocol/fifo.js';
import { byteLengthOf, frameHeaderBytes, frameKind, parseFrame } from '../protocol/frames.js';
import type { Frame } from '../protocol/frames.js';
import { checkHello, encodeChallenge, encodeRefusal, newNonce } from '../protocol/handshake.js';
import type { RpcCaller } from '../protocol/handshake.js';
import { encodeFailure } from '../protocol/remote-failure.js';
import type { RemoteFailure } from '../protocol/remote-failure.js';
import type { ServerSocket, ServerSocketHandler } from '../server/http-and-websocket-server.js';
import { ActiveCall, ActiveStream } from './active-call.js';
import { OutgoingQueue } from './outgoing-queue.js';
import type { RpcCallHandler, RpcServerBounds, RpcService } from './rpc-service.js';

export interface ServerConnectionOptions {
  readonly path: string;
  readonly secret: string;
  readonly service: RpcService;
  readonly bounds: RpcServerBounds;
  readonly log: RpcLog;
  readonly onHandshaken: () => void;
  readonly onClosed: () => void;
}

/** The server's end of one link. */
export class ServerConnection implements ServerSocketHandler {
  readonly #socket: ServerSocket;
  readonly #options: ServerConnectionOptions;
  readonly #bounds: RpcServerBounds;
  readonly #outgoing: OutgoingQueue;
  readonly #serverNonce = newNonce();
  readonly #calls = new Map<number, ActiveCall>();
  readonly #streams = new Map<number, ActiveStream>();
  /** Calls that wait for answers to leave before they are dispatched, in order of arrival. */
  readonly #held = new Fifo<Frame>();
  readonly #heartbeat: NodeJS.Timeout;
  readonly #handshakeTimer: NodeJS.Timeout;
  #caller: RpcCaller | undefined;
  #unansweredBytes = 0;
  #silentMs = 0;
  #draining = false;
  #closed = false;

  constructor(socket: ServerSocket, options: ServerConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#bounds = options.bounds;
    this.#outgoing = new OutgoingQueue(socket, this.#bounds.socketBufferedBytesMax, () => {
      this.#dispatchHeld();
    });
    this.#outgoing.push({ kind: frameKind.challenge, id: 0 }, [encodeChallenge(this.#serverNonce)]);
    this.#heartbeat = setInterval(() => this.#beat(), this.#bounds.heartbeatMs);
    this.#handshakeTimer = setTimeout(() => {
      this.#refuse('no hello arrived in time');
    }, this.#bounds.handshakeMsMax);
  }

  onMessage(message: Buffer): void {
    if (this.#closed) return;
    this.#silentMs = 0;
    const frame = parseFrame(message);
    if (frame === null) return this.#violation('a message is too short to be a frame');
    if (this.#caller === undefined) return this.#onHello(frame);
    switch (frame.kind) {
      case frameKind.call:
        return this.#onCall(frame, this.#caller);
      case frameKind.cancel:
        return this.#onCancel(frame.id);
      case frameKind.streamOpen:
        return this.#onStreamOpen(frame, this.#caller);
      case frameKind.ping:
        return this.#outgoing.push({ kind: frameKind.pong, id: frame.id }, []);
      case frameKind.pong:
        return;
      default:
        return this.#violation(`frame kind ${frame.kind} is not for a server`);
    }
  }

  onDrain(): void {
    this.#outgoing.flush();
  }

  onClose(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#handshakeTimer);
    this.#outgoing.close();
    this.#held.clear();
    for (const call of this.#calls.values()) call.abort();
    for (const stream of this.#streams.values()) stream.abort();
    this.#calls.clear();
    this.#streams.clear();
    this.#options.onClosed();
  }

  /**
   * No new work. The client, told so, closes the link when its last call is answered: were the
   * server to close it, a call that crosses the close would have an unknown outcome.
   */
  drain(): void {
    if (this.#closed) return;
    if (this.#caller === undefined) return this.#socket.end(1001, 'going away');
    this.#draining = true;
    for (const id of this.#streams.keys()) this.#endStream(id, 'the server is going away');
    this.#outgoing.push({ kind: frameKind.goodbye, id: 0 }, []);
  }

  #onHello(frame: Frame): void {
    if (frame.kind !== frameKind.hello) return this.#refuse('the first frame is not a hello');
    const checked = checkHello(this.#options.secret, this.#serverNonce, frame.payload);
    if ('refusal' in checked) return this.#refuse(checked.refusal);
    clearTimeout(this.#handshakeTimer);
    this.#caller = checked.caller;
    this.#outgoing.push({ kind: frameKind.welcome, id: 0 }, [checked.welcome]);
    this.#options.onHandshaken();
  }

  #onCall(frame: Frame, caller: RpcCaller): void {
    if (this.#calls.has(frame.id)) return this.#violation('a call id is in use twice');
    const call = new ActiveCall(caller, frame.payload.length);
    this.#calls.set(frame.id, call);
    this.#unansweredBytes += call.payloadBytes;
    if (this.#draining) {
      return this.#fail(frame.id, {
        code: 'LINK_CLOSING',
        message: 'the service is shutting down and did not begin this call',
        retriable: true,
        outcome: 'failed',
      });
    }
    // One message above the bound is in order: a call larger than the whole budget goes alone.
    const bytesMax = this.#bounds.unansweredBytesMax + this.#bounds.messageBytesMax;
    if (this.#unansweredBytes > bytesMax || this.#calls.size > this.#bounds.callsInFlightMax) {
      return this.#violation('the caller has more calls in flight than the protocol allows');
    }
    this.#held.push(frame);
    this.#dispatchHeld();
  }

  #dispatchHeld(): void {
    while (this.#outgoing.queuedBytes < this.#bounds.queuedBytesMax) {
      const frame = this.#held.shift();
      if (frame === undefined) return;
      const call = this.#calls.get(frame.id);
      if (call !== undefined) this.#dispatch(frame, call);
    }
  }

  #dispatch(frame: Frame, call: ActiveCall): void {
    const handler = this.#options.service.calls.get(frame.method);
    if (handler === undefined) return this.#fail(frame.id, noSuchMethod(frame.method));
    void this.#run(handler, frame, call);
  }

  async #run(handler: RpcCallHandler, frame: Frame, call: ActiveCall): Promise<void> {
    try {
      const answer = await handler(frame.payload, call);
      if ('chunks' in answer) this.#answer(frame.id, answer.chunks, answer.release);
      else this.#answer(frame.id, answer);
    } catch (error) {
      if (isOperatingError(error)) return this.#fail(frame.id, error);
      this.#fail(frame.id, {
        code: 'REMOTE_BUG',
        message: 'the callee failed in a way that its code rules out',
        retriable: false,
        outcome: 'unknown',
      });
      throw error; // a bug: the unhandled rejection ends this process, as it must
    }
  }

  #answer(id: number, chunks: readonly Uint8Array[], release?: () => void): void {
    if (byteLengthOf(chunks) + frameHeaderBytes > this.#bounds.messageBytesMax) {
      release?.();
      return this.#fail(id, {
        code: 'REPLY_TOO_LARGE',
        message: `the answer is longer than ${this.#bounds.messageBytesMax} bytes`,
        retriable: false,
        outcome: 'unknown',
      });
    }
    if (this.#settle(id)) this.#outgoing.push({ kind: frameKind.reply, id }, chunks, { release });
    else release?.();
  }

  #fail(id: number, failure: RemoteFailure): void {
    if (!this.#settle(id)) return;
    this.#outgoing.push({ kind: frameKind.error, id }, [encodeFailure(failure)]);
  }

  /** False when the link went away meanwhile. */
  #settle(id: number): boolean {
    const call = this.#calls.get(id);
    if (call === undefined) return false;
    this.#calls.delete(id);
    this.#unansweredBytes -= call.payloadBytes;
    invariant(this.#unansweredBytes >= 0, 'a call is settled once');
    return true;
  }

  #onCancel(id: number): void {
    this.#calls.get(id)?.abort();
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.backlog.dropped = true;
    this.#streams.delete(id);
    stream.abort();
  }

  #onStreamOpen(frame: Frame, caller: RpcCaller): void {
    const { id, method, payload } = frame;
    if (this.#streams.has(id)) return this.#violation('a stream id is in use twice');
    if (this.#streams.size >= this.#bounds.streamsMax) {
      return this.#violation('the caller has more streams open than the protocol allows');
    }
    const stream = new ActiveStream(caller, payload.length);
    this.#streams.set(id, stream);
    const handler = this.#options.service.streams.get(method);
    if (handler === undefined) return this.#endStream(id, noSuchMethod(method).message);
    if (this.#draining) return this.#endStream(id, 'the server is going away');
    const outgoing = {
      send: (chunks: readonly Uint8Array[]) => this.#sendOnStream(id, stream, chunks),
      end: (reason: string) => {
        if (this.#streams.get(id) === stream) this.#endStream(id, reason);
      },
    };
    handler(payload, outgoing, stream);
  }

  #sendOnStream(id: number, stream: ActiveStream, chunks: readonly Uint8Array[]): void {
    if (this.#streams.get(id) !== stream) return;
    this.#outgoing.push({ kind: frameKind.streamMessage, id }, chunks, {
      backlog: stream.backlog,
    });
    if (stream.backlog.bytes <= this.#bounds.streamBacklogBytesMax) return;
    // Flushing now tells a slow subscriber from a burst within one turn of the event loop.
    this.#outgoing.flush();
    if (stream.backlog.bytes <= this.#bounds.streamBacklogBytesMax) return;
    stream.backlog.dropped = true;
    this.#log('warn', 'a stream was ended: its subscriber is too slow', {
      backlogBytes: stream.backlog.bytes,
    });
    this.#endStream(id, 'the subscriber is too slow');
  }

  #endStream(id: number, reason: string): void {
    const stream = this.#streams.get(id);
    invariant(stream !== undefined, 'a stream is ended once');
    this.#streams.delete(id);
    this.#outgoing.push({ kind: frameKind.streamEnd, id }, [Buffer.from(reason)]);
    stream.abort();
  }

  #beat(): void {
    this.#silentMs += this.#bounds.heartbeatMs;
    if (this.#silentMs > this.#bounds.silenceMsMax) {
      this.#log('warn', 'link closed: the caller is silent', { silentMs: this.#silentMs });
      return this.#socket.terminate();
    }
    if (this.#caller) this.#outgoing.push({ kind: frameKind.ping, id: 0 }, []);
  }

  #refuse(reason: string): void {
    this.#log('warn', 'link refused', { reason });
    // Past the queue: end() would overtake a frame that waits for its turn.
    this.#outgoing.push({ kind: frameKind.refused, id: 0 }, [encodeRefusal(reason)]);
    this.#outgoing.flush();
    this.#socket.end(4001, 'refused');
  }

  #violation(reason: string): void {
    this.#log('warn', 'link closed: the caller broke the protocol', { reason });
    this.#socket.end(4002, 'protocol violation');
  }

  #log(level: 'info' | 'warn', message: string, fields: Record<string, string | number>): void {
    const { role = '', nodeId = -1, linkClass = '' } = this.#caller ?? {};
    const peer = { remoteAddress: this.#socket.remoteAddress, role, nodeId, linkClass };
    this.#options.log(level, message, { path: this.#options.path, ...peer, ...fields });
  }
}

function noSuchMethod(method: number): RemoteFailure {
  return {
    code: 'METHOD_UNKNOWN',
    message: `this service has no method ${method}`,
    retriable: false,
    outcome: 'failed',
  };
}
