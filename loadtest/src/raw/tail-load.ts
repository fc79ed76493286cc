import { invariant, OperatingError, systemClock } from '@kafscale/core';
import { errorName } from '@kafscale/codec';
import { FrameSocket, type Address } from './frame-socket.js';
import { latencyFigures, type LatencyFigures } from './latency-figures.js';
import { errorCodePositions, produceFrame, randomBatch, recordsIn } from './produce-frames.js';
import type { LoadResult } from './produce-load.js';
import { TailReader } from './tail-reader.js';

export interface TailLoad {
  readonly address: Address;
  /** Without records. */
  readonly topic: string;
  readonly partitions: number;
  /** Of each record batch, at most; a request has one. */
  readonly batchBytes: number;
  readonly valueBytes: number;
  /** Of record values that are written, over all partitions. */
  readonly bytesPerSecond: number;
  /** Each reads all partitions over a connection of its own, as the only member of a group does. */
  readonly readers: number;
  /** At the same rate, before what is measured. */
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

/** `records` and `bytes` are those that were read, by all readers together, after the warm-up. */
export interface TailResult extends LoadResult {
  /** From when a batch was due to be sent until a reader had it; all readers. */
  readonly latency: LatencyFigures;
  /** Of all readers, warm-up too. */
  readonly fetches: number;
  /** Record values written, warm-up too. */
  readonly bytesWritten: number;
}

/** Timers of Node have a resolution of 1 ms, which so is part of every latency. */
const tickMs = 1;
const lateMsMax = 60_000;

/**
 * Writes at a rate that is given, whatever the answers (open loop: a server that stops delays all that
 * is due meanwhile), and reads at the tail in the same process, so that one clock times both. A
 * partition has one producing connection, on which order is kept: the place of a batch in the log
 * says when it was due.
 */
export async function runTailLoad(load: TailLoad): Promise<TailResult> {
  const records = recordsIn({ ...load, batchesPerRequest: 1 });
  const batchesPerSecond = load.bytesPerSecond / (records * load.valueBytes);
  const { partitions, warmUpSeconds } = load;
  const warmUp = Math.round((warmUpSeconds * batchesPerSecond) / partitions) * partitions;
  const measured = Math.round((load.seconds * batchesPerSecond) / partitions) * partitions;
  invariant(measured > 0, 'something is measured');
  const total = warmUp + measured;
  const schedule = new Schedule(1000 / batchesPerSecond);
  const writers = await openWriters(load, schedule, total / partitions);
  const latenciesMs = new Float64Array(measured * load.readers);
  const readers = await Promise.all(
    Array.from({ length: load.readers }, async (_, reader) => {
      const { address, topic } = load;
      const endOffset = (total / partitions) * records;
      const socket = await FrameSocket.open(address);
      return new TailReader({ socket, topic, partitions, endOffset }, (partition, baseOffset) => {
        const batch = (baseOffset / records) * partitions + partition;
        if (batch < warmUp) return;
        const lateMs = systemClock.monotonicMs() - schedule.dueMs(batch);
        latenciesMs[reader * measured + batch - warmUp] = lateMs;
      });
    }),
  );
  schedule.begin();
  const ticker = setInterval(() => {
    for (const writer of writers) writer.sendDue();
  }, tickMs);
  const deadline = new AbortController();
  try {
    const done = [...writers, ...readers].map((each) => each.done);
    const timeoutMs = (warmUpSeconds + load.seconds) * 1000 + lateMsMax;
    await Promise.race([Promise.all(done), rejectAfter(timeoutMs, deadline.signal)]);
  } finally {
    deadline.abort();
    clearInterval(ticker);
    for (const each of [...writers, ...readers]) each.close();
  }
  const bytes = measured * records * load.valueBytes;
  return {
    records: measured * records * load.readers,
    bytes: bytes * load.readers,
    seconds: (systemClock.monotonicMs() - schedule.dueMs(warmUp)) / 1000,
    latency: latencyFigures(latenciesMs),
    fetches: readers.reduce((sum, { fetches }) => sum + fetches, 0),
    bytesWritten: total * records * load.valueBytes,
  };
}

function rejectAfter(timeoutMs: number, signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const timer = setTimeout(() => {
      reject(new OperatingError('LOAD_FAILED', 'readers did not get all that was written'));
    }, timeoutMs);
    signal.addEventListener('abort', () => clearTimeout(timer));
  });
}

/** When batches are due: round robin over the partitions. */
class Schedule {
  readonly #intervalMs: number;
  #startMs = Infinity;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  begin(): void {
    this.#startMs = systemClock.monotonicMs();
  }

  dueMs(batch: number): number {
    return this.#startMs + batch * this.#intervalMs;
  }
}

async function openWriters(
  load: TailLoad,
  schedule: Schedule,
  batchesEach: number,
): Promise<PartitionWriter[]> {
  const { address, partitions } = load;
  const shape = { ...load, batchesPerRequest: 1 };
  const batch = randomBatch(recordsIn(shape), load.valueBytes);
  return await Promise.all(
    Array.from({ length: partitions }, async (_, partition) => {
      const frame = produceFrame(shape, { batch, slot: partition, correlationId: 0 });
      const errorCodeAt = errorCodePositions(shape)[0] ?? 0;
      const dueMs = (index: number): number => schedule.dueMs(index * partitions + partition);
      const socket = await FrameSocket.open(address);
      return new PartitionWriter({ socket, frame, errorCodeAt, dueMs, total: batchesEach });
    }),
  );
}

interface WriterOptions {
  readonly socket: FrameSocket;
  /** The same bytes again and again: answers are counted, not told apart. */
  readonly frame: Buffer;
  readonly errorCodeAt: number;
  readonly dueMs: (index: number) => number;
  readonly total: number;
}

/** Sends a batch when it is due. Without a bound of its own: the server stops reading when it must. */
class PartitionWriter {
  readonly done: Promise<void>;
  readonly #options: WriterOptions;
  #next = 0;

  constructor(options: WriterOptions) {
    this.#options = options;
    let answered = 0;
    this.done = new Promise((resolve, reject) => {
      options.socket.listen((answer) => {
        const errorCode = answer.readInt16BE(options.errorCodeAt);
        if (errorCode !== 0) throw new OperatingError(errorName(errorCode), 'a batch was refused');
        answered += 1;
        if (answered === options.total) resolve();
      }, reject);
    });
    this.done.catch(() => {});
  }

  sendDue(): void {
    const { dueMs, frame, socket, total } = this.#options;
    const nowMs = systemClock.monotonicMs();
    for (; this.#next < total && dueMs(this.#next) <= nowMs; this.#next += 1) socket.write(frame);
  }

  close(): void {
    this.#options.socket.close();
  }
}
