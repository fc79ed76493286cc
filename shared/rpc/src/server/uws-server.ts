import { createServer } from 'node:net';
import { invariant, limits, sleep } from '@kafscale/core';
import type {
  HttpRequest as UwsRequest,
  HttpResponse as UwsResponse,
  TemplatedApp,
  us_listen_socket,
  us_socket_context_t,
  WebSocket,
} from 'uWebSockets.js';
import type {
  HttpAndWebSocketServer,
  HttpRequest,
  HttpResponse,
  HttpRoute,
  ServerOptions,
  ServerSocket,
  ServerSocketHandler,
  WebSocketEndpoint,
} from './http-and-websocket-server.js';
import { bodyTooLarge, isRoute, portError, Router } from './routing.js';

type CloseListenSocket = (listenSocket: us_listen_socket) => void;

/** The fragment calls exist in the binary; its type declarations leave them out. */
interface FragmentingWebSocket extends WebSocket<SocketData> {
  sendFirstFragment(message: Uint8Array, isBinary: boolean, compress: boolean): number;
  sendFragment(message: Uint8Array, compress: boolean): number;
  sendLastFragment(message: Uint8Array, compress: boolean): number;
}

interface SocketData {
  remoteAddress: string;
  attached: UwsServerSocket | undefined;
  handler: ServerSocketHandler | undefined;
}

/** LIBUS_LISTEN_EXCLUSIVE_PORT: without it a second process could share the port unnoticed. */
const exclusivePort = 1;

/** Throws the loader's error when the native module does not fit this machine. */
export async function startUwsServer(options: ServerOptions): Promise<HttpAndWebSocketServer> {
  const uws = (await import('uWebSockets.js')).default;
  const router = new Router(options);
  const app = uws.App();
  for (const endpoint of options.endpoints) app.ws(endpoint.path, behaviorOf(endpoint));
  app.any('/*', (response, request) => serveHttp(router, response, request));
  const listenSocket = await listen(app, options);
  const port = uws.us_socket_local_port(listenSocket);
  let closing: Promise<void> | undefined;
  return {
    adapter: 'uWebSockets.js',
    host: options.host,
    port,
    close: (drainMs) =>
      (closing ??= close(uws.us_listen_socket_close, { app, listenSocket, options, drainMs })),
  };
}

async function listen(app: TemplatedApp, options: ServerOptions): Promise<us_listen_socket> {
  const { host } = options;
  for (let attempt = 1; ; attempt += 1) {
    // For port 0 the binary leaves SO_REUSEADDR out, and nobody could listen on the port that it
    // got while connections of a killed process are in TIME_WAIT. So the port is chosen here.
    const { code, port } = await probe(host, options.port);
    if (code === undefined) {
      const listenSocket = await listenOn(app, host, port);
      if (listenSocket !== false) return listenSocket;
    }
    // A port that was free a moment ago was taken by somebody else; choose another.
    if (options.port === 0 && code === undefined && attempt < portChoicesMax) continue;
    app.close();
    throw portError(code, host, options.port);
  }
}

const portChoicesMax = 5;

function listenOn(
  app: TemplatedApp,
  host: string,
  port: number,
): Promise<us_listen_socket | false> {
  // The declarations lack (host, port, options, callback); the binary has it.
  const listenExclusively = app.listen.bind(app) as unknown as (
    host: string,
    port: number,
    listenOptions: number,
    callback: (socket: us_listen_socket | false) => void,
  ) => TemplatedApp;
  return new Promise((resolve) => {
    listenExclusively(host, port, exclusivePort, resolve);
  });
}

/** uWebSockets.js says only that it failed; node:net, asked for the same, says why. */
function probe(
  host: string,
  port: number,
): Promise<{ readonly code: string | undefined; readonly port: number }> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      resolve({ code: error.code ?? 'unknown reason', port });
    });
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      const chosen = typeof address === 'object' && address !== null ? address.port : port;
      server.close(() => resolve({ code: undefined, port: chosen }));
    });
  });
}

async function close(
  closeListenSocket: CloseListenSocket,
  parts: {
    readonly app: TemplatedApp;
    readonly listenSocket: us_listen_socket;
    readonly options: ServerOptions;
    readonly drainMs: number;
  },
): Promise<void> {
  closeListenSocket(parts.listenSocket);
  const timeout = new AbortController();
  await Promise.race([
    Promise.all(parts.options.endpoints.map((endpoint) => endpoint.drain())),
    sleep(parts.drainMs, timeout.signal),
  ]);
  timeout.abort();
  parts.app.close();
}

function behaviorOf(endpoint: WebSocketEndpoint): Parameters<TemplatedApp['ws']>[1] {
  return {
    maxPayloadLength: endpoint.messageBytesMax,
    // The endpoint looks at bufferedBytes() before it sends; 0 here means no limit of uWS's own,
    // which would drop messages.
    maxBackpressure: 0,
    idleTimeout: 0, // the endpoint has a heartbeat of its own
    sendPingsAutomatically: false,
    compression: 0,
    upgrade: (response, request, context) => upgrade(endpoint, { response, request, context }),
    open: (webSocket) => {
      const data = webSocket.getUserData() as SocketData;
      const socket = new UwsServerSocket(webSocket as FragmentingWebSocket, data.remoteAddress);
      data.attached = socket;
      const handler = endpoint.onOpen(socket);
      data.handler = handler;
      // Closed by onOpen itself: uWS said so before there was a handler to tell.
      if (socket.isClosed) handler.onClose();
    },
    message: (webSocket, message, isBinary) => {
      const { attached, handler } = webSocket.getUserData() as SocketData;
      if (!isBinary) return attached?.end(1003, 'binary only');
      // uWS takes the bytes back when this callback returns: the one copy on this side.
      const copy = Buffer.allocUnsafe(message.byteLength);
      copy.set(new Uint8Array(message));
      handler?.onMessage(copy);
    },
    drain: (webSocket) => (webSocket.getUserData() as SocketData).handler?.onDrain(),
    close: (webSocket) => {
      const { attached, handler } = webSocket.getUserData() as SocketData;
      attached?.markClosed();
      handler?.onClose();
    },
  };
}

function upgrade(
  endpoint: WebSocketEndpoint,
  call: { response: UwsResponse; request: UwsRequest; context: us_socket_context_t },
): void {
  const { response, request, context } = call;
  const remoteAddress = Buffer.from(response.getRemoteAddressAsText()).toString();
  const header = (name: string): string | undefined => request.getHeader(name) || undefined;
  const refusal = endpoint.authorize(header, remoteAddress);
  if (refusal !== null) {
    response.writeStatus('401 Unauthorized').end(`${refusal}\n`, true);
    return;
  }
  const data: SocketData = { remoteAddress, attached: undefined, handler: undefined };
  response.upgrade(
    data,
    request.getHeader('sec-websocket-key'),
    request.getHeader('sec-websocket-protocol'),
    request.getHeader('sec-websocket-extensions'),
    context,
  );
}

/** Up to here one joined copy is cheaper than a native call per chunk. */
const joinBytesMax = 64 * 1024;

class UwsServerSocket implements ServerSocket {
  readonly remoteAddress: string;
  readonly #webSocket: FragmentingWebSocket;
  #closed = false;

  constructor(webSocket: FragmentingWebSocket, remoteAddress: string) {
    this.#webSocket = webSocket;
    this.remoteAddress = remoteAddress;
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  bufferedBytes(): number {
    return this.#closed ? 0 : this.#webSocket.getBufferedAmount();
  }

  send(chunks: readonly Uint8Array[], totalBytes: number, sent?: () => void): void {
    // It copies what the kernel does not take at once, so nothing is kept of the chunks.
    if (!this.#closed) this.#send(chunks, totalBytes);
    sent?.();
  }

  #send(chunks: readonly Uint8Array[], totalBytes: number): void {
    if (chunks.length === 1 || totalBytes <= joinBytesMax) {
      const [only] = chunks;
      const message = chunks.length === 1 && only ? only : Buffer.concat(chunks, totalBytes);
      invariant(this.#webSocket.send(message, true, false) !== 2, 'no message is dropped');
      return;
    }
    for (const [index, chunk] of chunks.entries()) {
      if (index === 0) this.#webSocket.sendFirstFragment(chunk, true, false);
      else if (index < chunks.length - 1) this.#webSocket.sendFragment(chunk, false);
      else this.#webSocket.sendLastFragment(chunk, false);
    }
  }

  batch(work: () => void): void {
    if (!this.#closed) this.#webSocket.cork(work);
  }

  end(code: number, reason: string): void {
    if (!this.#closed) this.#webSocket.end(code, reason);
  }

  terminate(): void {
    if (!this.#closed) this.#webSocket.close();
  }

  markClosed(): void {
    this.#closed = true;
  }
}

function serveHttp(router: Router, response: UwsResponse, request: UwsRequest): void {
  let aborted = false;
  response.onAborted(() => {
    aborted = true;
  });
  const answer = (result: HttpResponse, isHead: boolean, last: boolean): void => {
    if (aborted) return;
    response.cork(() => write(response, result, { isHead, last }));
  };
  const method = request.getCaseSensitiveMethod();
  const isHead = method === 'HEAD';
  const found = router.find(method, request.getUrl());
  if (!isRoute(found)) return answer(found, isHead, true);
  const partial = requestOf(request, response, method);
  readBody(response, (body) => {
    if (body === 'tooLarge') return answer(bodyTooLarge, isHead, true);
    void serveRoute(router, found, { ...partial, body }, (result) => answer(result, isHead, false));
  });
}

async function serveRoute(
  router: Router,
  route: HttpRoute,
  request: HttpRequest,
  answer: (result: HttpResponse) => void,
): Promise<void> {
  answer(await router.answer(route, request));
}

function requestOf(
  request: UwsRequest,
  response: UwsResponse,
  method: string,
): Omit<HttpRequest, 'body'> {
  const headers = new Map<string, string>();
  request.forEach((name, value) => headers.set(name, value));
  return {
    method,
    path: request.getUrl(),
    query: new URLSearchParams(request.getQuery()),
    headers,
    remoteAddress: Buffer.from(response.getRemoteAddressAsText()).toString(),
  };
}

function readBody(response: UwsResponse, done: (body: Buffer | 'tooLarge') => void): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  let finished = false;
  response.onData((chunk, isLast) => {
    if (finished) return;
    bytes += chunk.byteLength;
    if (bytes > limits.httpBodyBytesMax) {
      finished = true;
      return done('tooLarge');
    }
    chunks.push(Buffer.from(new Uint8Array(chunk)));
    if (!isLast) return;
    finished = true;
    done(Buffer.concat(chunks, bytes));
  });
}

function write(
  response: UwsResponse,
  answer: HttpResponse,
  how: { readonly isHead: boolean; readonly last: boolean },
): void {
  const body = answer.body ?? '';
  response.writeStatus(String(answer.status));
  for (const [name, value] of Object.entries(answer.headers ?? {})) {
    response.writeHeader(name, value);
  }
  if (how.isHead) response.endWithoutBody(Buffer.byteLength(body), how.last);
  else response.end(body, how.last);
}
