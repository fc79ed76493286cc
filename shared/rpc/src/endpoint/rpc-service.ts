import { limits } from '@kafscale/core';
import type { RpcCaller } from '../protocol/handshake.js';

/** What a service offers on one endpoint: numbered calls and numbered streams. */
export interface RpcService {
  readonly calls: ReadonlyMap<number, RpcCallHandler>;
  readonly streams: ReadonlyMap<number, RpcStreamHandler>;
}

export interface RpcContext {
  readonly caller: RpcCaller;
  /** Aborts when the caller cancels or its link goes away. Made on first use. */
  readonly signal: AbortSignal;
}

/**
 * The chunks of an answer, which are written out later and must not be changed. `release` is called once
 * nothing refers to them any more; not when the connection breaks while they leave.
 */
export type RpcAnswer =
  | readonly Uint8Array[]
  | { readonly chunks: readonly Uint8Array[]; readonly release: () => void };

/**
 * Called synchronously in the order in which the caller sent, so whatever must keep that order is
 * done before the first await. Owns `payload`. Rejects with OperatingError only; anything else is a
 * bug and ends the process.
 */
export type RpcCallHandler = (payload: Buffer, context: RpcContext) => Promise<RpcAnswer>;

/** Called once per opened stream; pushes until `context.signal` aborts. */
export type RpcStreamHandler = (
  payload: Buffer,
  stream: RpcOutgoingStream,
  context: RpcContext,
) => void;

export interface RpcOutgoingStream {
  /**
   * Queues one message; order is kept. A subscriber that lets more than `streamBacklogBytesMax`
   * pile up is ended, and the rest of what it was sent is dropped.
   */
  send(chunks: readonly Uint8Array[]): void;
  end(reason: string): void;
}

/** The bounds of one connection on the server side. */
export interface RpcServerBounds {
  readonly messageBytesMax: number;
  readonly socketBufferedBytesMax: number;
  /** Above it no further call is dispatched until answers have left. */
  readonly queuedBytesMax: number;
  readonly unansweredBytesMax: number;
  readonly callsInFlightMax: number;
  readonly streamsMax: number;
  readonly streamBacklogBytesMax: number;
  readonly heartbeatMs: number;
  readonly silenceMsMax: number;
  readonly handshakeMsMax: number;
  readonly handshakesPendingMax: number;
}

export const defaultServerBounds: RpcServerBounds = {
  messageBytesMax: limits.rpcMessageBytesMax,
  socketBufferedBytesMax: limits.rpcSocketBufferedBytesMax,
  queuedBytesMax: limits.rpcBytesBufferedMax,
  unansweredBytesMax: limits.rpcBytesUnansweredMax,
  // The caller holds itself to half of it; a call that crosses its own cancel counts twice.
  callsInFlightMax: 2 * limits.rpcCallsInFlightMax,
  streamsMax: limits.rpcStreamsPerLinkMax,
  streamBacklogBytesMax: limits.feedBacklogBytesMax,
  heartbeatMs: limits.rpcHeartbeatMs,
  silenceMsMax: limits.rpcServerSilenceMsMax,
  handshakeMsMax: limits.rpcHandshakeMsMax,
  handshakesPendingMax: limits.rpcHandshakesPendingMax,
};
