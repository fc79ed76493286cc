import { randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';

import {
  ByteBudget,
  limits as coreLimits,
  OperatingError,
  sleep,
  systemClock,
} from '@kafscale/core';
import type { Clock } from '@kafscale/core';

import { ClientConnection } from './client-connection.js';
import type { ConnectionContext } from './client-connection.js';
import { FrameMemory } from './frame-memory.js';
import { defaultFrontLimits } from './front-limits.js';
import type { FrontLimits } from './front-limits.js';
import { LogLimiter } from './front-log.js';
import type { FrontLog } from './front-log.js';
import { FrontMetrics } from './front-metrics.js';
import type { MetricsFactory } from './front-metrics.js';
import type { ServiceDirectory } from './service-directory.js';
import { SharedReads } from './shared-reads.js';

export interface FrontOptions {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly directory: ServiceDirectory;
  /** The zone of this process: nodes in it are preferred. */
  readonly zone: string;
  readonly log: FrontLog;
  readonly metrics: MetricsFactory;
  /** Unique per process start; begins every connection id. Default: random. */
  readonly instanceId?: string;
  /** Kafka's name of this listener; default PLAINTEXT. */
  readonly listener?: string;
  readonly limits?: Partial<FrontLimits>;
  readonly clock?: Clock;
  /** How often connections are looked at for idleness and stalls. */
  readonly sweepIntervalMs?: number;
}

export interface Front {
  readonly address: { readonly host: string; readonly port: number };
  /**
   * Stops accepting and reading, answers what is in flight, closes every connection; those that are
   * not done after `drainMs` are cut. Never rejects; every call gets the same promise.
   */
  close(options: { readonly drainMs: number }): Promise<void>;
}

/** Until authentication exists. */
const anonymous = 'User:ANONYMOUS';
const acceptBacklog = 511;

/**
 * The TCP listener for Kafka clients. Rejects with PORT_IN_USE or LISTEN_FAILED, both of which name
 * the address.
 */
export async function startFront(options: FrontOptions): Promise<Front> {
  const front = new FrontServer(options);
  await front.listen();
  return front;
}

class FrontServer implements Front {
  readonly #options: FrontOptions;
  readonly #instanceId: string;
  readonly #clock: Clock;
  readonly #context: ConnectionContext;
  readonly #server: Server;
  readonly #connections = new Set<ClientConnection>();
  readonly #refusedLimiter: LogLimiter;
  readonly #reads = new SharedReads(coreLimits.socketReadBytes, coreLimits.socketReadBytesMin);
  #accepted = 0;
  #sweeper: NodeJS.Timeout | undefined;
  #forgetNodes: (() => void) | undefined;
  #closing: Promise<void> | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(options: FrontOptions) {
    const clock = options.clock ?? systemClock;
    const limits: FrontLimits = { ...defaultFrontLimits, ...options.limits };
    const requests = new ByteBudget(limits.requestBytesInFlightMax);
    this.#options = options;
    this.#clock = clock;
    this.#instanceId = options.instanceId ?? randomUUID();
    this.#refusedLimiter = new LogLimiter({ clock, linesMax: 1, intervalMs: 10_000 });
    this.#context = {
      limits,
      clock,
      log: options.log,
      logLimiter: new LogLimiter({ clock, linesMax: 50, intervalMs: 1_000 }),
      metrics: new FrontMetrics(options.metrics, {
        connections: () => this.#connections.size,
        requestBytesInFlight: () => requests.takenBytes,
        budgetWaiters: () => requests.waiting,
      }),
      directory: options.directory,
      zone: options.zone,
      budgets: {
        requests,
        assembly: new ByteBudget(Math.ceil(limits.requestBytesInFlightMax / 2)),
        frames: new FrameMemory({
          idleBytesMax: limits.frameMemoryIdleBytesMax,
          // Ingest in this process holds frames for longer; what is left of slabs is in pieces.
          bytesMax:
            limits.requestBytesInFlightMax +
            coreLimits.recentSegmentsBytesMax +
            coreLimits.frameSlabBytes,
        }),
      },
      onClosed: (connection) => this.#onClosed(connection),
    };
    // allowHalfOpen: a client may send its last requests and end its side before they are answered.
    // pauseOnConnect: nothing is read before SharedReads has taken the socket over.
    const serverOptions = { allowHalfOpen: true, noDelay: true, pauseOnConnect: true };
    this.#server = createServer({ ...serverOptions, keepAlive: true }, (socket) =>
      this.#accept(socket),
    );
  }

  get address(): { readonly host: string; readonly port: number } {
    const bound = this.#server.address();
    const port = typeof bound === 'object' && bound !== null ? bound.port : this.#options.port;
    return { host: this.#options.host, port };
  }

  async listen(): Promise<void> {
    const { host, port, log, directory, sweepIntervalMs } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => reject(listenError(error, host, port)));
      this.#server.listen({ host, port, backlog: acceptBacklog }, resolve);
    });
    this.#server.removeAllListeners('error');
    this.#server.on('error', (error) => log.error({ err: error }, 'the Kafka listener failed'));
    this.#forgetNodes = directory.onNodeGone((nodeId) => {
      for (const connection of this.#connections) connection.nodeGone(nodeId);
    });
    this.#sweeper = setInterval(() => this.#sweep(), sweepIntervalMs ?? 1_000);
    this.#sweeper.unref();
  }

  close({ drainMs }: { readonly drainMs: number }): Promise<void> {
    this.#closing ??= this.#drain(drainMs);
    return this.#closing;
  }

  async #drain(drainMs: number): Promise<void> {
    const stopped = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    // The server counts sockets; its end may come before the last connection has cleaned up.
    const emptied = new Promise<void>((resolve) => (this.#onEmpty = resolve));
    const allClosed = Promise.all([stopped, emptied]);
    if (this.#connections.size === 0) this.#onEmpty?.();
    for (const connection of this.#connections) connection.drain();
    const drained = new AbortController();
    await Promise.race([allClosed, sleep(drainMs, drained.signal)]);
    drained.abort();
    for (const connection of this.#connections) {
      connection.destroy('drain_timeout', `not done ${drainMs} ms after the shutdown began`);
    }
    await allClosed;
    clearInterval(this.#sweeper);
    this.#forgetNodes?.();
  }

  #accept(socket: Socket): void {
    const { limits, metrics, log } = this.#context;
    if (this.#closing) {
      socket.destroy();
      return;
    }
    if (this.#connections.size >= limits.connectionsMax) {
      metrics.connectionsRefused.inc();
      socket.on('error', () => undefined);
      socket.destroy();
      const passed = this.#refusedLimiter.pass();
      const fields = { connectionsMax: limits.connectionsMax, ...passed };
      if (passed) log.warn(fields, 'closing a new connection: too many are open');
      return;
    }
    metrics.connectionsAccepted.inc();
    this.#accepted += 1;
    const identity = {
      connectionId: `${this.#instanceId}-${this.#accepted.toString(36)}`,
      clientHost: hostOf(socket.remoteAddress),
      principal: anonymous,
      listener: this.#options.listener ?? 'PLAINTEXT',
    };
    const connection: ClientConnection = new ClientConnection(
      this.#reads.takeOver(socket, () => connection),
      identity,
      this.#context,
    );
    this.#connections.add(connection);
  }

  #onClosed(connection: ClientConnection): void {
    this.#connections.delete(connection);
    if (this.#connections.size === 0) this.#onEmpty?.();
  }

  #sweep(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const connection of this.#connections) connection.sweep(nowMs);
  }
}

/** IPv4 clients of a dual-stack listener look like IPv4 clients. */
function hostOf(remoteAddress: string | undefined): string {
  if (remoteAddress === undefined) return 'unknown';
  return remoteAddress.startsWith('::ffff:')
    ? remoteAddress.slice('::ffff:'.length)
    : remoteAddress;
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): OperatingError {
  if (error.code === 'EADDRINUSE') {
    const message = `${host}:${port} is already in use by another process`;
    return new OperatingError('PORT_IN_USE', message, { cause: error });
  }
  const message = `can't listen on ${host}:${port}: ${error.message}`;
  return new OperatingError('LISTEN_FAILED', message, { cause: error });
}
