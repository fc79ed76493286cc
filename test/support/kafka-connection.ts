import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { encodeRequestHeader, parseResponseHeader } from '@kafscale/codec';
import type { Api, Decoded, Encodable, Fields, Message } from '@kafscale/codec';

/** The connection ended before the answer came: the outcome is unknown. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}

interface Waiting {
  readonly correlationId: number;
  readonly take: (frame: Buffer) => void;
  readonly fail: (error: Error) => void;
}

/**
 * One connection to a Kafka listener on loopback. Requests are pipelined without a bound; every
 * response must answer the oldest request (P5), anything else breaks the connection. Never retries.
 */
export class KafkaConnection {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  readonly #clientId: string;
  #received: Buffer = Buffer.alloc(0);
  #correlationId = 0;
  #lost: Error | null = null;

  private constructor(socket: Socket, clientId: string) {
    this.#socket = socket;
    this.#clientId = clientId;
    socket.on('data', (chunk: Buffer) => {
      this.#receive(chunk);
    });
    socket.on('error', (error) => {
      this.#lose(error.message);
    });
    socket.on('close', () => {
      this.#lose('closed');
    });
  }

  /** Rejects with ConnectionLost when nobody listens. */
  static async connect(port: number, clientId = 'system-test'): Promise<KafkaConnection> {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true });
    try {
      await once(socket, 'connect', { signal: AbortSignal.timeout(30_000) });
    } catch (error) {
      socket.destroy();
      throw new ConnectionLost(String(error));
    }
    return new KafkaConnection(socket, clientId);
  }

  /** For tests that write bytes of their own. */
  get socket(): Socket {
    return this.#socket;
  }

  get isOpen(): boolean {
    return this.#lost === null;
  }

  get inFlight(): number {
    return this.#waiting.length;
  }

  /** Sends at once; the newest version that is served, unless one is named. */
  call<Request extends Fields, Response extends Fields>(
    api: Api<Request, Response>,
    request: Encodable<Message<Request>>,
    version: number = api.maxVersion,
  ): Promise<Decoded<Message<Response>>> {
    const correlationId = this.send(api, request, version);
    return new Promise((resolve, reject) => {
      if (this.#lost !== null) {
        reject(this.#lost);
        return;
      }
      const take = (frame: Buffer): void => {
        const { bodyOffset } = parseResponseHeader(frame, api.key, version);
        resolve(api.response.decode(frame.subarray(bodyOffset), version));
      };
      this.#waiting.push({ correlationId, take, fail: reject });
    });
  }

  /** For a request that has no response (Produce with acks=0). */
  send<Request extends Fields, Response extends Fields>(
    api: Api<Request, Response>,
    request: Encodable<Message<Request>>,
    version: number = api.maxVersion,
  ): number {
    this.#correlationId += 1;
    const correlationId = this.#correlationId;
    const clientId = this.#clientId;
    const header = encodeRequestHeader({
      apiKey: api.key,
      apiVersion: version,
      correlationId,
      clientId,
    });
    const frame = Buffer.concat([...header, ...api.request.encode(request, version)]);
    const length = Buffer.alloc(4);
    length.writeInt32BE(frame.length);
    if (this.#lost === null) this.#socket.write(Buffer.concat([length, frame]));
    return correlationId;
  }

  close(): void {
    this.#socket.destroy();
    this.#lose('closed by the test');
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readInt32BE(0);
      if (this.#received.length < end) return;
      const frame = this.#received.subarray(4, end);
      this.#received = this.#received.subarray(end);
      const oldest = this.#waiting.shift();
      if (oldest === undefined || frame.readInt32BE(0) !== oldest.correlationId) {
        const error = new Error(
          `response ${frame.readInt32BE(0)} instead of ${oldest?.correlationId ?? 'none'}`,
        );
        oldest?.fail(error);
        this.#socket.destroy();
        return;
      }
      try {
        oldest.take(frame);
      } catch (error) {
        oldest.fail(error as Error);
      }
    }
  }

  #lose(reason: string): void {
    if (this.#lost !== null) return;
    this.#lost = new ConnectionLost(reason);
    for (const waiting of this.#waiting.splice(0)) waiting.fail(this.#lost);
  }
}
