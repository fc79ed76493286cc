import { describeError, isOperatingError } from '@kafscale/core';
import type { RpcLog } from '../log.js';
import type { HttpAndWebSocketServer, ServerOptions } from './http-and-websocket-server.js';
import { startNodeServer } from './node-server.js';
import { startUwsServer } from './uws-server.js';

let warned = false;

/**
 * Starts the listener on the best adapter that this machine can load. Rejects with PORT_IN_USE or
 * LISTEN_FAILED, naming host and port.
 */
export async function startServer(
  options: ServerOptions,
  log: RpcLog,
): Promise<HttpAndWebSocketServer> {
  try {
    return await startUwsServer(options);
  } catch (error) {
    if (isOperatingError(error)) throw error;
    if (!warned) {
      warned = true;
      log('warn', 'uWebSockets.js does not load here; node:http and ws serve instead', {
        reason: describeError(error),
      });
    }
    return startNodeServer(options);
  }
}
