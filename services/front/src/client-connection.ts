import { setMaxListeners } from 'node:events';
import type { Socket } from 'node:net';

import type { KafkaReply } from '@kafscale/cluster';
import { describeError, InvariantError, isOperatingError } from '@kafscale/core';
import type { Clock, PooledMemory } from '@kafscale/core';

import { readClientRequest, responseHead, toKafkaRequest } from './client-request.js';
import type { ClientIdentity, ClientRequest } from './client-request.js';
import { logLevelOf } from './close-reason.js';
import type { CloseReason } from './close-reason.js';
import type { FrontLimits } from './front-limits.js';
import type { FrontLog, LogLimiter } from './front-log.js';
import type { FrontMetrics } from './front-metrics.js';
import { RequestPipeline } from './request-pipeline.js';
import { RequestReader } from './request-reader.js';
import type { ReadBudgets } from './request-reader.js';
import { RequestRouter } from './request-router.js';
import { ResponseWriter } from './response-writer.js';
import type { ServiceDirectory } from './service-directory.js';
import type { ReadTarget } from './shared-reads.js';

/** What the connections of a front share. */
export interface ConnectionContext {
  readonly limits: FrontLimits;
  readonly clock: Clock;
  readonly log: FrontLog;
  /** For lines that a client can cause. */
  readonly logLimiter: LogLimiter;
  readonly metrics: FrontMetrics;
  readonly directory: ServiceDirectory;
  readonly zone: string;
  readonly budgets: ReadBudgets;
  readonly onClosed: (connection: ClientConnection) => void;
}

/**
 * `open`: reads and answers. `finishing`: reads no more, answers what is in flight. `ending`:
 * everything is answered, the last bytes and the end of the stream are on their way. `closed`.
 */
type State = 'open' | 'finishing' | 'ending' | 'closed';

/**
 * How long, and for how many bytes, a connection that we have ended is still read. A socket that is
 * closed with unread bytes sends a reset, which may overtake the last response at the client.
 */
const lingerMsMax = 2_000;
const lingerBytesMax = 1024 * 1024;

/** One client: its socket, and the reader, pipeline, router and writer between it and the services. */
export class ClientConnection implements ReadTarget {
  readonly #socket: Socket;
  readonly #context: ConnectionContext;
  readonly #identity: ClientIdentity;
  readonly #client: string;
  readonly #reader: RequestReader;
  readonly #pipeline: RequestPipeline<ClientRequest>;
  readonly #writer: ResponseWriter;
  readonly #router: RequestRouter;
  #state: State = 'open';
  #reason: CloseReason | null = null;
  #clientId: string | null = null;
  #requestNumber = 0;
  #lastActivityMs: number;
  #endedMs: number | null = null;
  #lingerBytes = 0;
  #clientEnded = false;
  #socketError: Error | null = null;
  /** Made with the first request that needs it: an idle connection is cheap. */
  #waits: AbortController | null = null;
  #work: AbortController | null = null;

  constructor(socket: Socket, identity: ClientIdentity, context: ConnectionContext) {
    const { limits, clock, budgets } = context;
    this.#socket = socket;
    this.#identity = identity;
    this.#client = `${identity.clientHost}:${socket.remotePort ?? 0}`;
    this.#context = context;
    this.#lastActivityMs = clock.monotonicMs();
    this.#router = new RequestRouter(context.directory, context.zone);
    this.#writer = new ResponseWriter({ socket, clock, onProgress: () => this.#onProgress() });
    this.#pipeline = new RequestPipeline<ClientRequest>({
      execute: (request) => this.#execute(request),
      mayExecute: () => this.#mayExecute(),
      respond: (request, chunks, release) => this.#respond(request, chunks, release),
      released: (request, answered) => this.#released(request, answered),
      rejected: (cause) => this.#rejected(cause),
      progressed: () => this.#progressed(),
      closed: (_request, reason, cause) => this.#closedByReply(reason, cause),
    });
    this.#reader = new RequestReader({
      budgets,
      limits,
      clock,
      requestsInFlight: () => this.#pipeline.size,
      onFrame: (frame) => this.#onFrame(frame),
      onRefused: ({ reason, message }) => this.#finish(reason, message),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
    });
    socket.on('end', () => this.#onClientEnd());
    socket.on('finish', () => this.#onEnded());
    socket.on('error', (error: Error) => (this.#socketError = error));
    socket.on('close', () => this.#onClose());
  }

  nextRead(): Buffer | number {
    return this.#reader.nextRead();
  }

  filled(bytes: number): void {
    if (this.#isReading(bytes)) this.#reader.filled(bytes);
  }

  received(bytes: Buffer): void {
    if (this.#isReading(bytes.length)) this.#reader.push(bytes);
  }

  /** Answers what is in flight, then closes. */
  drain(): void {
    this.#finish('drain', 'the front is shutting down');
  }

  /** Closes at once. */
  destroy(reason: CloseReason, detail: string): void {
    this.#decide(reason, detail);
    this.#socket.destroy();
  }

  nodeGone(nodeId: number): void {
    if (!this.#router.nodeGone(nodeId) || this.#state === 'closed') return;
    // Nobody knows whether the requests in flight were written. Responses that wait behind one of
    // them can't be sent either.
    this.#decide('ingest_lost', `ingest node ${nodeId} went away with Produce requests in flight`);
    this.#end();
  }

  /** Closes whoever is idle, half-dead or too slow. */
  sweep(nowMs: number): void {
    const { limits } = this.#context;
    if (this.#writer.stalledMs(nowMs) > limits.responseDrainMsMax) {
      this.destroy('slow_reader', `took none of its responses in ${limits.responseDrainMsMax} ms`);
    } else if (this.#endedMs !== null && nowMs - this.#endedMs > lingerMsMax) {
      this.#socket.destroy();
    } else if (this.#reader.incompleteMs(nowMs) > limits.frameCompletionMsMax) {
      const detail = `a request was not complete after ${limits.frameCompletionMsMax} ms`;
      this.#finish('frame_timeout', detail);
    } else if (this.#isIdle() && nowMs - this.#lastActivityMs > limits.connectionIdleMsMax) {
      this.#finish('idle', `idle for ${limits.connectionIdleMsMax} ms`);
    }
  }

  #isIdle(): boolean {
    return this.#state === 'open' && this.#pipeline.size === 0 && !this.#reader.inProgress;
  }

  /** False: nobody is interested in what the client sends any more. */
  #isReading(bytes: number): boolean {
    if (this.#state === 'open') {
      this.#lastActivityMs = this.#context.clock.monotonicMs();
      return true;
    }
    this.#lingerBytes += bytes;
    if (this.#lingerBytes > lingerBytesMax) this.#socket.destroy();
    return false;
  }

  #onFrame(frame: PooledMemory): void {
    const { clock, metrics } = this.#context;
    const requestNumber = this.#requestNumber;
    this.#requestNumber += 1;
    const request = readClientRequest({ frame, requestNumber, receivedMs: clock.monotonicMs() });
    if ('refused' in request) {
      this.#reader.released(frame.bytes.length);
      this.#finish(request.refused, request.message);
      return;
    }
    if (request.clientId !== null) this.#clientId = request.clientId;
    const api = metrics.api(request.apiKey);
    api?.requests.inc();
    api?.requestBytes.inc(frame.bytes.length);
    this.#pipeline.add(request);
  }

  #execute(request: ClientRequest): Promise<KafkaReply> {
    if (request.reply !== null) return Promise.resolve(request.reply);
    const signal = this.#signalFor(request);
    return this.#router.handle(toKafkaRequest(request, this.#identity), signal);
  }

  /**
   * A client that has sent its last byte may still rely on what it sent: acks=0 and then close. So
   * its Produce requests go on until the socket is gone, while waits (long polls, joins) end at once.
   */
  #signalFor(request: ClientRequest): AbortSignal {
    if (request.concurrent) {
      this.#work ??= this.#newController();
      return this.#work.signal;
    }
    this.#waits ??= this.#newController();
    if (this.#state !== 'open') this.#waits.abort();
    return this.#waits.signal;
  }

  #newController(): AbortController {
    const controller = new AbortController();
    // Several services may listen per request, for every request in flight.
    setMaxListeners(this.#context.limits.requestsInFlightPerConnectionMax * 4, controller.signal);
    return controller;
  }

  #mayExecute(): boolean {
    const unread = this.#writer.bufferedBytes + this.#pipeline.heldResponseBytes;
    return unread <= this.#context.limits.responseBytesBufferedPerConnectionMax;
  }

  #respond(request: ClientRequest, chunks: readonly Uint8Array[], release?: () => void): void {
    let bodyBytes = 0;
    for (const chunk of chunks) bodyBytes += chunk.length;
    const nowMs = this.#context.clock.monotonicMs();
    this.#lastActivityMs = nowMs;
    this.#writer.write(responseHead(request, bodyBytes), chunks, release);
    const metrics = this.#context.metrics.api(request.apiKey);
    metrics?.responseBytes.inc(bodyBytes);
    metrics?.latencySeconds.observe((nowMs - request.receivedMs) / 1000);
  }

  /**
   * The memory of a Produce is let go once it has been answered. Not after a failure, when a link may
   * still be sending it; and not for other APIs, whose answers may hold views of it.
   */
  #released(request: ClientRequest, answered: boolean): void {
    if (answered && request.concurrent) request.frame?.release();
    request.body = null;
    request.frame = null;
    this.#reader.released(request.frameBytes);
  }

  /** A bug of a service in this process is not ours to survive. */
  #rejected(cause: unknown): void {
    if (!(cause instanceof InvariantError)) return;
    process.nextTick(() => {
      throw cause;
    });
  }

  #progressed(): void {
    if (this.#pipeline.isCut) this.#stopReading();
    else this.#reader.proceed();
    if (this.#state === 'finishing' && this.#pipeline.size === 0) this.#end();
  }

  /** The client has taken bytes. */
  #onProgress(): void {
    this.#lastActivityMs = this.#context.clock.monotonicMs();
    if (this.#state === 'open' || this.#state === 'finishing') this.#pipeline.advance();
  }

  #closedByReply(reason: string, cause: unknown): void {
    if (cause === undefined) this.#decide('service_closed', reason);
    else this.#decide('service_failed', reason, cause);
    this.#end();
  }

  #onClientEnd(): void {
    this.#clientEnded = true;
    if (this.#state === 'open') {
      if (this.#reader.inProgress) this.#finish('truncated', 'ended in the middle of a request');
      else this.#finish('client', 'closed by the client');
    } else if (this.#endedMs !== null) {
      this.#socket.destroy();
    }
  }

  /** Reads no more. What was read is answered, then the connection ends. */
  #finish(reason: CloseReason, detail: string): void {
    if (this.#state !== 'open') return;
    this.#decide(reason, detail);
    this.#state = 'finishing';
    this.#stopReading();
    this.#waits?.abort();
    if (this.#pipeline.size === 0) this.#end();
  }

  #stopReading(): void {
    this.#reader.stop();
    this.#socket.pause();
  }

  #end(): void {
    if (this.#state === 'ending' || this.#state === 'closed') return;
    this.#state = 'ending';
    this.#reader.stop();
    this.#pipeline.stop();
    this.#waits?.abort();
    this.#writer.end();
    this.#socket.resume();
  }

  #onEnded(): void {
    this.#endedMs = this.#context.clock.monotonicMs();
    if (this.#clientEnded) this.#socket.destroy();
  }

  #onClose(): void {
    if (this.#socketError === null) this.#decide('client', 'closed by the client');
    else this.#decide('socket_error', describeError(this.#socketError));
    this.#state = 'closed';
    this.#reader.stop();
    this.#pipeline.stop();
    this.#writer.discard();
    this.#waits?.abort();
    this.#work?.abort();
    this.#context.metrics.closed(this.#reason ?? 'client');
    this.#context.onClosed(this);
  }

  /** The first reason counts, and is said in one line; a drain that fails is one of its own. */
  #decide(reason: CloseReason, detail: string, cause?: unknown): void {
    const drainFailed = reason === 'drain_timeout' && this.#reason === 'drain';
    if (this.#reason !== null && !drainFailed) return;
    this.#reason = reason;
    const level = logLevelOf(reason);
    const passed = level === 'debug' ? {} : this.#context.logLimiter.pass();
    if (passed === null) return;
    const fields = {
      reason,
      client: this.#client,
      clientId: this.#clientId,
      connectionId: this.#identity.connectionId,
      requests: this.#requestNumber,
      ...(isOperatingError(cause) ? { code: cause.code, outcome: cause.outcome } : {}),
      ...(cause === undefined || isOperatingError(cause) ? {} : { err: cause }),
      ...passed,
    };
    this.#context.log[level](fields, `closing a client connection: ${detail}`);
  }
}
