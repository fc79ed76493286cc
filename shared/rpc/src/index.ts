export { rpcEndpoint } from './endpoint/rpc-endpoint.js';
export type { RpcEndpointOptions } from './endpoint/rpc-endpoint.js';
export type {
  RpcAnswer,
  RpcCallHandler,
  RpcContext,
  RpcOutgoingStream,
  RpcServerBounds,
  RpcService,
  RpcStreamHandler,
} from './endpoint/rpc-service.js';
export { RpcLink } from './link/link.js';
export type { RpcStream, RpcStreamListener } from './link/link.js';
export type { RpcLinkBounds, RpcLinkOptions } from './link/link-options.js';
export type { CallOptions } from './link/pending-call.js';
export type { RpcLog } from './log.js';
export type { RpcCaller } from './protocol/handshake.js';
export type {
  HttpAndWebSocketServer,
  HttpHandler,
  HttpRequest,
  HttpResponse,
  HttpRoute,
  ServerOptions,
  ServerSocket,
  ServerSocketHandler,
  WebSocketEndpoint,
} from './server/http-and-websocket-server.js';
export { startNodeServer } from './server/node-server.js';
export { startServer } from './server/start-server.js';
export { startUwsServer } from './server/uws-server.js';
