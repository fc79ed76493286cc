import { errorName } from '@kafscale/codec';
import { invariant, OperatingError, systemClock } from '@kafscale/core';
import { FrameSocket, type Address } from './frame-socket.js';
import { latencyFigures, type LatencyFigures } from './latency-figures.js';
import { errorCodePositions, produceFrame, randomBatch, recordsIn } from './produce-frames.js';
import type { ProduceShape } from './produce-frames.js';
import type { LoadResult } from './produce-load.js';

export interface OpenLoopLoad extends ProduceShape {
  readonly address: Address;
  readonly connections: number;
  /** A request that is due beyond it waits for its turn, and its latency counts from when it was due. */
  readonly inFlightPerConnection: number;
  /** Of record values, over all connections. */
  readonly bytesPerSecond: number;
  /** At the same rate, before what is measured. */
  readonly warmUpSeconds: number;
  readonly seconds: number;
  /** After the last request is due: what has not been sent by then never is. */
  readonly overtimeSeconds: number;
}

export interface OpenLoopResult extends LoadResult {
  /** Of the measured requests, from when each was due to its answer. */
  readonly latency: LatencyFigures;
  readonly requests: number;
  /** Measured requests that were due and not sent: the server was that far behind. */
  readonly unsent: number;
  /** Of all that were sent, warm-up too: what the server must have. */
  readonly recordsSent: number;
}

/** Timers of Node have a resolution of 1 ms, which so is part of every latency. */
const tickMs = 1;

/**
 * Sends requests when they are due, whether earlier ones were answered or not: a server that stops
 * for a second so delays all requests of that second, as it would those of real clients (without
 * this, only the few that were in flight would show it: coordinated omission).
 */
export async function runOpenLoopLoad(load: OpenLoopLoad): Promise<OpenLoopResult> {
  invariant(load.batchesPerRequest <= load.partitions, 'a request has one batch per partition');
  const recordsPerRequest = recordsIn(load) * load.batchesPerRequest;
  const bytesPerRequest = recordsPerRequest * load.valueBytes;
  const requestsPerSecond = load.bytesPerSecond / bytesPerRequest;
  const warmUp = Math.round(load.warmUpSeconds * requestsPerSecond);
  const measured = Math.round(load.seconds * requestsPerSecond);
  invariant(measured > 0, 'something is measured');
  const schedule = new Schedule({
    intervalMs: 1000 / requestsPerSecond,
    total: warmUp + measured,
    overtimeMs: load.overtimeSeconds * 1000,
  });
  const batch = randomBatch(recordsIn(load), load.valueBytes);
  const connections = await Promise.all(
    Array.from({ length: load.connections }, async (_, index) => {
      const socket = await FrameSocket.open(load.address);
      const frames = Array.from({ length: load.inFlightPerConnection }, (__, correlationId) =>
        produceFrame(load, {
          batch,
          slot: correlationId * load.connections + index,
          correlationId,
        }),
      );
      return new OpenLoopConnection({ socket, frames, load, schedule, index });
    }),
  );
  schedule.begin();
  const ticker = setInterval(() => {
    for (const connection of connections) connection.sendDue();
  }, tickMs);
  try {
    await Promise.all(connections.map((connection) => connection.done));
  } finally {
    clearInterval(ticker);
    for (const connection of connections) connection.close();
  }
  const answered = schedule.latenciesMs.subarray(warmUp).filter((each) => !Number.isNaN(each));
  const sent = schedule.latenciesMs.filter((each) => !Number.isNaN(each)).length;
  if (answered.length === 0) {
    throw new OperatingError(
      'OVERLOADED',
      `${sent} of ${warmUp} requests of the warm-up were answered`,
    );
  }
  return {
    records: answered.length * recordsPerRequest,
    recordsSent: sent * recordsPerRequest,
    bytes: answered.length * bytesPerRequest,
    seconds: (systemClock.monotonicMs() - schedule.dueMs(warmUp)) / 1000,
    requests: answered.length,
    unsent: measured - answered.length,
    latency: latencyFigures(answered),
  };
}

/** When requests are due, and how long each took. */
class Schedule {
  readonly total: number;
  /** Not a number until it is answered. */
  readonly latenciesMs: Float64Array;
  readonly #intervalMs: number;
  readonly #overtimeMs: number;
  #startMs = 0;

  constructor(options: {
    readonly intervalMs: number;
    readonly total: number;
    readonly overtimeMs: number;
  }) {
    this.#intervalMs = options.intervalMs;
    this.#overtimeMs = options.overtimeMs;
    this.total = options.total;
    this.latenciesMs = new Float64Array(options.total).fill(Number.NaN);
  }

  /** Nothing is sent any more. */
  isOver(nowMs: number): boolean {
    return nowMs > this.dueMs(this.total) + this.#overtimeMs;
  }

  begin(): void {
    this.#startMs = systemClock.monotonicMs();
  }

  dueMs(request: number): number {
    return this.#startMs + request * this.#intervalMs;
  }
}

interface ConnectionOptions {
  readonly socket: FrameSocket;
  /** By correlation id. */
  readonly frames: readonly Buffer[];
  readonly load: OpenLoopLoad;
  readonly schedule: Schedule;
  /** It sends every request whose number is this plus a multiple of the number of connections. */
  readonly index: number;
}

class OpenLoopConnection {
  readonly done: Promise<void>;
  readonly #options: ConnectionOptions;
  readonly #errorCodePositions: readonly number[];
  /** By correlation id: the request that its frame carries now. */
  readonly #requests: Int32Array;
  /** Correlation ids, first in first out, so that the frames take turns. */
  readonly #free: number[];
  #next: number;
  #unanswered = 0;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#errorCodePositions = errorCodePositions(options.load);
    this.#requests = new Int32Array(options.frames.length);
    this.#free = [...options.frames.keys()];
    this.#next = options.index;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.done.catch(() => {});
    options.socket.listen((answer) => this.#take(answer), this.#reject);
  }

  sendDue(): void {
    const { frames, load, schedule, socket } = this.#options;
    const nowMs = systemClock.monotonicMs();
    if (schedule.isOver(nowMs)) this.#next = schedule.total;
    while (this.#next < schedule.total && schedule.dueMs(this.#next) <= nowMs) {
      const correlationId = this.#free.shift();
      if (correlationId === undefined) return;
      const frame = frames[correlationId];
      invariant(frame !== undefined, 'every correlation id has a frame');
      this.#requests[correlationId] = this.#next;
      this.#next += load.connections;
      this.#unanswered += 1;
      socket.write(frame);
    }
    if (this.#next >= schedule.total && this.#unanswered === 0) this.#resolve();
  }

  close(): void {
    this.#options.socket.close();
  }

  #take(answer: Buffer): void {
    const { load, schedule } = this.#options;
    for (const position of this.#errorCodePositions) {
      const errorCode = answer.readInt16BE(position);
      if (errorCode !== 0) {
        throw new OperatingError(errorName(errorCode), `a batch of ${load.topic}`);
      }
    }
    const correlationId = answer.readInt32BE(0);
    const request = this.#requests[correlationId];
    invariant(request !== undefined, 'the answer is to a request of ours');
    schedule.latenciesMs[request] = systemClock.monotonicMs() - schedule.dueMs(request);
    this.#free.push(correlationId);
    this.#unanswered -= 1;
    this.sendDue();
  }
}
