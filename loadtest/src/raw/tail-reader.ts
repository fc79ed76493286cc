import {
  apis,
  batchBaseOffsetAt,
  batchOffsetSpanAt,
  errorName,
  nextBatchPosition,
  parseResponseHeader,
} from '@kafscale/codec';
import { invariant, OperatingError } from '@kafscale/core';
import type { FrameSocket } from './frame-socket.js';
import { requestFrame } from './request-frame.js';

export interface TailReaderOptions {
  readonly socket: FrameSocket;
  readonly topic: string;
  readonly partitions: number;
  /** Of every partition: where reading ends. It starts at 0. */
  readonly endOffset: number;
}

/** What the servers in the benchmarks have in common, without topic ids. */
const fetchVersion = 12;

/** The Java consumer's defaults. */
const responseBytesMax = 50 * 1024 * 1024;
const partitionBytesMax = 1024 * 1024;
const waitMsMax = 500;

/** Reads all partitions of a topic as they grow, and looks at nothing but batch headers. */
export class TailReader {
  readonly done: Promise<void>;
  readonly #options: TailReaderOptions;
  readonly #onBatch: (partition: number, baseOffset: number) => void;
  readonly #nextOffsets: number[];
  #fetches = 0;

  /** The first request is sent at once. `onBatch` is called in the order of each log. */
  constructor(
    options: TailReaderOptions,
    onBatch: (partition: number, baseOffset: number) => void,
  ) {
    this.#options = options;
    this.#onBatch = onBatch;
    this.#nextOffsets = Array.from({ length: options.partitions }, () => 0);
    this.done = new Promise((resolve, reject) => {
      options.socket.listen((answer) => {
        this.#take(answer);
        const isAtEnd = this.#nextOffsets.every((offset) => offset === options.endOffset);
        if (isAtEnd) resolve();
        else this.#fetch();
      }, reject);
    });
    this.done.catch(() => {});
    this.#fetch();
  }

  get fetches(): number {
    return this.#fetches;
  }

  close(): void {
    this.#options.socket.close();
  }

  #fetch(): void {
    const { socket, topic } = this.#options;
    this.#fetches += 1;
    const frame = requestFrame({
      api: apis.fetch,
      version: fetchVersion,
      correlationId: this.#fetches,
      request: {
        maxWaitMs: waitMsMax,
        minBytes: 1,
        maxBytes: responseBytesMax,
        isolationLevel: 0,
        sessionId: 0,
        topics: [
          {
            topic,
            partitions: this.#nextOffsets.map((offset, partition) => ({
              partition,
              fetchOffset: BigInt(offset),
              partitionMaxBytes: partitionBytesMax,
            })),
          },
        ],
        forgottenTopicsData: [],
        rackId: '',
      },
    });
    socket.write(frame);
  }

  #take(answer: Buffer): void {
    const { bodyOffset } = parseResponseHeader(answer, apis.fetch.key, fetchVersion);
    const response = apis.fetch.response.decode(answer.subarray(bodyOffset), fetchVersion);
    check(response.errorCode, this.#options.topic);
    for (const { partitions } of response.responses) {
      for (const { errorCode, partitionIndex, records } of partitions) {
        check(errorCode, `${this.#options.topic}-${partitionIndex}`);
        if (records !== null) this.#advance(partitionIndex, records);
      }
    }
  }

  /** The last batch may be cut off: Kafka sends what fits. */
  #advance(partition: number, batches: Buffer): void {
    let offset = this.#nextOffsets[partition];
    invariant(offset !== undefined, 'the answer is about partitions that were asked for');
    for (let at = 0, next = 0; ; at = next) {
      next = nextBatchPosition(batches, at, batches.length);
      if (next === -1) break;
      invariant(batchBaseOffsetAt(batches, at) === offset, 'offsets have no holes');
      this.#onBatch(partition, offset);
      offset += batchOffsetSpanAt(batches, at);
    }
    this.#nextOffsets[partition] = offset;
  }
}

function check(errorCode: number, what: string): void {
  if (errorCode !== 0) throw new OperatingError(errorName(errorCode), what);
}
