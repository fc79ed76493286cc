import { errorName } from '@kafscale/codec';
import { invariant, OperatingError, systemClock } from '@kafscale/core';
import { FrameSocket, type Address } from './frame-socket.js';
import { errorCodePositions, produceFrame, randomBatch, recordsIn } from './produce-frames.js';
import type { ProduceShape } from './produce-frames.js';

export interface ProduceLoad extends ProduceShape {
  readonly address: Address;
  readonly connections: number;
  readonly inFlightPerConnection: number;
  /** Of record values: what it sends, rounded up to whole requests. */
  readonly totalBytes: number;
}

export interface LoadResult {
  readonly records: number;
  /** Of record values. */
  readonly bytes: number;
  readonly seconds: number;
}

/**
 * Sends requests that were encoded beforehand, as fast as answers come. Every request that can be in
 * flight has its own frame, which is sent again once it is answered: nothing is encoded, copied or
 * allocated meanwhile. Fails at the first batch that is refused.
 */
export async function runProduceLoad(load: ProduceLoad): Promise<LoadResult> {
  invariant(load.batchesPerRequest <= load.partitions, 'a request has one batch per partition');
  const recordsPerBatch = recordsIn(load);
  const batch = randomBatch(recordsPerBatch, load.valueBytes);
  const bytesPerRequest = recordsPerBatch * load.valueBytes * load.batchesPerRequest;
  const requestsTotal = Math.ceil(load.totalBytes / bytesPerRequest);
  const budget = { requestsLeft: requestsTotal };
  const connections = await Promise.all(
    Array.from({ length: load.connections }, async (_, index) => {
      const socket = await FrameSocket.open(load.address);
      const frames = Array.from({ length: load.inFlightPerConnection }, (__, correlationId) => {
        const slot = index * load.inFlightPerConnection + correlationId;
        return produceFrame(load, { batch, slot, correlationId });
      });
      return new ProduceConnection({ socket, frames, load, budget });
    }),
  );
  const startMs = systemClock.monotonicMs();
  await Promise.all(connections.map((connection) => connection.run()));
  const seconds = (systemClock.monotonicMs() - startMs) / 1000;
  return {
    records: requestsTotal * load.batchesPerRequest * recordsPerBatch,
    bytes: requestsTotal * bytesPerRequest,
    seconds,
  };
}

interface ConnectionOptions {
  readonly socket: FrameSocket;
  /** By correlation id. */
  readonly frames: readonly Buffer[];
  readonly load: ProduceLoad;
  /** Shared by all connections. */
  readonly budget: { requestsLeft: number };
}

class ProduceConnection {
  readonly #options: ConnectionOptions;
  readonly #errorCodePositions: readonly number[];
  #inFlight = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#errorCodePositions = errorCodePositions(options.load);
  }

  async run(): Promise<void> {
    const { socket, frames } = this.#options;
    try {
      await new Promise<void>((resolve, reject) => {
        socket.listen((answer) => {
          this.#check(answer);
          this.#inFlight -= 1;
          this.#send(answer.readInt32BE(0));
          if (this.#inFlight === 0) resolve();
        }, reject);
        for (const correlationId of frames.keys()) this.#send(correlationId);
        if (this.#inFlight === 0) resolve();
      });
    } finally {
      socket.close();
    }
  }

  #send(correlationId: number): void {
    const { budget, frames, socket } = this.#options;
    const frame = frames[correlationId];
    invariant(frame !== undefined, 'the answer is to a request of ours');
    if (budget.requestsLeft === 0) return;
    budget.requestsLeft -= 1;
    this.#inFlight += 1;
    socket.write(frame);
  }

  #check(answer: Buffer): void {
    for (const position of this.#errorCodePositions) {
      const errorCode = answer.readInt16BE(position);
      if (errorCode !== 0) {
        throw new OperatingError(errorName(errorCode), `a batch of ${this.#options.load.topic}`);
      }
    }
  }
}
