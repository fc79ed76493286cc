/**
 * The one listener of a process for everything that is not the Kafka protocol: HTTP routes and
 * WebSocket endpoints. Two adapters stand behind it (uWebSockets.js, and node:http with ws where the
 * native module does not load); one contract suite runs on both.
 */
export interface HttpAndWebSocketServer {
  readonly adapter: 'uWebSockets.js' | 'node:http';
  readonly host: string;
  /** The real port, also when 0 was asked for. */
  readonly port: number;
  /**
   * Stops accepting, lets endpoints finish what they have for at most `drainMs`, then closes every
   * connection. Never rejects; calling it twice returns the same promise.
   */
  close(drainMs: number): Promise<void>;
}

export interface HttpRequest {
  /** Upper case. */
  readonly method: string;
  /** Without the query, not decoded. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Buffer;
  readonly remoteAddress: string;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

export type HttpHandler = (request: HttpRequest) => HttpResponse | Promise<HttpResponse>;

export interface HttpRoute {
  /** Upper case. GET also answers HEAD. */
  readonly method: string;
  /** An exact path, or a prefix that ends in `/*`. The first match wins. */
  readonly path: string;
  readonly handler: HttpHandler;
}

/** One accepted WebSocket, as an endpoint sees it. */
export interface ServerSocket {
  readonly remoteAddress: string;
  /** Bytes sent and not yet taken by the kernel. */
  bufferedBytes(): number;
  /**
   * Sends one binary message. The chunks must not be changed before `sent` was called, which is when
   * they have been copied or written; never if the connection breaks before.
   */
  send(chunks: readonly Uint8Array[], totalBytes: number, sent?: () => void): void;
  /** Everything sent within `work` leaves in as few packets as possible. */
  batch(work: () => void): void;
  /** Closes with a WebSocket close frame. `onClose` follows. */
  end(code: number, reason: string): void;
  /** Closes at once. `onClose` follows. */
  terminate(): void;
}

export interface ServerSocketHandler {
  /** A binary message; the callee owns its bytes. Messages arrive in order. */
  onMessage(message: Buffer): void;
  /** Bytes left the socket's buffer. */
  onDrain(): void;
  /** Called exactly once. The socket must not be used any more. */
  onClose(): void;
}

export interface WebSocketEndpoint {
  readonly path: string;
  /** A longer message closes the connection. */
  readonly messageBytesMax: number;
  /** Looks at the upgrade request. A text refuses it with 401 and that text. */
  authorize(header: (name: string) => string | undefined, remoteAddress: string): string | null;
  onOpen(socket: ServerSocket): ServerSocketHandler;
  /** The server is about to close: no new work; resolves when what was begun has been answered. */
  drain(): Promise<void>;
}

export interface ServerOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly routes: readonly HttpRoute[];
  readonly endpoints: readonly WebSocketEndpoint[];
}
