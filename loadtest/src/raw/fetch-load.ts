import {
  apis,
  batchBaseOffsetAt,
  batchOffsetSpanAt,
  errorName,
  nextBatchPosition,
  parseResponseHeader,
} from '@kafscale/codec';
import { invariant, OperatingError, systemClock } from '@kafscale/core';
import { FrameSocket, type Address } from './frame-socket.js';
import type { LoadResult } from './produce-load.js';
import { requestFrame } from './request-frame.js';

export interface FetchLoad {
  readonly address: Address;
  readonly topic: string;
  /** Where to stop, by partition; reading starts at 0. */
  readonly endOffsets: readonly number[];
  readonly valueBytes: number;
  readonly connections: number;
  /** How often each connection reads its partitions from the start. */
  readonly passes: number;
  readonly partitionBytesMax: number;
}

/** What the servers in the benchmarks have in common, without topic ids. */
const fetchVersion = 12;

/** The Java consumer's defaults. */
const responseBytesMax = 50 * 1024 * 1024;
const waitMsMax = 500;

/**
 * Reads a topic and looks at nothing but batch headers, to know the next offset. Each connection has
 * its share of the partitions, and one request at a time, as every consumer has.
 */
export async function runFetchLoad(load: FetchLoad): Promise<LoadResult> {
  return await readAll(load, () => {});
}

/** A whole batch, which is overwritten when this returns, and where it was. */
export type BatchListener = (
  batch: Buffer,
  place: { readonly partition: number; readonly baseOffset: number },
) => void;

/** The same, and shows every batch. */
export async function readAll(load: FetchLoad, onBatch: BatchListener): Promise<LoadResult> {
  const shares = Array.from({ length: load.connections }, (_, connection) =>
    load.endOffsets
      .map((endOffset, partition) => ({ partition, endOffset }))
      .filter(({ partition }) => partition % load.connections === connection),
  ).filter((share) => share.length > 0);
  const connections = await Promise.all(
    shares.map(async (share) => {
      return new FetchConnection(await FrameSocket.open(load.address), { share, load, onBatch });
    }),
  );
  const startMs = systemClock.monotonicMs();
  for (let pass = 0; pass < load.passes; pass += 1) {
    await Promise.all(connections.map((connection) => connection.readAll()));
  }
  const seconds = (systemClock.monotonicMs() - startMs) / 1000;
  const records = connections.reduce((sum, connection) => sum + connection.records, 0);
  for (const connection of connections) connection.close();
  const expected = load.endOffsets.reduce((sum, each) => sum + each, 0) * load.passes;
  invariant(records === expected, `${expected} records were there and ${records} came`);
  return { records, bytes: records * load.valueBytes, seconds };
}

interface PartitionShare {
  readonly partition: number;
  readonly endOffset: number;
}

class FetchConnection {
  records = 0;
  readonly #socket: FrameSocket;
  readonly #load: FetchLoad;
  readonly #onBatch: BatchListener;
  readonly #share: readonly PartitionShare[];
  readonly #nextOffsets = new Map<number, number>();
  #correlationId = 0;

  constructor(
    socket: FrameSocket,
    options: {
      readonly share: readonly PartitionShare[];
      readonly load: FetchLoad;
      readonly onBatch: BatchListener;
    },
  ) {
    const { load, onBatch, share } = options;
    this.#socket = socket;
    this.#onBatch = onBatch;
    this.#share = share;
    this.#load = load;
  }

  async readAll(): Promise<void> {
    for (const { partition } of this.#share) this.#nextOffsets.set(partition, 0);
    await new Promise<void>((resolve, reject) => {
      const requestMore = (): void => {
        const behind = this.#share.filter(
          ({ partition, endOffset }) => this.#nextOffset(partition) < endOffset,
        );
        if (behind.length === 0) resolve();
        else this.#socket.write(this.#fetchFrame(behind));
      };
      this.#socket.listen((answer) => {
        this.#take(answer);
        requestMore();
      }, reject);
      requestMore();
    });
  }

  close(): void {
    this.#socket.close();
  }

  #nextOffset(partition: number): number {
    const offset = this.#nextOffsets.get(partition);
    invariant(offset !== undefined, 'the partition is in the share of this connection');
    return offset;
  }

  #fetchFrame(partitions: readonly PartitionShare[]): Buffer {
    this.#correlationId += 1;
    return requestFrame({
      api: apis.fetch,
      version: fetchVersion,
      correlationId: this.#correlationId,
      request: {
        maxWaitMs: waitMsMax,
        minBytes: 1,
        maxBytes: responseBytesMax,
        isolationLevel: 0,
        sessionId: 0,
        topics: [
          {
            topic: this.#load.topic,
            partitions: partitions.map(({ partition }) => ({
              partition,
              fetchOffset: BigInt(this.#nextOffset(partition)),
              partitionMaxBytes: this.#load.partitionBytesMax,
            })),
          },
        ],
        forgottenTopicsData: [],
        rackId: '',
      },
    });
  }

  #take(answer: Buffer): void {
    const { bodyOffset, correlationId } = parseResponseHeader(answer, apis.fetch.key, fetchVersion);
    invariant(correlationId === this.#correlationId, 'one request at a time');
    const response = apis.fetch.response.decode(answer.subarray(bodyOffset), fetchVersion);
    check(response.errorCode, this.#load.topic);
    for (const { partitions } of response.responses) {
      for (const { errorCode, partitionIndex, records } of partitions) {
        check(errorCode, `${this.#load.topic}-${partitionIndex}`);
        if (records !== null) this.#advance(partitionIndex, records);
      }
    }
  }

  /** The last batch may be cut off: Kafka sends what fits. */
  #advance(partition: number, batches: Buffer): void {
    let offset = this.#nextOffset(partition);
    let at = 0;
    for (;;) {
      const next = nextBatchPosition(batches, at, batches.length);
      if (next === -1) break;
      invariant(batchBaseOffsetAt(batches, at) === offset, 'offsets have no holes');
      this.#onBatch(batches.subarray(at, next), { partition, baseOffset: offset });
      const span = batchOffsetSpanAt(batches, at);
      offset += span;
      this.records += span;
      at = next;
    }
    this.#nextOffsets.set(partition, offset);
  }
}

function check(errorCode: number, what: string): void {
  if (errorCode !== 0) throw new OperatingError(errorName(errorCode), what);
}
