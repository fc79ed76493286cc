import { limits } from '@kafscale/core';
import type { RpcLog } from '../log.js';
import type { RpcCaller } from '../protocol/handshake.js';

export interface RpcLinkOptions {
  /** `ws://host:port` of the process that serves. */
  readonly url: string;
  /** The path of its endpoint, e.g. `/rpc/ingest`. */
  readonly path: string;
  /** The cluster secret; empty only on loopback. Never logged. */
  readonly secret: string;
  /** Asked at every handshake: a process gets its node id after its first link is up. */
  readonly caller: () => RpcCaller;
  readonly log: RpcLog;
  readonly bounds?: Partial<RpcLinkBounds>;
}

/** The bounds of one link on the caller's side. */
export interface RpcLinkBounds {
  readonly messageBytesMax: number;
  readonly socketBufferedBytesMax: number;
  /** Payload bytes sent and not yet answered; above it calls wait their turn. */
  readonly unansweredBytesMax: number;
  readonly callsInFlightMax: number;
  /** Calls that wait for room or for the link; above it a call fails with LINK_SATURATED. */
  readonly callsWaitingMax: number;
  readonly heartbeatMs: number;
  readonly heartbeatMissesMax: number;
  readonly handshakeMsMax: number;
  readonly reconnectBackoffMsMin: number;
  readonly reconnectBackoffMsMax: number;
  readonly reconnectWaitMsMax: number;
}

export const defaultLinkBounds: RpcLinkBounds = {
  messageBytesMax: limits.rpcMessageBytesMax,
  socketBufferedBytesMax: limits.rpcSocketBufferedBytesMax,
  unansweredBytesMax: limits.rpcBytesUnansweredMax,
  callsInFlightMax: limits.rpcCallsInFlightMax,
  callsWaitingMax: limits.rpcCallsWaitingMax,
  heartbeatMs: limits.rpcHeartbeatMs,
  heartbeatMissesMax: limits.rpcHeartbeatMissesMax,
  handshakeMsMax: limits.rpcHandshakeMsMax,
  reconnectBackoffMsMin: limits.rpcReconnectBackoffMsMin,
  reconnectBackoffMsMax: limits.rpcReconnectBackoffMsMax,
  reconnectWaitMsMax: limits.rpcReconnectWaitMsMax,
};
