import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';

/** What happens to one request: the first in the queue that fits its method is taken. */
export interface Fault {
  readonly method?: string;
  /**
   * `cutAnswer`: the server carries the request out, but its answer never arrives.
   * `cutBody`: the answer's body ends after `bytes` bytes.
   * `status`: answered by the proxy; the server never sees the request.
   * `cutRequest`: the connection ends before the server sees the request.
   * `silence`: nobody ever answers.
   */
  readonly kind: 'cutAnswer' | 'cutBody' | 'status' | 'cutRequest' | 'silence';
  readonly status?: number;
  readonly code?: string;
  /** Instead of an error with `code`. */
  readonly body?: string;
  readonly bytes?: number;
  /** Also for all later requests. */
  readonly isLasting?: boolean;
}

/** A proxy before a real S3 server that does it harm on request. */
export class FaultProxy {
  readonly requests: string[] = [];
  /** Of their `Range` headers, those that had one. */
  readonly ranges: string[] = [];
  readonly #target: URL;
  readonly #server: Server;
  #faults: Fault[] = [];

  constructor(target: string) {
    this.#target = new URL(target);
    this.#server = createServer((request, response) => {
      this.#handle(request, response);
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => {
      this.#server.listen(0, '127.0.0.1', resolve);
    });
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  }

  next(...faults: Fault[]): void {
    this.#faults = faults;
    this.requests.length = 0;
    this.ranges.length = 0;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const method = request.method ?? '';
    this.requests.push(method);
    if (request.headers.range !== undefined) this.ranges.push(request.headers.range);
    const index = this.#faults.findIndex(
      (each) => each.method === undefined || each.method === method,
    );
    const fault = this.#faults[index];
    if (fault && fault.isLasting !== true) this.#faults.splice(index, 1);
    if (fault?.kind === 'silence') return;
    if (fault?.kind === 'cutRequest') {
      request.socket.destroy();
    } else if (fault?.kind === 'status') {
      request.resume().once('end', () => {
        response.writeHead(fault.status ?? 503, { 'content-type': 'application/xml' });
        const error = `<Error><Code>${fault.code ?? ''}</Code><Message>made up</Message></Error>`;
        response.end(`<?xml version="1.0"?>${fault.body ?? error}`);
      });
    } else {
      this.#forward(request, response, fault);
    }
  }

  #forward(request: IncomingMessage, response: ServerResponse, fault: Fault | undefined): void {
    const { method, url: path, headers } = request;
    const { hostname, port } = this.#target;
    const outgoing = httpRequest({ hostname, port, method, path, headers }, (answer) => {
      if (fault?.kind === 'cutAnswer') {
        answer.resume().once('end', () => response.socket?.destroy());
        return;
      }
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      if (fault?.kind === 'cutBody') {
        answer.once('data', (bytes: Buffer) => {
          response.write(bytes.subarray(0, fault.bytes), () => response.socket?.destroy());
        });
        return;
      }
      answer.pipe(response);
    });
    outgoing.on('error', () => response.socket?.destroy());
    request.pipe(outgoing);
  }
}
