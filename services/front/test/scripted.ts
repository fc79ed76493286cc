import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';

import type { KafkaReply, KafkaRequest, KafkaService } from '@kafscale/cluster';
import { apis, encodeRequestHeader } from '@kafscale/codec';

import { startFront } from '../src/front.js';
import type { Front, FrontOptions } from '../src/front.js';
import type { FrontLog } from '../src/front-log.js';
import type { MetricsFactory } from '../src/front-metrics.js';
import { NodeDirectory } from '../src/node-directory.js';

export const produceKey = apis.produce.key;
export const fetchKey = apis.fetch.key;
export const metadataKey = apis.metadata.key;
export const apiVersionsKey = apis.apiVersions.key;

export interface Call {
  readonly request: KafkaRequest;
  readonly signal: AbortSignal;
  /** Copied when the call arrived. */
  readonly body: Buffer;
  settled: boolean;
  respond(body?: Uint8Array | readonly Uint8Array[]): void;
  reply(reply: KafkaReply): void;
  fail(error: Error): void;
}

/** A service in memory: the test settles its calls, or a handler does at once. */
export class ScriptedService implements KafkaService {
  readonly calls: Call[] = [];
  onCall: ((call: Call) => void) | undefined;
  #waiters: Array<() => void> = [];

  constructor(onCall?: (call: Call) => void) {
    this.onCall = onCall;
  }

  handle(request: KafkaRequest, signal: AbortSignal): Promise<KafkaReply> {
    return new Promise((resolve, reject) => {
      const call: Call = {
        request,
        signal,
        body: Buffer.from(request.body),
        settled: false,
        respond: (body = Buffer.from('done')) => {
          const chunks = body instanceof Uint8Array ? [body] : body;
          call.reply({ kind: 'response', chunks });
        },
        reply: (reply) => {
          call.settled = true;
          resolve(reply);
        },
        fail: (error) => {
          call.settled = true;
          reject(error);
        },
      };
      this.calls.push(call);
      this.onCall?.(call);
      for (const wake of this.#waiters.splice(0)) wake();
    });
  }

  /** The call with this index, as soon as it has arrived. */
  async call(index: number): Promise<Call> {
    while (this.calls.length <= index) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    return this.calls[index]!;
  }
}

/** Answers every call with its body. */
export function echoService(): ScriptedService {
  return new ScriptedService((call) => call.respond(call.body));
}

export interface LogLine {
  readonly level: keyof FrontLog;
  readonly fields: Record<string, unknown>;
  readonly message: string;
}

export class RecordingLog implements FrontLog {
  readonly lines: LogLine[] = [];
  debug = this.#recorder('debug');
  info = this.#recorder('info');
  warn = this.#recorder('warn');
  error = this.#recorder('error');

  /** What an operator sees. */
  get loud(): LogLine[] {
    return this.lines.filter(({ level }) => level !== 'debug');
  }

  #recorder(level: keyof FrontLog): (fields: object, message: string) => void {
    return (fields, message) => {
      this.lines.push({ level, fields: fields as Record<string, unknown>, message });
    };
  }
}

/** Keeps every value under `name{label,…}`; histograms count their observations. */
export class RecordingMetrics implements MetricsFactory {
  readonly values = new Map<string, number>();
  readonly #gauges = new Map<string, () => number>();

  counter({ name }: { readonly name: string }) {
    return {
      labels: (...labels: string[]) => ({ inc: (value = 1) => this.#add(name, labels, value) }),
    };
  }

  histogram({ name }: { readonly name: string }) {
    return { labels: (...labels: string[]) => ({ observe: () => this.#add(name, labels, 1) }) };
  }

  gauge({ name, read }: { readonly name: string; readonly read: () => number }): void {
    this.#gauges.set(name, read);
  }

  value(name: string, ...labels: string[]): number {
    return this.#gauges.get(name)?.() ?? this.values.get(`${name}{${labels.join()}}`) ?? 0;
  }

  #add(name: string, labels: readonly string[], value: number): void {
    const key = `${name}{${labels.join()}}`;
    this.values.set(key, (this.values.get(key) ?? 0) + value);
  }
}

export interface TestFront {
  readonly front: Front;
  readonly port: number;
  readonly log: RecordingLog;
  readonly metrics: RecordingMetrics;
  readonly directory: NodeDirectory;
  readonly ingest: ScriptedService;
  readonly fetch: ScriptedService;
  readonly coordinator: ScriptedService;
  connect(): Promise<TestClient>;
  bytesInFlight(): number;
  close(): Promise<void>;
}

/** A front with one node of each kind, unless the options bring their own directory. */
export async function startTestFront(
  options: Partial<Omit<FrontOptions, 'directory'>> & { readonly directory?: NodeDirectory } = {},
): Promise<TestFront> {
  const log = new RecordingLog();
  const metrics = new RecordingMetrics();
  const ingest = new ScriptedService();
  const fetchService = new ScriptedService();
  const coordinator = new ScriptedService();
  const directory =
    options.directory ??
    new NodeDirectory([{ nodeId: 1, zone: 'a', ingest, fetch: fetchService, coordinator }]);
  const front = await startFront({
    host: '127.0.0.1',
    port: 0,
    zone: 'a',
    log,
    metrics,
    sweepIntervalMs: 20,
    ...options,
    directory,
  });
  const clients: TestClient[] = [];
  return {
    front,
    port: front.address.port,
    log,
    metrics,
    directory,
    ingest,
    fetch: fetchService,
    coordinator,
    connect: async () => {
      const client = await TestClient.connect(front.address.port);
      clients.push(client);
      return client;
    },
    bytesInFlight: () => metrics.value('front_request_bytes_in_flight'),
    close: async () => {
      for (const client of clients) client.socket.destroy();
      await front.close({ drainMs: 0 });
    },
  };
}

/** A client that knows frames, not messages. */
export class TestClient {
  readonly socket: Socket;
  /** Response frames, without their length prefix. */
  readonly responses: Buffer[] = [];
  closed = false;
  #received: Buffer[] = [];
  #receivedBytes = 0;
  /** How many bytes must be there before it is worth a look. */
  #wantedBytes = 4;
  #waiters: Array<() => void> = [];

  static async connect(port: number): Promise<TestClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const client = new TestClient(socket);
    await once(socket, 'connect');
    return client;
  }

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk) => this.#onData(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.#wake();
    });
  }

  write(...pieces: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(pieces));
  }

  /** The correlation ids of the first `count` responses. */
  async correlationIds(count: number): Promise<number[]> {
    await this.response(count - 1);
    return this.responses.slice(0, count).map((frame) => frame.readInt32BE(0));
  }

  async response(index: number): Promise<Buffer> {
    while (this.responses.length <= index) {
      if (this.closed) throw new Error(`closed after ${this.responses.length} responses`);
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
    return this.responses[index]!;
  }

  async untilClosed(): Promise<void> {
    while (!this.closed) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #onData(chunk: Buffer): void {
    this.#received.push(chunk);
    this.#receivedBytes += chunk.length;
    if (this.#receivedBytes < this.#wantedBytes) return;
    let bytes = Buffer.concat(this.#received);
    this.#wantedBytes = 4;
    while (bytes.length >= 4) {
      const end = 4 + bytes.readInt32BE(0);
      this.#wantedBytes = end;
      if (bytes.length < end) break;
      this.responses.push(bytes.subarray(4, end));
      bytes = bytes.subarray(end);
      this.#wantedBytes = 4;
    }
    this.#received = [bytes];
    this.#receivedBytes = bytes.length;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}

export interface TestRequest {
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  readonly clientId?: string | null;
  readonly body?: Uint8Array;
}

/** A request as it goes over the wire, length prefix included. */
export function encodeRequest(request: TestRequest): Buffer {
  const { body = Buffer.alloc(0), clientId = 'test', ...rest } = request;
  return framed(Buffer.concat([...encodeRequestHeader({ ...rest, clientId }), body]));
}

export function produce(correlationId: number, body?: Uint8Array): Buffer {
  const request = { apiKey: produceKey, apiVersion: 7, correlationId };
  return encodeRequest(body === undefined ? request : { ...request, body });
}

export function fetch(correlationId: number): Buffer {
  return encodeRequest({ apiKey: fetchKey, apiVersion: 4, correlationId });
}

export function metadata(correlationId: number): Buffer {
  return encodeRequest({ apiKey: metadataKey, apiVersion: 1, correlationId });
}

export function framed(frame: Uint8Array): Buffer {
  const prefix = Buffer.alloc(4);
  prefix.writeInt32BE(frame.length);
  return Buffer.concat([prefix, frame]);
}

/** Waits until `condition` holds; the test's own timeout is the limit. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** Long enough for whatever must not happen to happen. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 60));
}
