import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { invariant, limits, sleep } from '@kafscale/core';
import { WebSocketServer } from 'ws';
import type { WebSocket } from 'ws';
import { sendChunks } from '../protocol/send-chunks.js';
import type {
  HttpAndWebSocketServer,
  HttpRequest,
  HttpResponse,
  ServerOptions,
  ServerSocket,
  WebSocketEndpoint,
} from './http-and-websocket-server.js';
import { bodyTooLarge, isRoute, portError, Router } from './routing.js';

/** The adapter for machines on which the native module does not load. */
export async function startNodeServer(options: ServerOptions): Promise<HttpAndWebSocketServer> {
  const router = new Router(options);
  const sockets = new Set<WebSocket>();
  const server = createServer((request, response) => {
    void serveHttp(router, request, response);
  });
  const upgraders = new Map(options.endpoints.map((endpoint) => [endpoint, upgrader(endpoint)]));
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    const endpoint = router.endpoint(pathOf(request));
    const upgrade = endpoint && upgraders.get(endpoint);
    if (!endpoint || !upgrade) return refuse(socket, 404, 'not found');
    const remoteAddress = request.socket.remoteAddress ?? '';
    const refusal = endpoint.authorize((name) => one(request.headers[name]), remoteAddress);
    if (refusal !== null) return refuse(socket, 401, refusal);
    upgrade.handleUpgrade(request, socket, head, (webSocket) => {
      sockets.add(webSocket);
      webSocket.on('close', () => sockets.delete(webSocket));
      attach(endpoint, webSocket, request);
    });
  });
  const port = await listen(server, options);
  let closing: Promise<void> | undefined;
  return {
    adapter: 'node:http',
    host: options.host,
    port,
    close: (drainMs) => (closing ??= close(server, sockets, options.endpoints, drainMs)),
  };
}

function upgrader(endpoint: WebSocketEndpoint): WebSocketServer {
  return new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: endpoint.messageBytesMax,
  });
}

function listen(server: Server, options: ServerOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      reject(portError(error.code, options.host, options.port));
    });
    server.listen(options.port, options.host, () => {
      const address = server.address();
      invariant(address !== null && typeof address === 'object', 'a TCP server has an address');
      resolve(address.port);
    });
  });
}

async function close(
  server: Server,
  sockets: ReadonlySet<WebSocket>,
  endpoints: readonly WebSocketEndpoint[],
  drainMs: number,
): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
  server.closeIdleConnections();
  const timeout = new AbortController();
  await Promise.race([
    Promise.all(endpoints.map((endpoint) => endpoint.drain())),
    sleep(drainMs, timeout.signal),
  ]);
  timeout.abort();
  for (const socket of sockets) socket.terminate();
  server.closeAllConnections();
  await closed;
}

function attach(endpoint: WebSocketEndpoint, webSocket: WebSocket, request: IncomingMessage): void {
  const tcp = request.socket;
  tcp.setNoDelay(true);
  const socket: ServerSocket = {
    remoteAddress: tcp.remoteAddress ?? '',
    bufferedBytes: () => webSocket.bufferedAmount,
    send: (chunks, totalBytes, sent) => sendChunks(webSocket, { chunks, totalBytes, sent }),
    batch: (work) => {
      tcp.cork();
      work();
      tcp.uncork();
    },
    end: (code, reason) => webSocket.close(code, reason),
    terminate: () => webSocket.terminate(),
  };
  const handler = endpoint.onOpen(socket);
  tcp.on('drain', () => handler.onDrain());
  webSocket.on('message', (data, isBinary) => {
    if (!isBinary || !Buffer.isBuffer(data)) return webSocket.close(1003, 'binary only');
    handler.onMessage(data);
  });
  webSocket.on('close', () => handler.onClose());
  // ws closes the connection after an error; onClose says the rest.
  webSocket.on('error', () => webSocket.terminate());
}

async function serveHttp(
  router: Router,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const method = request.method ?? '';
  const found = router.find(method, pathOf(request));
  if (!isRoute(found)) return write(response, found, true);
  const body = await readBody(request);
  if (body === 'gone') return;
  if (body === 'tooLarge') return write(response, bodyTooLarge, true);
  write(response, await router.answer(found, toHttpRequest(request, method, body)), false);
}

function toHttpRequest(request: IncomingMessage, method: string, body: Buffer): HttpRequest {
  const headers = new Map<string, string>();
  for (const name of Object.keys(request.headers)) {
    const value = one(request.headers[name]);
    if (value !== undefined) headers.set(name, value);
  }
  const url = request.url ?? '/';
  const questionMark = url.indexOf('?');
  return {
    method,
    path: pathOf(request),
    query: new URLSearchParams(questionMark < 0 ? '' : url.slice(questionMark + 1)),
    headers,
    body,
    remoteAddress: request.socket.remoteAddress ?? '',
  };
}

async function readBody(request: IncomingMessage): Promise<Buffer | 'tooLarge' | 'gone'> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of request) {
      invariant(Buffer.isBuffer(chunk), 'a request without an encoding yields buffers');
      bytes += chunk.length;
      if (bytes > limits.httpBodyBytesMax) return 'tooLarge';
      chunks.push(chunk);
    }
  } catch {
    return 'gone'; // the client went away in the middle of its body: nobody to answer
  }
  return Buffer.concat(chunks, bytes);
}

function write(response: ServerResponse, answer: HttpResponse, last: boolean): void {
  const body = answer.body ?? '';
  const headers: Record<string, string> = { ...answer.headers };
  headers['content-length'] = String(Buffer.byteLength(body));
  if (last) headers['connection'] = 'close';
  response.writeHead(answer.status, headers);
  response.end(body);
}

function refuse(socket: Duplex, status: number, reason: string): void {
  const body = `${reason}\n`;
  socket.end(
    `HTTP/1.1 ${status} ${status === 401 ? 'Unauthorized' : 'Not Found'}\r\n` +
      `content-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n` +
      `connection: close\r\n\r\n${body}`,
  );
}

function pathOf(request: IncomingMessage): string {
  const url = request.url ?? '/';
  const questionMark = url.indexOf('?');
  return questionMark < 0 ? url : url.slice(0, questionMark);
}

function one(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === 'string' || value === undefined ? value : value.join(', ');
}
