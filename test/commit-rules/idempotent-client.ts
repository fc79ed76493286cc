import { batchOf } from './kafka-calls.js';
import type { KafkaConnection, ProduceOutcome } from './kafka-calls.js';

const inFlightMax = 5;

interface Pending {
  readonly sequence: number;
  readonly count: number;
}

/**
 * An idempotent producer of one partition, as Kafka's clients are: up to 5 requests in flight, and
 * after a failure everything that was in flight is waited for and what was not acknowledged is sent
 * again from the first one on, in order. It never gives up.
 */
export class IdempotentClient {
  readonly producerId: number;
  readonly partition: number;
  /** Offsets of acknowledged batches by their first sequence. */
  readonly acknowledged = new Map<number, number>();
  readonly #topic: string;
  readonly #queue: Pending[] = [];
  #connection: KafkaConnection;
  #nextSequence = 0;
  #running: Promise<void> | null = null;
  #abandon: (() => void) | null = null;
  readonly #pausesMs = [0, 4, 2];

  constructor(options: {
    topic: string;
    partition: number;
    producerId: number;
    connection: KafkaConnection;
  }) {
    this.#topic = options.topic;
    this.partition = options.partition;
    this.producerId = options.producerId;
    this.#connection = options.connection;
  }

  /** Texts of all records that it was asked to send, in order. */
  get expected(): string[] {
    return Array.from({ length: this.#nextSequence }, (_, n) => `${this.producerId}/0/${n}`);
  }

  send(count: number): void {
    this.#queue.push({ sequence: this.#nextSequence, count });
    this.#nextSequence += count;
    this.#running ??= this.#run().finally(() => {
      this.#running = null;
    });
  }

  /** The connection breaks: what is in flight is not waited for, and sent again on the new one. */
  reconnect(connection: KafkaConnection): void {
    this.#connection = connection;
    this.#abandon?.();
  }

  /** Resolves when everything is acknowledged. */
  async drained(): Promise<void> {
    while (this.#running !== null) await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      if (!(await this.#sendWindow())) await new Promise((resolve) => setTimeout(resolve, 2));
      while (this.#queue.length > 0 && this.acknowledged.has(this.#queue[0]!.sequence)) {
        this.#queue.shift();
      }
    }
  }

  /** Sends from the queue's head until it is through or one fails; waits for all that was sent. */
  async #sendWindow(): Promise<boolean> {
    const abandoned = new Promise<'abandoned'>((resolve) => {
      this.#abandon = () => resolve('abandoned');
    });
    const connection = this.#connection;
    const window: Promise<boolean>[] = [];
    for (let position = 0; position < this.#queue.length; position += 1) {
      window.push(this.#attempt(connection, this.#queue[position]!, abandoned));
      // What follows rides in the same segment, or in a later one.
      await new Promise((resolve) => setTimeout(resolve, this.#pausesMs[position % 3]));
      const allWell = window.length < inFlightMax || (await window.shift());
      if (allWell !== true) break;
    }
    const rest = await Promise.all(window);
    return rest.every((isWell) => isWell);
  }

  async #attempt(
    connection: KafkaConnection,
    pending: Pending,
    abandoned: Promise<'abandoned'>,
  ): Promise<boolean> {
    const { count, sequence } = pending;
    const records = batchOf({ producerId: this.producerId, sequence, count });
    const sent = connection.produce({ topic: this.#topic, partition: this.partition, records });
    const reply = await Promise.race([sent, abandoned]);
    if (reply === 'abandoned') {
      sent.catch(() => {});
      return false;
    }
    return this.#judge(reply[0]!, sequence);
  }

  #judge(outcome: ProduceOutcome, sequence: number): boolean {
    if (outcome.kind === 'lost') return false;
    const { baseOffset, errorCode } = outcome;
    if (errorCode === 0) {
      this.acknowledged.set(sequence, baseOffset);
      return true;
    }
    // Out of order is for a batch behind another; the first one is shut out for ever by it.
    const [first] = this.#queue.filter((each) => !this.acknowledged.has(each.sequence));
    if (errorCode === 45 && first?.sequence !== sequence) return false;
    if (errorCode === 56 || errorCode === 5) return false;
    throw new Error(`producer ${this.producerId}, sequence ${sequence}: error ${errorCode}`);
  }
}
