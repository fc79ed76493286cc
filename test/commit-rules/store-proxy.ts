import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { cleanup } from './cleanup.js';

/**
 * What becomes of PUTs. `hold`: the server does not hear of it yet. `holdHalf`: it has the headers and
 * half of the bytes. `holdAnswer`: the object is stored, and the answer is on its way. `loseAnswer`: it
 * is stored, and the connection ends instead of the answer. `slowDown`: the server does not hear of it,
 * and the client is told to slow down. `slowDownAfter`: it is told so, and the object is stored.
 */
export type PutFault =
  | 'hold'
  | 'holdHalf'
  | 'holdAnswer'
  | 'loseAnswer'
  | 'slowDown'
  | 'slowDownAfter';

/** Passes requests to a real S3 server, and stops PUTs where a test wants them to stop. */
export class StoreProxy {
  readonly url: string;
  /** PUTs that are held now, or were when their client went away. */
  held = 0;
  puts = 0;
  answersLost = 0;
  /** More PUTs than that at a time are told to slow down. */
  putsAtOnceMax = Infinity;
  /** How long a PUT takes at least. */
  putMsMin = 0;
  #putsUnderWay = 0;
  readonly #target: URL;
  #fault: PutFault | null = null;
  #faultsLeft = 0;
  #waiting: (() => void)[] = [];

  private constructor(target: URL, url: string) {
    this.#target = target;
    this.url = url;
  }

  static async start(target: string): Promise<StoreProxy> {
    const server = createServer((request, response) => proxy.#handle(request, response));
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('not listening');
    const proxy = new StoreProxy(new URL(target), `http://127.0.0.1:${address.port}`);
    cleanup(() => {
      server.closeAllConnections();
      server.close();
    });
    return proxy;
  }

  /** Happens to the next `count` PUTs. */
  next(fault: PutFault, count = Infinity): void {
    this.#fault = fault;
    this.#faultsLeft = count;
  }

  /** No more faults; what is held goes on, unless its client is gone. */
  release(): void {
    this.#fault = null;
    for (const go of this.#waiting.splice(0)) go();
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    request.on('error', () => {});
    response.on('error', () => {});
    const fault = request.method === 'PUT' ? this.#takeFault() : null;
    if (request.method === 'PUT') {
      this.puts += 1;
      this.#putsUnderWay += 1;
      response.once('close', () => (this.#putsUnderWay -= 1));
    }
    const isTooMany = request.method === 'PUT' && this.#putsUnderWay > this.putsAtOnceMax;
    if (fault === 'slowDown' || isTooMany) {
      request.resume().once('end', () => slowDown(response));
    } else if (fault === 'hold') this.#wait(() => this.#forward(request, response, null));
    else this.#forward(request, response, fault);
  }

  #takeFault(): PutFault | null {
    if (this.#fault === null || this.#faultsLeft <= 0) return null;
    this.#faultsLeft -= 1;
    return this.#fault;
  }

  #wait(go: () => void): void {
    this.held += 1;
    this.#waiting.push(go);
  }

  #forward(request: IncomingMessage, response: ServerResponse, fault: PutFault | null): void {
    if (response.socket?.destroyed !== false) return;
    const { headers, method, url: path } = request;
    const { hostname, port } = this.#target;
    const outgoing = httpRequest({ hostname, port, method, path, headers, agent: false });
    outgoing.once('response', (answer) => this.#answer(answer, response, fault));
    outgoing.once('error', () => response.socket?.destroy());
    // Who dies in the middle of its request takes the request along.
    response.once('close', () => {
      if (!response.writableEnded) outgoing.destroy();
    });
    if (fault === 'holdHalf') this.#sendHalf(request, outgoing);
    else request.pipe(outgoing);
  }

  #sendHalf(request: IncomingMessage, outgoing: ReturnType<typeof httpRequest>): void {
    request.once('data', (bytes: Buffer) => {
      request.pause();
      const middle = Math.floor(bytes.length / 2);
      outgoing.write(bytes.subarray(0, middle), () => {
        this.#wait(() => {
          outgoing.write(bytes.subarray(middle));
          request.pipe(outgoing);
        });
      });
    });
  }

  #answer(answer: IncomingMessage, response: ServerResponse, fault: PutFault | null): void {
    if (fault === 'loseAnswer') {
      answer.resume().once('end', () => {
        this.answersLost += 1;
        response.socket?.destroy();
      });
      return;
    }
    if (fault === 'slowDownAfter') {
      answer.resume().once('end', () => slowDown(response));
      return;
    }
    const pass = (): void => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    };
    if (fault === 'holdAnswer') this.#wait(pass);
    else if (this.putMsMin > 0) setTimeout(pass, this.putMsMin);
    else pass();
  }
}

function slowDown(response: ServerResponse): void {
  response.writeHead(503, { 'content-type': 'application/xml' });
  const error = '<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message>';
  response.end(`<?xml version="1.0" encoding="UTF-8"?>${error}</Error>`);
}
