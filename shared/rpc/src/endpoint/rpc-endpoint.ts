import type { RpcLog } from '../log.js';
import { proofHeader, upgradeProofHolds } from '../protocol/handshake.js';
import type { WebSocketEndpoint } from '../server/http-and-websocket-server.js';
import { defaultServerBounds } from './rpc-service.js';
import type { RpcServerBounds, RpcService } from './rpc-service.js';
import { ServerConnection } from './server-connection.js';

export interface RpcEndpointOptions {
  /** E.g. `/rpc/ingest`. */
  readonly path: string;
  /** The cluster secret; empty only on loopback. Never logged. */
  readonly secret: string;
  readonly service: RpcService;
  readonly log: RpcLog;
  readonly bounds?: Partial<RpcServerBounds>;
}

/** Serves `service` to every process that knows the cluster secret. */
export function rpcEndpoint(options: RpcEndpointOptions): WebSocketEndpoint {
  const bounds = { ...defaultServerBounds, ...options.bounds };
  const { path, secret, service, log } = options;
  const connections = new Set<ServerConnection>();
  const handshaking = new Set<ServerConnection>();
  const whenEmpty: (() => void)[] = [];
  let draining = false;
  const refuse = (reason: string, remoteAddress: string): string => {
    log('warn', 'link refused', { path, remoteAddress, reason });
    return reason;
  };
  return {
    path,
    messageBytesMax: bounds.messageBytesMax,
    authorize: (header, remoteAddress) => {
      if (draining) return 'the server is going away';
      if (!upgradeProofHolds(secret, path, header(proofHeader))) {
        return refuse('the caller does not know the cluster secret', remoteAddress);
      }
      if (handshaking.size >= bounds.handshakesPendingMax) {
        return refuse('too many handshakes at once', remoteAddress);
      }
      return null;
    },
    onOpen: (socket) => {
      const connection: ServerConnection = new ServerConnection(socket, {
        path,
        secret,
        service,
        bounds,
        log,
        onHandshaken: () => handshaking.delete(connection),
        onClosed: () => {
          handshaking.delete(connection);
          connections.delete(connection);
          if (connections.size === 0) for (const resolve of whenEmpty.splice(0)) resolve();
        },
      });
      connections.add(connection);
      handshaking.add(connection);
      if (draining) connection.drain();
      return connection;
    },
    drain: () => {
      draining = true;
      for (const connection of connections) connection.drain();
      if (connections.size === 0) return Promise.resolve();
      return new Promise((resolve) => whenEmpty.push(resolve));
    },
  };
}
