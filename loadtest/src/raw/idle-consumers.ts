import { apis, errorName, parseResponseHeader } from '@kafscale/codec';
import { invariant, OperatingError, sleep } from '@kafscale/core';
import { FrameSocket, type Address } from './frame-socket.js';
import { requestFrame } from './request-frame.js';

export interface IdleConsumersOptions {
  readonly address: Address;
  readonly topic: string;
  /** One consumer each. */
  readonly partitions: number;
  readonly maxWaitMs: number;
}

/** What the servers in the benchmarks have in common, without topic ids. */
const fetchVersion = 12;

/** Consumers begin one after the other over this time, so that their waits do not end together. */
const spreadMsMax = 5_000;
const batchOfConsumers = 20;

/** Consumers of partitions without records: each on its own connection, waiting for what never comes. */
export class IdleConsumers {
  #responses = 0;
  #failure: unknown;
  readonly #sockets: FrameSocket[] = [];

  private constructor() {}

  /** Resolves when all of them wait. */
  static async start(options: IdleConsumersOptions): Promise<IdleConsumers> {
    const consumers = new IdleConsumers();
    const { maxWaitMs, partitions } = options;
    const pauseMs = (Math.min(maxWaitMs, spreadMsMax) * batchOfConsumers) / partitions;
    for (let first = 0; first < partitions; first += batchOfConsumers) {
      const some = Array.from(
        { length: Math.min(batchOfConsumers, partitions - first) },
        (_, index) => first + index,
      );
      await Promise.all(some.map((partition) => consumers.#add(partition, options)));
      await sleep(pauseMs);
    }
    return consumers;
  }

  /** Answers so far. Throws what ended a consumer. */
  get responses(): number {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#responses;
  }

  close(): void {
    for (const socket of this.#sockets) socket.close();
  }

  async #add(partition: number, options: IdleConsumersOptions): Promise<void> {
    const socket = await FrameSocket.open(options.address);
    this.#sockets.push(socket);
    const frame = fetchFrame(partition, options);
    socket.listen(
      (answer) => {
        expectNoRecords(answer);
        this.#responses += 1;
        socket.write(frame);
      },
      (error) => (this.#failure ??= error),
    );
    socket.write(frame);
  }
}

function fetchFrame(partition: number, { maxWaitMs, topic }: IdleConsumersOptions): Buffer {
  return requestFrame({
    api: apis.fetch,
    version: fetchVersion,
    correlationId: partition,
    request: {
      maxWaitMs,
      minBytes: 1,
      maxBytes: 50 * 1024 * 1024,
      isolationLevel: 0,
      sessionId: 0,
      topics: [
        {
          topic,
          partitions: [{ partition, fetchOffset: 0n, partitionMaxBytes: 1024 * 1024 }],
        },
      ],
      forgottenTopicsData: [],
      rackId: '',
    },
  });
}

function expectNoRecords(answer: Buffer): void {
  const { bodyOffset } = parseResponseHeader(answer, apis.fetch.key, fetchVersion);
  const response = apis.fetch.response.decode(answer.subarray(bodyOffset), fetchVersion);
  const answers = response.responses.flatMap(({ partitions }) => partitions);
  const codes = [response.errorCode, ...answers.map(({ errorCode }) => errorCode)];
  const failed = codes.find((code) => code !== 0);
  if (failed !== undefined) throw new OperatingError(errorName(failed), 'a fetch of an idle topic');
  invariant(
    answers.every(({ records }) => records === null || records.length === 0),
    'nobody writes to an idle topic',
  );
}
