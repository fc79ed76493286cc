import { apis, encodePlainBatch, errorCodes, errorName } from '@kafscale/codec';
import { initProducerId } from './kafka-calls.js';
import { ConnectionLost } from './kafka-connection.js';
import type { KafkaConnection } from './kafka-connection.js';
import type { Random } from './random.js';

/**
 * What became of a batch: `acked` at an offset; `refused` with an error that means "not written";
 * `unknown` when the connection ended first, or the answer was REQUEST_TIMED_OUT.
 */
export type Outcome = 'sent' | 'acked' | 'refused' | 'unknown';

export interface SentBatch {
  readonly producerId: number;
  readonly partition: number;
  readonly baseSequence: number;
  readonly values: readonly string[];
  outcome: Outcome;
  /** An attempt had an unknown outcome: it may be in the log whatever later attempts say. */
  mayBeWritten: boolean;
  /** Of the acknowledgement. */
  baseOffset: number | null;
  /** Names of the errors it was refused with. */
  readonly refusals: string[];
}

const inFlightMax = 5;
const recordsPerBatchMax = 4;

/**
 * An idempotent producer as clients implement it: sequences per partition, up to 5 requests in
 * flight, and after a failure the same batches again, in order, before anything new.
 */
export class IdempotentProducer {
  /** In the order of their sequences within a partition. */
  readonly batches: SentBatch[] = [];
  readonly name: string;
  readonly #topic: string;
  readonly #partitions: number;
  readonly #random: Random;
  readonly #nextSequence: number[];
  #producerId = -1;
  #producerEpoch = -1;

  constructor(options: { name: string; topic: string; partitions: number; random: Random }) {
    this.name = options.name;
    this.#topic = options.topic;
    this.#partitions = options.partitions;
    this.#random = options.random;
    this.#nextSequence = Array.from({ length: options.partitions }, () => 0);
  }

  get unsettled(): SentBatch[] {
    return this.batches.filter(({ outcome }) => outcome !== 'acked');
  }

  async register(connection: KafkaConnection): Promise<void> {
    ({ producerId: this.#producerId, producerEpoch: this.#producerEpoch } =
      await initProducerId(connection));
  }

  /**
   * Sends new batches, 5 requests in flight, until `isEnough` or something goes wrong; resolves
   * when every request has its outcome.
   */
  async stream(connection: KafkaConnection, isEnough: () => boolean): Promise<void> {
    let failed = false;
    const lane = async (): Promise<void> => {
      while (!failed && connection.isOpen && !isEnough()) {
        // oxlint-disable-next-line no-await-in-loop
        if (!(await this.#send(connection, this.#nextBatches()))) failed = true;
      }
    };
    await Promise.all(Array.from({ length: inFlightMax }, lane));
  }

  /**
   * Sends what is not acknowledged again, with the same sequences, in order, 5 requests in flight;
   * stops at the first failure. Call it again while something is unsettled.
   */
  async retry(connection: KafkaConnection): Promise<void> {
    const requests: SentBatch[][] = [];
    const requestsOf = new Map<number, number>();
    for (const batch of this.unsettled) {
      const index = requestsOf.get(batch.partition) ?? 0;
      requestsOf.set(batch.partition, index + 1);
      (requests[index] ??= []).push(batch);
    }
    let failed = false;
    const lane = async (): Promise<void> => {
      for (let next = requests.shift(); next && !failed; next = requests.shift()) {
        // oxlint-disable-next-line no-await-in-loop
        if (!(await this.#send(connection, next))) failed = true;
      }
    };
    await Promise.all(Array.from({ length: inFlightMax }, lane));
  }

  #nextBatches(): SentBatch[] {
    const count = this.#random.integer(1, this.#partitions);
    const first = this.#random.integer(0, this.#partitions - 1);
    return Array.from({ length: count }, (_, index) => {
      const partition = (first + index) % this.#partitions;
      const baseSequence = this.#nextSequence[partition] ?? 0;
      const records = this.#random.integer(1, recordsPerBatchMax);
      this.#nextSequence[partition] = baseSequence + records;
      const values = Array.from(
        { length: records },
        (_value, at) => `${this.name}/${partition}/${baseSequence + at}`,
      );
      const batch: SentBatch = {
        producerId: this.#producerId,
        partition,
        baseSequence,
        values,
        outcome: 'sent',
        mayBeWritten: false,
        baseOffset: null,
        refusals: [],
      };
      this.batches.push(batch);
      return batch;
    });
  }

  /** True when all were acknowledged. */
  async #send(connection: KafkaConnection, batches: readonly SentBatch[]): Promise<boolean> {
    try {
      const response = await connection.call(apis.produce, {
        acks: -1,
        timeoutMs: 30_000,
        topicData: [
          {
            name: this.#topic,
            partitionData: batches.map((batch) => ({
              index: batch.partition,
              records: this.#encode(batch),
            })),
          },
        ],
      });
      const answers = response.responses[0]?.partitionResponses ?? [];
      if (answers.length !== batches.length) throw new Error('Produce answered other partitions');
      for (const batch of batches)
        settle(
          batch,
          answers.find(({ index }) => index === batch.partition),
        );
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      for (const batch of batches) settleUnknown(batch);
    }
    return batches.every(({ outcome }) => outcome === 'acked');
  }

  #encode(batch: SentBatch): Buffer {
    return encodePlainBatch({
      records: batch.values.map((value) => ({
        timestampMs: Date.now(),
        value: Buffer.from(value),
      })),
      producerId: batch.producerId,
      producerEpoch: this.#producerEpoch,
      baseSequence: batch.baseSequence,
    });
  }
}

function settle(
  batch: SentBatch,
  answer: { errorCode: number; baseOffset: bigint } | undefined,
): void {
  if (answer === undefined) throw new Error(`Produce did not answer partition ${batch.partition}`);
  if (answer.errorCode === errorCodes.NONE) {
    batch.outcome = 'acked';
    batch.baseOffset = Number(answer.baseOffset);
    return;
  }
  batch.refusals.push(errorName(answer.errorCode));
  if (answer.errorCode === errorCodes.REQUEST_TIMED_OUT) settleUnknown(batch);
  else batch.outcome = 'refused';
}

function settleUnknown(batch: SentBatch): void {
  batch.outcome = 'unknown';
  batch.mayBeWritten = true;
}
