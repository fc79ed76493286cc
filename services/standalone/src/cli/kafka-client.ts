import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import {
  apis,
  encodeRequestHeader,
  errorCodes,
  errorName,
  parseResponseHeader,
} from '@kafscale/codec';
import type { Api, Decoded, Encodable, Fields, Message } from '@kafscale/codec';
import { describeError, invariant, isOperatingError, limits, OperatingError } from '@kafscale/core';

export interface KafkaClientOptions {
  /** `host:port`; an IPv6 address in brackets. */
  readonly address: string;
  readonly clientId: string;
  /** For the connection, and for each request. */
  readonly timeoutMs: number;
}

interface VersionRange {
  readonly minVersion: number;
  readonly maxVersion: number;
}

/**
 * A Kafka client for administration: one connection, one request at a time, no retries. Speaks the
 * newest version that both sides know.
 *
 * Errors: KAFKA_UNREACHABLE; KAFKA_CONNECTION_LOST and KAFKA_TIMEOUT (outcome `unknown`);
 * KAFKA_VERSION_UNSUPPORTED; KAFKA_PROTOCOL_ERROR when the other side speaks something else.
 */
export class KafkaClient {
  readonly #socket: Socket;
  readonly #frames: AsyncGenerator<Buffer, undefined>;
  readonly #options: KafkaClientOptions;
  #versions: ReadonlyMap<number, VersionRange> = new Map();
  #correlationId = 0;
  #busy = false;

  private constructor(socket: Socket, options: KafkaClientOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#frames = readFrames(socket, options.address);
  }

  static async connect(options: KafkaClientOptions): Promise<KafkaClient> {
    const socket = await openSocket(options);
    const client = new KafkaClient(socket, options);
    try {
      await client.#learnVersions();
      return client;
    } catch (error) {
      client.close();
      throw error;
    }
  }

  async call<Request extends Fields, Response extends Fields>(
    api: Api<Request, Response>,
    request: Encodable<Message<Request>>,
  ): Promise<Decoded<Message<Response>>> {
    const served = this.#versions.get(api.key);
    const version = Math.min(api.maxVersion, served?.maxVersion ?? -1);
    if (served === undefined || version < Math.max(api.minVersion, served.minVersion)) {
      const message = `${this.#options.address} offers no version of ${api.name} that we speak`;
      throw new OperatingError('KAFKA_VERSION_UNSUPPORTED', message);
    }
    return await this.#exchange(api, request, version);
  }

  close(): void {
    this.#socket.destroy();
  }

  async #learnVersions(): Promise<void> {
    const request = { clientSoftwareName: 'kafscale', clientSoftwareVersion: '0' };
    // Every Kafka answers version 0; a later one would tell us no more than we ask for.
    const response = await this.#exchange(apis.apiVersions, request, 0);
    if (response.errorCode !== errorCodes.NONE) throw kafkaError(response.errorCode, 'ApiVersions');
    this.#versions = new Map(response.apiKeys.map((range) => [range.apiKey, range]));
  }

  async #exchange<Request extends Fields, Response extends Fields>(
    api: Api<Request, Response>,
    request: Encodable<Message<Request>>,
    version: number,
  ): Promise<Decoded<Message<Response>>> {
    invariant(!this.#busy, 'one request at a time');
    this.#busy = true;
    try {
      const correlationId = ++this.#correlationId;
      this.#socket.write(
        encodeFrame(api, request, { version, correlationId, clientId: this.#options.clientId }),
      );
      const answer = await this.#nextFrame(api.name);
      const header = parseResponseHeader(answer, api.key, version);
      if (header.correlationId !== correlationId) {
        this.close();
        throw notKafka(this.#options.address);
      }
      return api.response.decode(answer.subarray(header.bodyOffset), version);
    } finally {
      this.#busy = false;
    }
  }

  async #nextFrame(apiName: string): Promise<Buffer> {
    const { address, timeoutMs } = this.#options;
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      this.#socket.destroy();
    }, timeoutMs);
    try {
      const next = await this.#frames.next();
      if (next.done !== true) return next.value;
      throw timedOut
        ? new OperatingError('KAFKA_TIMEOUT', `no answer to ${apiName} from ${address}`, {
            outcome: 'unknown',
          })
        : new OperatingError('KAFKA_CONNECTION_LOST', `${address} closed the connection`, {
            outcome: 'unknown',
          });
    } finally {
      clearTimeout(timer);
    }
  }
}

/** An error that Kafka's protocol carries, as one of ours: its code is Kafka's name for it. */
export function kafkaError(
  errorCode: number,
  what: string,
  detail?: string | null,
): OperatingError {
  const name = errorName(errorCode);
  const reason = detail === undefined || detail === null || detail === '' ? name : detail;
  return new OperatingError(name, `${what}: ${reason}`);
}

async function openSocket(options: KafkaClientOptions): Promise<Socket> {
  const { host, port } = parseAddress(options.address);
  const socket = connect({ host, port, noDelay: true });
  // While nobody waits for an answer; the next request finds the connection closed.
  socket.on('error', () => undefined);
  const signal = AbortSignal.timeout(options.timeoutMs);
  try {
    await once(socket, 'connect', { signal });
    return socket;
  } catch (error) {
    socket.destroy();
    const reason = signal.aborted ? 'no answer' : describeError(error);
    throw new OperatingError(
      'KAFKA_UNREACHABLE',
      `can't connect to ${options.address}: ${reason}`,
      {
        cause: error,
      },
    );
  }
}

function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1');
  return { host, port: Number(address.slice(at + 1)) };
}

function encodeFrame<Request extends Fields>(
  api: Api<Request>,
  request: Encodable<Message<Request>>,
  header: {
    readonly version: number;
    readonly correlationId: number;
    readonly clientId: string;
  },
): Buffer {
  const chunks = [
    ...encodeRequestHeader({
      apiKey: api.key,
      apiVersion: header.version,
      correlationId: header.correlationId,
      clientId: header.clientId,
    }),
    ...api.request.encode(request, header.version),
  ];
  const body = Buffer.concat(chunks);
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length);
  return Buffer.concat([length, body]);
}

/** Ends when the connection does, however that ends. KAFKA_PROTOCOL_ERROR: that was no frame. */
async function* readFrames(socket: Socket, address: string): AsyncGenerator<Buffer, undefined> {
  let chunks: Buffer[] = [];
  let bufferedBytes = 0;
  let neededBytes = 4;
  try {
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bufferedBytes += chunk.length;
      while (bufferedBytes >= neededBytes) {
        const buffered = Buffer.concat(chunks);
        const frameBytes = buffered.readInt32BE(0);
        if (frameBytes < 4 || frameBytes > limits.requestBytesMax) throw notKafka(address);
        const isWhole = buffered.length >= 4 + frameBytes;
        if (isWhole) yield buffered.subarray(4, 4 + frameBytes);
        chunks = [isWhole ? buffered.subarray(4 + frameBytes) : buffered];
        bufferedBytes = chunks[0]?.length ?? 0;
        neededBytes = isWhole ? 4 : 4 + frameBytes;
      }
    }
  } catch (error) {
    // A reset is an end like any other here: the caller says what it was waiting for.
    if (isOperatingError(error)) throw error;
  }
  return undefined;
}

function notKafka(address: string): OperatingError {
  return new OperatingError('KAFKA_PROTOCOL_ERROR', `what ${address} speaks is not Kafka`, {
    outcome: 'unknown',
  });
}
