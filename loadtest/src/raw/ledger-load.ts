import { writeFile } from 'node:fs/promises';
import { batchCrcAt, restampBatchCrc } from './batch-crc.js';
import { invariant, sleep, systemClock } from '@kafscale/core';
import { FrameSocket, type Address } from './frame-socket.js';
import { entryStates, Ledger } from './ledger.js';
import { produceFrame, randomBatch, recordsIn, type ProduceShape } from './produce-frames.js';
import type { LoadResult } from './produce-load.js';

export interface LedgerLoad extends Omit<ProduceShape, 'batchesPerRequest'> {
  readonly address: Address;
  readonly connections: number;
  readonly inFlightPerConnection: number;
  /** Of record values: what is offered. What the server does not read is not sent. */
  readonly bytesPerSecond: number;
  readonly seconds: number;
  /** Where the ledger goes. */
  readonly ledgerFile: string;
}

export interface LedgerResult extends LoadResult {
  readonly acknowledged: number;
  /** Answered with an error: not written, it says. */
  readonly refused: number;
  /** Their connection was lost. */
  readonly unknown: number;
  readonly offeredBytes: number;
}

const tickMs = 5;
const reconnectMs = 200;

/**
 * Offers more than a server can take, each batch with contents of its own, and writes down what became
 * of every one. Nothing is sent twice: there are no duplicates to explain.
 */
export async function runLedgerLoad(load: LedgerLoad): Promise<LedgerResult> {
  const ledger = new Ledger();
  const shape = { ...load, batchesPerRequest: 1 };
  const template = randomBatch(recordsIn(shape), load.valueBytes);
  const bytesPerRequest = recordsIn(shape) * load.valueBytes;
  const startMs = systemClock.monotonicMs();
  const pace = new Pace(load.bytesPerSecond / bytesPerRequest, startMs, load.seconds * 1000);
  const connections = Array.from(
    { length: load.connections },
    (_, index) => new LedgerConnection({ load, shape, template, ledger, pace, index }),
  );
  await Promise.all(connections.map((connection) => connection.open()));
  const ticker = setInterval(() => {
    for (const connection of connections) connection.sendDue();
  }, tickMs);
  await sleep(load.seconds * 1000);
  clearInterval(ticker);
  await Promise.all(connections.map((connection) => connection.finish()));
  const seconds = (systemClock.monotonicMs() - startMs) / 1000;
  await writeFile(load.ledgerFile, ledger.bytes());
  const { acknowledged, refused, unknown } = ledger.counts();
  const recordsPerBatch = recordsIn(shape);
  return {
    records: acknowledged * recordsPerBatch,
    bytes: acknowledged * bytesPerRequest,
    seconds,
    acknowledged,
    refused,
    unknown,
    offeredBytes: load.bytesPerSecond * load.seconds,
  };
}

/** How many requests are due by now, over all connections. */
class Pace {
  readonly #perMs: number;
  readonly #startMs: number;
  readonly #endMs: number;
  #sent = 0;

  constructor(perSecond: number, startMs: number, durationMs: number) {
    this.#perMs = perSecond / 1000;
    this.#startMs = startMs;
    this.#endMs = startMs + durationMs;
  }

  /** Counts one as sent, if one is due. */
  takeDue(): boolean {
    const nowMs = systemClock.monotonicMs();
    if (nowMs >= this.#endMs) return false;
    if (this.#sent >= (nowMs - this.#startMs) * this.#perMs) return false;
    this.#sent += 1;
    return true;
  }
}

interface ConnectionOptions {
  readonly load: LedgerLoad;
  readonly shape: ProduceShape;
  readonly template: Buffer;
  readonly ledger: Ledger;
  readonly pace: Pace;
  readonly index: number;
}

interface Slot {
  readonly frame: Buffer;
  readonly batch: Buffer;
  readonly partition: number;
  /** The entry in the ledger of the batch that is under way; −1: none is. */
  entry: number;
}

/** In an answer in version 8: correlation id, topics, the name, partitions, index, error, offset. */
function errorCodePosition({ topic }: ProduceShape): number {
  return 4 + 4 + (2 + Buffer.byteLength(topic)) + 4 + 4;
}

class LedgerConnection {
  readonly #options: ConnectionOptions;
  readonly #slots: readonly Slot[];
  readonly #free: number[];
  readonly #errorCodeAt: number;
  #socket: FrameSocket | undefined;
  #isFinishing = false;
  #idle: () => void = () => {};

  constructor(options: ConnectionOptions) {
    this.#options = options;
    const { index, load, shape, template } = options;
    this.#errorCodeAt = errorCodePosition(shape);
    this.#slots = Array.from({ length: load.inFlightPerConnection }, (_, correlationId) => {
      const slot = correlationId * load.connections + index;
      const frame = produceFrame(shape, { batch: template, slot, correlationId });
      // The records are the last field of the request.
      const batch = frame.subarray(frame.length - template.length);
      return { frame, batch, partition: slot % shape.partitions, entry: -1 };
    });
    this.#free = [...this.#slots.keys()];
  }

  async open(): Promise<void> {
    const socket = await FrameSocket.open(this.#options.load.address);
    this.#socket = socket;
    socket.listen(
      (answer) => this.#take(answer),
      () => this.#lost(),
    );
  }

  sendDue(): void {
    const { ledger, pace } = this.#options;
    const socket = this.#socket;
    if (socket === undefined) return;
    while (this.#free.length > 0 && pace.takeDue()) {
      const correlationId = this.#free.shift();
      const slot = this.#slots[correlationId ?? -1];
      invariant(slot !== undefined, 'a free slot exists');
      slot.entry = ledger.add(slot.partition);
      restampBatchCrc(slot.batch, slot.entry);
      ledger.setCrc(slot.entry, batchCrcAt(slot.batch, 0));
      socket.write(slot.frame);
    }
  }

  /** Resolves when everything that was sent is answered, or its connection is lost. */
  async finish(): Promise<void> {
    this.#isFinishing = true;
    if (this.#free.length < this.#slots.length) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve;
      });
    }
    this.#socket?.close();
  }

  #take(answer: Buffer): void {
    const correlationId = answer.readInt32BE(0);
    const slot = this.#slots[correlationId];
    invariant(slot !== undefined && slot.entry >= 0, 'the answer is to a request of ours');
    const errorCode = answer.readInt16BE(this.#errorCodeAt);
    if (errorCode === 0) {
      const baseOffset = Number(answer.readBigInt64BE(this.#errorCodeAt + 2));
      this.#options.ledger.settle(slot.entry, entryStates.acknowledged, baseOffset);
    } else this.#options.ledger.settle(slot.entry, entryStates.refused, -1);
    this.#release(correlationId, slot);
    this.sendDue();
  }

  /** What was under way may have been written or not; the ledger says so from the start. */
  #lost(): void {
    this.#socket = undefined;
    for (const [correlationId, slot] of this.#slots.entries()) {
      if (slot.entry >= 0) this.#release(correlationId, slot);
    }
    if (!this.#isFinishing) void this.#reopen();
  }

  async #reopen(): Promise<void> {
    for (;;) {
      await sleep(reconnectMs);
      if (this.#isFinishing) return;
      try {
        await this.open();
        return;
      } catch {
        // Refused: it is tried again until the load ends.
      }
    }
  }

  #release(correlationId: number, slot: Slot): void {
    slot.entry = -1;
    this.#free.push(correlationId);
    if (this.#isFinishing && this.#free.length === this.#slots.length) this.#idle();
  }
}
