import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { describeError, invariant } from '@kafscale/core';
import { WebSocket } from 'ws';
import { byteLengthOf, encodeFrameHeader, frameKind, parseFrame } from '../protocol/frames.js';
import type { Frame } from '../protocol/frames.js';
import {
  answerChallenge,
  decodeRefusal,
  proofHeader,
  upgradeProof,
  welcomeHolds,
} from '../protocol/handshake.js';
import { sendChunks } from '../protocol/send-chunks.js';
import type { RpcLinkBounds, RpcLinkOptions } from './link-options.js';

export interface LinkConnectionEvents {
  /** The handshake is done. */
  onUp(): void;
  /** A frame that is not the connection's own business, in order. */
  onFrame(frame: Frame): void;
  /** Bytes have left; there may be room now. */
  onRoom(): void;
  /** The server finishes what it has and wants nothing new. */
  onGoodbye(): void;
  /** Once, and the last event. */
  onDown(reason: string): void;
}

const closeMsMax = 1_000;

/** One WebSocket of a link, from the first packet to the last: handshake, heartbeat, sending. */
export class LinkConnection {
  readonly #options: RpcLinkOptions;
  readonly #bounds: RpcLinkBounds;
  readonly #events: LinkConnectionEvents;
  readonly #webSocket: WebSocket;
  readonly #handshakeTimer: NodeJS.Timeout;
  #tcp: Socket | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #expectedWelcome: string | undefined;
  #state: 'opening' | 'up' | 'down' = 'opening';
  #corked = false;
  #misses = 0;
  #readAtBeat = 0;
  #sentAtBeat = 0;
  #backlogAtBeat = 0;

  constructor(options: RpcLinkOptions, bounds: RpcLinkBounds, events: LinkConnectionEvents) {
    this.#options = options;
    this.#bounds = bounds;
    this.#events = events;
    this.#handshakeTimer = setTimeout(() => {
      this.#goDown('the handshake took too long');
    }, bounds.handshakeMsMax);
    this.#webSocket = new WebSocket(`${options.url}${options.path}`, {
      perMessageDeflate: false,
      maxPayload: bounds.messageBytesMax,
      headers: { [proofHeader]: upgradeProof(options.secret, options.path) },
      // Masks guard proxies of the open web against crafted bytes; these links are our own, and a
      // zero mask spares both ends a pass over every payload.
      generateMask: (mask) => mask.fill(0),
    });
    this.#listen();
  }

  get hasRoom(): boolean {
    if (this.#state !== 'up') return false;
    return this.#webSocket.bufferedAmount < this.#bounds.socketBufferedBytesMax;
  }

  send(
    head: { readonly kind: number; readonly method: number; readonly id: number },
    payload: readonly Uint8Array[],
  ): void {
    if (this.#state === 'down') return;
    this.#corkUntilNextTick();
    const chunks = [encodeFrameHeader(head.kind, head.method, head.id), ...payload];
    sendChunks(this.#webSocket, { chunks, totalBytes: byteLengthOf(chunks) });
  }

  /** Lets what was sent leave, at most for `closeMsMax`. `onDown` comes at once. */
  close(reason: string): void {
    this.#goDown(reason, () => {
      this.#webSocket.close(1000);
      setTimeout(() => this.#webSocket.terminate(), closeMsMax).unref();
    });
  }

  #listen(): void {
    const webSocket = this.#webSocket;
    webSocket.on('upgrade', (response: IncomingMessage) => {
      const tcp = response.socket;
      this.#tcp = tcp;
      tcp.setNoDelay(true);
      tcp.on('drain', () => {
        if (this.#state === 'up') this.#events.onRoom();
      });
    });
    webSocket.on('unexpected-response', (request, response) => {
      void this.#explainRefusal(response).finally(() => request.destroy());
    });
    webSocket.on('message', (data, isBinary) => {
      if (this.#state === 'down') return;
      const frame = isBinary && Buffer.isBuffer(data) ? parseFrame(data) : null;
      if (frame === null) return this.#goDown('the server sent something that is not a frame');
      this.#onFrame(frame);
    });
    webSocket.on('error', (error) => this.#goDown(describeError(error)));
    webSocket.on('close', (code) => this.#goDown(`the connection closed (${code})`));
  }

  #onFrame(frame: Frame): void {
    switch (frame.kind) {
      case frameKind.ping:
        return this.send({ kind: frameKind.pong, method: 0, id: frame.id }, []);
      case frameKind.pong:
        return;
      case frameKind.challenge:
        return this.#onChallenge(frame.payload);
      case frameKind.welcome:
        return this.#onWelcome(frame.payload);
      case frameKind.refused:
        return this.#goDown(`refused: ${decodeRefusal(frame.payload)}`);
      case frameKind.goodbye:
        if (this.#state === 'up') this.#events.onGoodbye();
        return;
      default:
        if (this.#state !== 'up') return this.#goDown('the server skipped the handshake');
        this.#events.onFrame(frame);
    }
  }

  #onChallenge(payload: Buffer): void {
    if (this.#expectedWelcome !== undefined) return this.#goDown('challenged twice');
    try {
      const answer = answerChallenge(this.#options.secret, payload, this.#options.caller());
      this.#expectedWelcome = answer.expectedWelcome;
      this.send({ kind: frameKind.hello, method: 0, id: 0 }, [answer.hello]);
    } catch (error) {
      this.#goDown(`refused: ${describeError(error)}`);
    }
  }

  #onWelcome(payload: Buffer): void {
    const expected = this.#expectedWelcome;
    if (this.#state !== 'opening' || expected === undefined || !welcomeHolds(payload, expected)) {
      return this.#goDown('refused: the server does not know the cluster secret');
    }
    clearTimeout(this.#handshakeTimer);
    this.#state = 'up';
    this.#heartbeat = setInterval(() => this.#beat(), this.#bounds.heartbeatMs);
    this.#events.onUp();
  }

  /**
   * Anything that arrived counts as life. So does a backlog that got shorter: a ping behind 50 MiB
   * can not be answered in time, but a stopped peer takes nothing. (A ping alone says nothing when it
   * leaves: the kernel takes it for a dead peer too.)
   */
  #beat(): void {
    const tcp = this.#tcp;
    invariant(tcp !== undefined, 'a link that is up has a socket');
    const sent = tcp.bytesWritten - tcp.writableLength;
    const heard = tcp.bytesRead > this.#readAtBeat;
    const moved = this.#backlogAtBeat > 0 && sent > this.#sentAtBeat;
    this.#misses = heard || moved ? 0 : this.#misses + 1;
    if (this.#misses >= this.#bounds.heartbeatMissesMax) {
      return this.#goDown(`no sign of life for ${this.#misses} heartbeats`);
    }
    this.#readAtBeat = tcp.bytesRead;
    this.#sentAtBeat = sent;
    this.#backlogAtBeat = tcp.writableLength;
    this.send({ kind: frameKind.ping, method: 0, id: 0 }, []);
  }

  /** Everything sent in one turn of the event loop leaves in one system call. */
  #corkUntilNextTick(): void {
    const tcp = this.#tcp;
    if (this.#corked || tcp === undefined) return;
    this.#corked = true;
    tcp.cork();
    process.nextTick(() => {
      this.#corked = false;
      tcp.uncork();
    });
  }

  async #explainRefusal(response: IncomingMessage): Promise<void> {
    let reason = '';
    try {
      for await (const chunk of response) {
        reason += String(chunk).slice(0, 200);
        if (reason.length >= 200) break;
      }
    } catch (error) {
      reason = describeError(error);
    }
    this.#goDown(`refused: HTTP ${response.statusCode ?? 0}: ${reason.trim()}`);
  }

  #goDown(reason: string, endWith = (): void => this.#webSocket.terminate()): void {
    if (this.#state === 'down') return;
    this.#state = 'down';
    clearTimeout(this.#handshakeTimer);
    clearInterval(this.#heartbeat);
    endWith();
    this.#events.onDown(reason);
  }
}
